/** A balancer some of whose addresses the egress policy refuses: how often it asks, and what is picked. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { GatewayError } from "../../src/errors.ts";
import { Deadlines } from "../../src/http1/deadlines.ts";
import { Balancer } from "../../src/upstream/balancer.ts";
import { Pool } from "../../src/upstream/pool.ts";
import { Resolver } from "../../src/upstream/resolver.ts";
import { type NameServer, startNameServer } from "../support/name-server.ts";

const GOOD = "192.0.2.1";
const BAD = "127.0.0.1";
/** How often a test looks whether a name server's new answer is in use: the old one holds for a second. */
const LOOK_MS = 50;
/** What names lead to, by how often they were asked for; the last answer stays. */
const NAMES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "mixed.test": [[BAD, GOOD]],
  "turns-bad.test": [[GOOD], [BAD]],
  "turns-good.test": [[BAD], [GOOD]],
  "vanishes.test": [[GOOD], []],
};

describe("addresses that are refused", () => {
  let names: NameServer;
  /** Addresses that the policy was asked about. */
  let asked: string[] = [];

  before(async () => {
    names = await startNameServer((name, before) => {
      const answers = NAMES[name] ?? [];
      return answers[Math.min(before, answers.length - 1)] ?? [];
    });
  });
  after(() => names[Symbol.asyncDispose]());

  function balancer(...hosts: string[]): Balancer {
    asked = [];
    const limits = { maxHeadBytes: 1000, maxHeaders: 10, maxUrlBytes: 100 } as never;
    const pool = new Pool({ limits, size: 1, maxRequests: 1, idleTimeoutMs: 1 }, new Deadlines());
    const resolver = new Resolver({ servers: [names.address], hostsFile: "/dev/null" });
    const targets = hosts.map((host) => ({ host, port: 80, weight: 1 }));
    return new Balancer(targets, resolver, 80, (address, { port }) => {
      asked.push(address);
      return address === BAD ? null : pool.origin({ address, port, tls: null });
    });
  }

  const picked = async (from: Balancer): Promise<string> => {
    try {
      return (await from.pick(null)).origin.place.address;
    } catch (error) {
      return (error as GatewayError).code;
    }
  };
  /** Picks until something else comes of it. */
  const untilNot = async (from: Balancer, before: string): Promise<string> => {
    for (;;) {
      const now = await picked(from);
      if (now !== before) return now;
      await setTimeout(LOOK_MS);
    }
  };

  it("the policy is asked once for each address, however many requests there are", async () => {
    const all = balancer(GOOD, "192.0.2.2");
    for (let i = 0; i < 100; i++) await picked(all);
    assert.deepEqual(asked, [GOOD, "192.0.2.2"]);
  });

  it("what is left of a name's addresses is used", async () => {
    const mixed = balancer("mixed.test");
    for (let i = 0; i < 10; i++) assert.equal(await picked(mixed), GOOD);
    assert.deepEqual(asked, [BAD, GOOD]);
  });

  it("where nothing is left, requests do not make the policy and the name server work for each", async () => {
    const bad = balancer(BAD);
    for (let i = 0; i < 100; i++) assert.equal(await picked(bad), "egress_refused");
    assert.ok(asked.length <= 2, `${asked.length}`);
  });

  it("targets that are refused leave all requests to the others", async () => {
    const both = balancer(BAD, GOOD);
    for (let i = 0; i < 4; i++) assert.equal(await picked(both), GOOD);
  });

  it("a name that turns to a refused address serves no more, and nothing else breaks", async () => {
    const turns = balancer("turns-bad.test");
    assert.equal(await picked(turns), GOOD);
    assert.equal(await untilNot(turns, GOOD), "egress_refused");
  });

  it("a name that turns to an allowed address serves from then on", async () => {
    const turns = balancer("turns-good.test");
    assert.equal(await picked(turns), "egress_refused");
    assert.equal(await untilNot(turns, "egress_refused"), GOOD);
  });

  it("a name that does not resolve any more keeps what was allowed", async () => {
    const vanishes = balancer("vanishes.test");
    assert.equal(await picked(vanishes), GOOD);
    const asks = () => names.asked.filter((name) => name === "vanishes.test").length;
    while (asks() < 2) {
      assert.equal(await picked(vanishes), GOOD);
      await setTimeout(LOOK_MS);
    }
    assert.equal(await picked(vanishes), GOOD);
  });
});
