/** Two versions of a plugin in one chain: each request meets one of them, in all phases. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Context, Hooks } from "@gatehouse/sdk";
import { type Chain, Chains, type Drawing, type ScopedPlugin } from "../../src/pipeline/chain.ts";
import { type Gate, MAX_GATES } from "../../src/pipeline/gates.ts";

/** A gate that admits what it is told to, and remembers what it counted. */
class Switch implements Gate {
  readonly counted: string[] = [];
  asked = 0;
  readonly id: string;
  open: boolean;

  constructor(id: string, open = false) {
    this.id = id;
    this.open = open;
  }

  admits(): boolean {
    this.asked++;
    return this.open;
  }

  count(_ctx: Context, canary: boolean): void {
    this.counted.push(canary ? "canary" : "running");
  }
}

const everywhere = { routeId: null, serviceId: null, consumerId: null };
const hooksOf = (...phases: Exclude<keyof Hooks, "observes">[]): Hooks =>
  Object.fromEntries(phases.map((phase) => [phase, () => undefined]));

const plugin = (name: string, priority: number, hooks: Hooks, more: Partial<ScopedPlugin> = {}) => ({
  ...{ name, priority, hooks, ...everywhere },
  ...more,
});

const request = (): Drawing => ({ request: { headers: { getAll: () => [] } }, drawn: null });
const put = (...plugins: ScopedPlugin[]) => Chains.none.with({ remove: [], put: plugins });
const chosen = (chain: Chain, x = request()) => chain.choose?.(x) ?? chain;
const names = (entries: Chain["access"]) => entries.map(({ name }) => name);

