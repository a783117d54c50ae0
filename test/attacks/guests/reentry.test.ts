/**
 * A guest that is called again while it waits: what it fetches is answered only when the gateway has answered a request
 * that meets the same guest. With one instance the second call cannot be let in, and the first cannot end.
 */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { packFiles, publish } from "../../gateway/packages.ts";
import { assemble, STORE } from "../../sandbox/wasm/guests.ts";
import { send } from "../../support/client.ts";
import { type Gateway, startGateway } from "../../support/gateway.ts";

const held = new AsyncDisposableStack();
let gateway: Gateway;
let world: Server;
/** What the inner requests were answered. */
const inner: Promise<number>[] = [];

/** Fetches from the world in `access`, and marks its memory meanwhile: whoever finds the mark fails its call. */
function looping(port: number): Uint8Array {
  const request = JSON.stringify({ url: `http://127.0.0.1:${port}/`, method: "GET" });
  const data = [...Buffer.from(request)].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
  return assemble(`(module
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
    (import "extism:host/env" "http_request" (func $fetch (param i64 i64) (result i64)))
    (memory 1) (data (i32.const 0) "${data}") ${STORE}
    (func (export "access") (result i32)
      (if (i32.load (i32.const 4096)) (then (unreachable)))
      (i32.store (i32.const 4096) (i32.const 1))
      (drop (call $fetch (call $store (i32.const 0) (i32.const ${request.length})) (i64.const 0)))
      (i32.store (i32.const 4096) (i32.const 0))
      (i32.const 0)))`);
}

before(async () => {
  world = createServer((_, response) => {
    // It calls back once: two requests wait for each other then.
    if (inner.length > 0) response.end("enough");
    else {
      inner.push(send(gateway.url).then(({ status }) => status));
      void inner[0]?.then(() => response.end("called back"));
    }
  });
  await new Promise<void>((resolve) => world.listen(0, "127.0.0.1", resolve));
  held.defer(() => void world.close());
  const { port } = world.address() as AddressInfo;
  const config = (plugins: object[]) => ({
    _format_version: "3.0",
    services: [
      { name: "nowhere", url: "http://127.0.0.1:1", routes: [{ name: "all", paths: ["/"], plugins }] },
    ],
  });
  gateway = held.use(
    await startGateway({
      config: config([]),
      settings: { data_threads: "1", egress_guest_allow: "127.0.0.1" },
    }),
  );
  const manifest = {
    ...{ manifest: 1, name: "looping", version: "1.0.0", runtime: "extism", entry: "plugin.wasm" },
    ...{ phases: ["access"], priority: 900, fail: "closed", limits: { instances: 1 } },
    grants: { http_hosts: [`127.0.0.1:${port}`] },
  };
  await publish(gateway, await packFiles(manifest, "plugin.wasm", looping(port)));
  const served = { name: "request-termination", config: { status_code: 200, message: "served" } };
  await gateway.reload(config([{ name: "looping@1.0.0" }, served]));
});

after(() => held.disposeAsync());

test("a call that waits for a second one to its own instance ends by its deadline, and the second is not let in", async () => {
  const pid = gateway.pid;
  const outer = await send(gateway.url);
  assert.equal(outer.status, 500, outer.body);
  const failures = () =>
    gateway.logs.filter(({ msg, plugin }) => msg === "a plugin failed" && plugin === "looping");
  await gateway.log((line) => failures().includes(line));
  // The inner call meets a new instance, if it has not waited for too long by then.
  const [status] = await Promise.all(inner);
  assert.ok(status === 200 || status === 500 || status === 503, `${status}`);
  assert.deepEqual(
    failures().filter(({ kind }) => kind !== "deadline" && kind !== "unavailable"),
    [],
  );
  assert.equal(failures()[0]?.phase, "access");
  while ((await send(gateway.url)).status !== 200);
  assert.equal(gateway.pid, pid);
});
