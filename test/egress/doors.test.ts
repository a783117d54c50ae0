/**
 * Nothing in the gateway opens connections but what is listed here: whatever a tenant's configuration can name goes
 * through the egress policy, and code that connects by itself would go round it.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname, "..", "..");

/** Ways out, as they look in source. */
const WAYS_OUT = [
  /\bimport\b(?! type)[^;]*"(?:undici|ws|ioredis|pg|node:dgram|node:http2)"/,
  /\bimport\("(?:undici|ws|ioredis|pg|node:dgram|node:http2|node:https)"\)/,
  /\bimport\b(?! type)[^;]*\b(?:connect|createConnection|Socket|TLSSocket)\b[^;]*"node:(?:net|tls)"/,
  /\bimport\b(?! type)[^;]*\b(?:request|get|Agent)\b[^;]*"node:https?"/,
  /\bnew (?:WebSocket|EventSource)\(/,
  /(?:await|return|=|=>|\(|\bvoid|globalThis\.)\s*fetch\(/,
  /\bconnectPlain\(|\.connect6?\((?:request|address)\b/,
];

/** Files that may, and why. */
const DOORS: Readonly<Record<string, string>> = {
  "src/egress/connector.ts": "the door for undici",
  "src/callouts/callouts.ts": "agents whose connect is that door",
  "src/guest-store/redis-store.ts": "the operator's Redis, which a setting names",
  "src/stores/postgres/connections.ts": "the operator's PostgreSQL, which settings name",
  "src/stores/postgres/listener.ts": "the same, to listen for changes",
  "src/stores/postgres/postgres-migrations.ts": "the same, to bring it to the shape of this version",
  "src/http1/client-connection.ts": "to a place that a balancer picked: its addresses were allowed",
  "src/http1/plain-wire.ts": "connects for client-connection",
  "src/http1/tcp-handle.ts": "the handle that plain-wire connects by",
  "src/tls/upstream-tls.ts": "connects for client-connection, by address",
};

test("connections are opened by the doors, and by no other code of the data plane and the plugins", () => {
  const files = ["src", "plugins"]
    .flatMap((folder) =>
      readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map(
        (name) => `${folder}/${name}`,
      ),
    )
    .filter((name) => name.endsWith(".ts"));
  // What runs beside the gateway: commands of people, and guests' own processes, which have no network.
  const inside = files.filter(
    (name) => !/^src\/(?:cli|sandbox\/cordon|sandbox\/supervisor\/cordon-process)/.test(name),
  );
  const found = inside.filter((name) => {
    const text = readFileSync(join(ROOT, name), "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*|\btype \w+/g, "");
    return WAYS_OUT.some((way) => way.test(text));
  });
  assert.ok(inside.length > 200);
  const others = found.filter((name) => !Object.hasOwn(DOORS, name));
  assert.deepEqual(others, [], "these connect by themselves: let them use Egress, or say here why not");
  assert.ok(found.includes("src/egress/connector.ts") && found.includes("src/tls/upstream-tls.ts"));
});