describe("gates", () => {
  test("without canaries a chain is used as it is, and nothing is drawn", () => {
    assert.equal(put(plugin("p", 1, hooksOf("access"))).global.choose, null);
    assert.equal(Chains.none.global.choose, null);
  });

  test("a canary brings its own phases and its own priority, and the other version's are gone", () => {
    const gate = new Switch("g");
    const canary = { gate, priority: 5, hooks: hooksOf("rewrite", "access", "response") };
    const { global } = put(
      plugin("p", 20, hooksOf("access", "headerFilter", "bodyFilter"), { canary }),
      plugin("q", 10, hooksOf("access")),
    );
    const running = chosen(global);
    assert.deepEqual(names(running.access), ["p", "q"]);
    assert.deepEqual([running.rewrite, running.response].map(names), [[], []]);
    assert.deepEqual([running.headerFilter, running.bodyFilter].map(names), [["p"], ["p"]]);
    gate.open = true;
    const tried = chosen(global);
    assert.deepEqual(names(tried.access), ["q", "p"]);
    assert.deepEqual([tried.rewrite, tried.response].map(names), [["p"], ["p"]]);
    assert.deepEqual([tried.headerFilter, tried.bodyFilter].map(names), [[], []]);
    assert.equal(tried.access[1]?.hooks, canary.hooks);
  });

  test("a request is drawn for once, whatever chains it comes by", () => {
    const gate = new Switch("g", true);
    const canary = { gate, priority: 1, hooks: hooksOf("access") };
    const chains = put(
      plugin("p", 1, hooksOf("access"), { canary }),
      plugin("q", 2, hooksOf("access"), { routeId: "r" }),
    );
    const x = request();
    assert.equal(chosen(chains.global, x).access[0]?.hooks, canary.hooks);
    gate.open = false;
    assert.equal(chosen(chains.chain("r", null), x).access[1]?.hooks, canary.hooks);
    assert.equal(gate.asked, 1);
    assert.notEqual(chosen(chains.chain("r", null)).access[1]?.hooks, canary.hooks);
  });

  test("what was drawn holds when the consumer is known and has a configuration of its own", () => {
    const gate = new Switch("g", true);
    const forAlice = { gate, priority: 7, hooks: hooksOf("access") };
    const canary = { gate, priority: 7, hooks: hooksOf("access") };
    const chains = put(
      plugin("auth", 100, hooksOf("access")),
      plugin("p", 1, hooksOf("access"), { canary }),
      plugin("p", 1, hooksOf("access"), { canary: forAlice, consumerId: "alice" }),
    );
    const x = request();
    const before = chosen(chains.global, x);
    const after = before.forConsumer("alice", before.access[0]!);
    assert.deepEqual(names(after.access), ["auth", "p"]);
    assert.equal(after.access[1]?.hooks, forAlice.hooks);
    assert.equal(after.choose, null);
  });

  test("a configuration that names its version exactly is not gated, and shares the priority of its plugin", () => {
    const gate = new Switch("g", true);
    const canary = { gate, priority: 30, hooks: hooksOf("access") };
    const pinned = hooksOf("access");
    const chains = put(
      plugin("p", 1, hooksOf("access"), { canary }),
      plugin("p", 1, pinned, { routeId: "pinned" }),
      plugin("q", 10, hooksOf("access")),
    );
    const chain = chosen(chains.chain("pinned", null));
    assert.deepEqual(names(chain.access), ["p", "q"]);
    assert.equal(chain.access[0]?.hooks, pinned);
    gate.open = false;
    assert.deepEqual(names(chosen(chains.chain("pinned", null)).access), ["q", "p"]);
  });

  test("requests are counted for their version, where a chain has the plugin, after all other log hooks", () => {
    const gate = new Switch("g");
    const canary = { gate, priority: 1, hooks: {} };
    const chains = put(
      plugin("p", 1, hooksOf("log"), { canary, routeId: "r" }),
      plugin("q", 0, hooksOf("log")),
    );
    const over = (chain: Chain) => {
      for (const { hooks } of chain.log) void hooks.log?.({} as Context);
    };
    over(chosen(chains.chain("r", null)));
    over(chosen(chains.global));
    gate.open = true;
    const tried = chosen(chains.chain("r", null));
    assert.deepEqual(names(tried.log), ["q", "g"]);
    over(tried);
    assert.deepEqual(gate.counted, ["running", "canary"]);
  });

  test("two roll-outs are drawn for apart", () => {
    const [a, b] = [new Switch("a"), new Switch("b")];
    const one = { gate: a, priority: 1, hooks: hooksOf("access") };
    const two = { gate: b, priority: 1, hooks: hooksOf("access") };
    const { global } = put(
      plugin("p", 1, hooksOf("access"), { canary: one }),
      plugin("q", 1, hooksOf("access"), { canary: two }),
    );
    for (const [first, second] of [
      [false, false],
      [false, true],
      [true, false],
      [true, true],
    ] as const) {
      a.open = first;
      b.open = second;
      const { access } = chosen(global);
      const hooks = new Map(access.map((entry) => [entry.name, entry.hooks]));
      assert.deepEqual([hooks.get("p") === one.hooks, hooks.get("q") === two.hooks], [first, second]);
    }
  });

  test("once no plugin has a canary, chains are used as they are again", () => {
    const gate = new Switch("g");
    const canary = { gate, priority: 1, hooks: {} };
    const first = plugin("p", 1, hooksOf("access"), { canary });
    const second = plugin("p", 1, hooksOf("access"), { canary, routeId: "r" });
    const both = put(first, second);
    const one = both.with({ remove: [first], put: [] });
    assert.notEqual(one.global.choose, null);
    assert.equal(one.with({ remove: [second], put: [{ ...second, canary: undefined }] }).global.choose, null);
  });

  test(`of more than ${MAX_GATES} roll-outs in a workspace the later ones wait: their plugins stay as they are`, () => {
    const gates = Array.from({ length: MAX_GATES + 1 }, (_, i) => new Switch(`g${i}`, true));
    const { global } = put(
      ...gates.map((gate, i) =>
        plugin(`p${i}`, 1, {}, { canary: { gate, priority: 1, hooks: hooksOf("access") } }),
      ),
    );
    assert.equal(chosen(global).access.length, MAX_GATES);
  });
});
