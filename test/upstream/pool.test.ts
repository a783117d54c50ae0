/** What a data thread keeps of the places that it has sent requests to: bounded, and no longer than it is used. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Place, UpstreamOwner } from "../../src/http1/client-connection.ts";
import { Deadlines } from "../../src/http1/deadlines.ts";
import { UpstreamTls, type UpstreamTlsOptions } from "../../src/tls/upstream-tls.ts";
import { Balancer } from "../../src/upstream/balancer.ts";
import { Pool } from "../../src/upstream/pool.ts";
import { Resolver } from "../../src/upstream/resolver.ts";
import { startRawOrigin } from "../support/raw-origin.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function newPool(): Pool {
  const limits = { maxHeadBytes: 16_384, maxHeaders: 100, maxUrlBytes: 8192 };
  return new Pool({ limits, size: 8, maxRequests: 100, idleTimeoutMs: 60_000 }, new Deadlines());
}

/** Collects garbage until the pool knows only `size` places. */
async function shrinksTo(pool: Pool, size: number): Promise<void> {
  for (let rounds = 0; pool.size > size && rounds < 100; rounds++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(pool.size, size);
}

const place = (i: number): Place => ({ address: `10.0.${i >> 8}.${i & 255}`, port: 80, tls: null });

/** Sends one request and reads the response. */
function request(pool: Pool, to: Place): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let status = 0;
  const owner: UpstreamOwner = {
    onUpstreamConnected() {
      connection.begin(false, false);
      connection.wire.writeText("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      connection.endRequest();
    },
    onUpstreamInformation() {},
    onUpstreamHead(head) {
      status = head.status;
    },
    onUpstreamSwitch() {},
    onUpstreamBody() {},
    onUpstreamEnd: () => resolve(status),
    onUpstreamFlush() {},
    onUpstreamDrain() {},
    onUpstreamError: (code, detail) => reject(new Error(`${code}: ${detail}`)),
  };
  const timeouts = { connectMs: 10_000, readMs: 10_000, writeMs: 10_000 };
  const connection = pool.origin(to).connect(owner, timeouts);
  return promise;
}

describe("the pool of a data thread", () => {
  it("equal places are one origin, different ones are not", () => {
    const pool = newPool();
    const secure = (more: Partial<UpstreamTlsOptions>) => () => ({
      address: "10.0.0.1",
      port: 443,
      tls: new UpstreamTls({
        servername: "a.test",
        verify: true,
        depth: null,
        ca: ["one"],
        client: null,
        ...more,
      }),
    });
    const client = { cert: "a certificate", key: "a key" };
    const places: (() => Place)[] = [
      () => place(1),
      () => ({ ...place(1), port: 81 }),
      secure({}),
      secure({ depth: 1 }),
      secure({ client }),
      secure({ client: { ...client, key: "another key" } }),
      secure({ servername: "b.test" }),
      secure({ servername: null }),
      secure({ verify: false }),
      secure({ ca: null }),
      secure({ ca: ["two"] }),
    ];
    const origins = places.map((one) => pool.origin(one()));
    assert.equal(new Set(origins).size, places.length);
    for (const [i, one] of places.entries()) assert.equal(pool.origin(one()), origins[i]);
  });

  it("places that nobody uses any more are forgotten, and those that are used are not", async () => {
    const pool = newPool();
    const used = pool.origin(place(0));
    for (let i = 0; i < 5000; i++) pool.origin(place(i));
    await shrinksTo(pool, 1);
    assert.equal(pool.origin(place(0)), used);
  });

  it("a place with a kept connection is known until that connection ends", async () => {
    await using origin = await startRawOrigin(({ socket }) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    const pool = newPool();
    const to: Place = { address: "127.0.0.1", port: Number(new URL(origin.url).port), tls: null };
    assert.equal(await request(pool, to), 200);
    for (let i = 0; i < 100; i++) pool.origin(place(i));
    await shrinksTo(pool, 1);
    assert.equal(origin.accepted, 1);
    pool.close();
    await shrinksTo(pool, 0);
  });
});

describe("a name with very many addresses", () => {
  let folder: string;
  let hostsFile: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gatehouse-hosts-"));
    hostsFile = join(folder, "hosts");
    const lines = Array.from({ length: 200 }, (_, i) => `127.0.1.${i} many.test\n127.0.2.${i % 3} few.test`);
    await writeFile(hostsFile, lines.join("\n"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("gets its requests at 64 of them, the same ones each time, and other targets keep theirs", async () => {
    const addressesOf = async () => {
      const pool = newPool();
      const resolver = new Resolver({ servers: null, hostsFile });
      const targets = ["many.test", "few.test"].map((host) => ({ host, port: 80, weight: 1 }));
      const balancer = new Balancer(targets, resolver, 80, (address, { port }) =>
        pool.origin({ address, port, tls: null }),
      );
      const found = new Set<string>();
      for (let i = 0; i < 400; i++) found.add((await balancer.pick(null)).origin.place.address);
      return [...found].sort();
    };
    const found = await addressesOf();
    assert.equal(found.filter((address) => address.startsWith("127.0.1.")).length, 64);
    assert.equal(found.filter((address) => address.startsWith("127.0.2.")).length, 3);
    assert.deepEqual(await addressesOf(), found);
  });
});
