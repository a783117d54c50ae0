/** What a data thread gathers of a request for those who read along, and how much of it at most. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Phase } from "@gatehouse/sdk";
import { Tail } from "../../src/data-thread/tail.ts";
import type { Exchange } from "../../src/pipeline/exchange.ts";
import type { Witness } from "../../src/sandbox/calls/witness.ts";
import type { TailEvent, TailRequest } from "../../src/tail/events.ts";
import { MemoryContext } from "../sandbox/context.ts";
import { settings } from "../sandbox/sandbox.ts";

const GUEST = settings(new Uint8Array(), { workspace: "acme", name: "stamp", grants: { log: true } });
const USAGE = { cpuMicros: 500, fuel: 7, memoryBytes: 1000 };

function started() {
  const events: TailEvent[] = [];
  let witness: Witness | null = null;
  const arrived = { resolve: () => {} };
  const tail = new Tail(
    (told) => {
      events.push(...told);
      arrived.resolve();
    },
    (given) => {
      witness = given;
    },
  );
  tail.replace([{ workspace: "acme", plugin: "stamp" }]);
  const call = (ctx: MemoryContext, phase: Phase, lines: string[] = [], guest = GUEST) => {
    const seen = (witness as Witness | null)?.(guest, ctx, phase) ?? null;
    const logged = lines.map((line, seq) => ({ seq, method: "log", args: ["info", line], waits: false }));
    seen?.turn(USAGE, logged);
    return () => seen?.end({ wallMs: 1, reply: null, failed: null });
  };
  return {
    tail,
    events,
    call,
    finish: (ctx: MemoryContext) => tail.finished(ctx as unknown as Exchange),
    isWatching: () => witness !== null,
    /** The next time that something is told. */
    told: () =>
      new Promise<void>((resolve) => {
        arrived.resolve = resolve;
      }),
  };
}

test("a request is told once its last call has ended, that of its log phase included", () => {
  const { tail, events, call, finish } = started();
  const ctx = new MemoryContext();
  call(ctx, "access")();
  const logging = call(ctx, "log");
  finish(ctx);
  tail.flush();
  assert.equal(events.length, 0);
  logging();
  tail.flush();
  const [event] = events as TailRequest[];
  assert.deepEqual(
    event?.calls.map(({ phase, cpu_ms, fuel }) => [phase, cpu_ms, fuel]),
    [
      ["access", 0.5, 7],
      ["log", 0.5, 7],
    ],
  );
});

test("chunks of a body are one call, and calls and lines have a bound each", () => {
  const { tail, events, call, finish } = started();
  const ctx = new MemoryContext();
  for (let i = 0; i < 30; i++) call(ctx, "body_filter", ["x".repeat(2000), "b"])();
  for (let i = 0; i < 30; i++) call(ctx, i % 2 === 0 ? "access" : "rewrite")();
  finish(ctx);
  tail.flush();
  const [event] = events as TailRequest[];
  assert.deepEqual([event?.calls[0]?.phase, event?.calls[0]?.calls], ["body_filter", 30]);
  assert.equal(event?.calls.length, 16);
  assert.equal(
    event?.calls.reduce((sum, { calls }) => sum + calls, 0),
    60,
  );
  assert.deepEqual([event?.logs.length, event?.logs_left_out], [50, 10]);
  assert.equal(event?.logs[0]?.message.length, 1024);
});

test("lines without the grant, other plugins and other workspaces are not told", () => {
  const { tail, events, call, finish } = started();
  const ctx = new MemoryContext();
  const silent = settings(new Uint8Array(), { workspace: "acme", name: "stamp" });
  call(ctx, "access", ["a line"], silent)();
  call(ctx, "access", ["a line"], settings(new Uint8Array(), { workspace: "acme", name: "other" }))();
  call(ctx, "access", ["a line"], settings(new Uint8Array(), { workspace: "globex", name: "stamp" }))();
  finish(ctx);
  tail.flush();
  assert.deepEqual(
    (events as TailRequest[]).map(({ workspace, plugin, logs }) => [workspace, plugin, logs.length]),
    [["acme", "stamp", 0]],
  );
});

test("a workspace with very many requests is told how many were left out", async () => {
  const { events, call, finish, tail, told } = started();
  for (let i = 0; i < 1000; i++) {
    const ctx = new MemoryContext();
    call(ctx, "access")();
    finish(ctx);
  }
  tail.flush();
  const requests = events.length;
  assert.ok(requests >= 400 && requests < 1000, `${requests}`);
  await told();
  assert.deepEqual(events.at(-1), { kind: "dropped", workspace: "acme", requests: 1000 - requests });
});

test("nothing is watched once nobody reads", () => {
  const { tail, isWatching } = started();
  assert.equal(isWatching(), true);
  tail.replace([]);
  assert.equal(isWatching(), false);
});
