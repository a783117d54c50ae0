/** The caps on connections: exact over threads, kept when a thread dies, and the same for every part of a network. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { connectionsThatFit } from "../../src/settings/descriptors.ts";
import { addressKey } from "../../src/threads/address-key.ts";
import {
  CapColumns,
  ConnectionCaps,
  type ConnectionCapsSpec,
  connectionCapsSpec,
} from "../../src/threads/connection-caps.ts";
import type { CapsThread } from "./caps-thread.ts";

function hammer(spec: ConnectionCapsSpec, column: number, more: Partial<CapsThread> = {}): Worker {
  const workerData: CapsThread = {
    spec,
    column,
    addresses: ["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.1"],
    rounds: 20_000,
    endless: false,
    ...more,
  };
  return new Worker(new URL("./caps-thread.ts", import.meta.url), { workerData });
}

describe("caps on connections", () => {
  it("let in as many as they say, of one address and in all", () => {
    const caps = new ConnectionCaps(connectionCapsSpec(5, 3, 1), 0);
    const three = [1, 2, 3].map(() => caps.enter("192.0.2.1", false));
    assert.ok(three.every((seat) => typeof seat === "number"));
    assert.equal(caps.enter("192.0.2.1", false), "address");
    assert.equal(typeof caps.enter("192.0.2.2", false), "number");
    assert.equal(typeof caps.enter("192.0.2.3", false), "number");
    assert.equal(caps.enter("192.0.2.4", false), "total");
    caps.leave(three[0] as number);
    assert.equal(typeof caps.enter("192.0.2.1", false), "number");
    assert.equal(caps.enter("192.0.2.1", false), "total");
  });

  it("leave trusted addresses out of the count by address, and not of the one in all", () => {
    const caps = new ConnectionCaps(connectionCapsSpec(3, 1, 1), 0);
    const seats = [1, 2, 3].map(() => caps.enter("10.0.0.1", true));
    assert.ok(seats.every((seat) => typeof seat === "number"));
    assert.equal(caps.enter("10.0.0.1", true), "total");
    for (const seat of seats) caps.leave(seat as number);
    assert.equal(typeof caps.enter("10.0.0.1", false), "number");
    assert.equal(caps.enter("10.0.0.1", false), "address");
  });

  it("count addresses without end, one after the other and in any order", () => {
    const spec = connectionCapsSpec(50, 2, 1);
    const columns = new CapColumns(spec);
    const caps = new ConnectionCaps(spec, 0);
    const held: number[] = [];
    for (let i = 0; i < 20_000; i++) {
      const seat = caps.enter(`10.${i & 255}.${(i * 7) & 255}.${(i * 13) & 255}`, false);
      if (typeof seat === "number") held.push(seat);
      if (held.length === 40) for (const at of [31, 17, 3, 0]) caps.leave(held.splice(at, 1)[0] as number);
    }
    assert.equal(columns.openConnections, held.length);
    for (const seat of held) caps.leave(seat);
    assert.equal(columns.openConnections, 0);
    assert.deepEqual(columns.refused, { total: 0, address: 0 });
  });

  it("are the gateway's, not a thread's: what one thread lets in, another does not", () => {
    const spec = connectionCapsSpec(10, 2, 2);
    const [first, second] = [new ConnectionCaps(spec, 0), new ConnectionCaps(spec, 1)];
    const seat = first.enter("192.0.2.1", false);
    assert.equal(typeof second.enter("192.0.2.1", false), "number");
    assert.equal(second.enter("192.0.2.1", false), "address");
    first.leave(seat as number);
    assert.equal(typeof second.enter("192.0.2.1", false), "number");
  });

  it("are exact while threads enter and leave at the same time", async () => {
    const columns = new CapColumns(connectionCapsSpec(100, 3, 4));
    const threads = [0, 1, 2, 3].map(() => hammer(columns.spec, columns.open()));
    const refused = await Promise.all(
      threads.map(async (thread) => {
        let count = 0;
        thread.on("message", (message: unknown) => {
          if (typeof message === "number") count = message;
        });
        await once(thread, "exit");
        return count;
      }),
    );
    assert.equal(columns.openConnections, 0);
    assert.deepEqual(columns.refused, { total: 0, address: refused.reduce((sum, one) => sum + one, 0) });
    const caps = new ConnectionCaps(columns.spec, 0);
    assert.equal(typeof caps.enter("192.0.2.1", false), "number");
  });

  it("lose no seat to threads that are ended in the middle of it", async () => {
    const columns = new CapColumns(connectionCapsSpec(100, 50, 4));
    const witness = new ConnectionCaps(columns.spec, columns.open());
    const kept = witness.enter("192.0.2.9", false);
    for (let round = 0; round < 10; round++) {
      const opened = [columns.open(), columns.open()];
      const threads = opened.map((column) => hammer(columns.spec, column, { endless: true }));
      await Promise.all(threads.map((thread) => once(thread, "message")));
      for (const [i, thread] of threads.entries()) {
        await thread.terminate();
        columns.close(opened[i] as number);
      }
      assert.equal(columns.openConnections, 1);
    }
    for (let i = 0; i < 50; i++) assert.equal(typeof witness.enter("192.0.2.1", false), "number");
    assert.equal(witness.enter("192.0.2.1", false), "address");
    witness.leave(kept as number);
    assert.equal(columns.openConnections, 50);
  });
});

describe("what counts as one address", () => {
  const same = [
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"],
    ["2001:db8:1:2::1", "2001:DB8:0001:0002:0:0:0:5"],
    ["::1", "::"],
    ["fe80::1%eth0", "fe80::2%lo"],
    ["::1.2.3.4", "::5.6.7.8"],
  ] as const;
  for (const [one, other] of same)
    it(`${one} and ${other} do`, () => assert.deepEqual(addressKey(one), addressKey(other)));
  const different = [
    ["2001:db8:1:2::1", "2001:db8:1:3::1"],
    ["192.0.2.1", "192.0.2.2"],
    ["255.255.255.255", "::"],
    ["1::", "::1"],
    ["1:2:3:4::", "1:2:3::4"],
  ] as const;
  for (const [one, other] of different)
    it(`${one} and ${other} do not`, () => assert.notDeepEqual(addressKey(one), addressKey(other)));
});

describe("connections that fit the process's descriptors", () => {
  const cases = [
    [1024, 384],
    [20_000, 9872],
    [1_048_576, 65_536],
    [Number.POSITIVE_INFINITY, 65_536],
    [200, 64],
  ] as const;
  for (const [limit, expected] of cases)
    it(`${limit} descriptors: ${expected}`, () => assert.equal(connectionsThatFit(limit), expected));
});
