/** Vars that guests share along a request: bounded for all of them together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_GRANTS, requestHeaderGrant } from "../../src/sandbox/calls/grants.ts";
import { applyVerdict, reserveVars, Violation } from "../../src/sandbox/calls/verdict.ts";
import type { Verdict } from "../../src/sandbox/protocol/engine.ts";
import { MemoryContext } from "./context.ts";
import { accessPlugin, bundleSource, PATIENT, RecordingHost, settings, startSandbox } from "./sandbox.ts";

const many = (count: number, from = 0): Record<string, unknown> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`v${from + i}`, 1]));
const KIB = 1024;
const nested = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);

function apply(verdict: Verdict, ctx: MemoryContext): void {
  reserveVars(verdict.vars, ctx);
  applyVerdict(verdict, ctx, { requestHeaders: requestHeaderGrant(NO_GRANTS) });
}

test("64 vars and 64 KiB may be shared along a request", () => {
  const ctx = new MemoryContext();
  apply({ vars: many(63) }, ctx);
  apply({ vars: { big: ["x".repeat(60 * KIB), JSON.parse(nested(31))] } }, ctx);
  assert.equal(Object.keys(ctx.vars).length, 64);
});

for (const [title, steps] of [
  ["more than 64 at once", [many(65)]],
  ["more than 64 over several calls", [many(40), many(25, 40)]],
  ["one of more than 64 KiB", [{ big: "x".repeat(64 * KIB) }]],
  ["several that are more than 64 KiB together", [{ a: "x".repeat(40 * KIB) }, { b: "x".repeat(30 * KIB) }]],
  ["one that is nested deeper than 32 levels", [{ deep: JSON.parse(nested(33)) }]],
  ["one that is nested deeper than a stack", [{ deep: JSON.parse(nested(32_000)) }]],
  ["characters that are more bytes than they look", [{ a: "\u20ac".repeat(30 * KIB) }]],
] as [string, Record<string, unknown>[]][])
  test(`${title}: a violation, and nothing of the verdict is done`, () => {
    const ctx = new MemoryContext();
    for (const vars of steps.slice(0, -1)) apply({ vars }, ctx);
    const before = { ...ctx.vars };
    const verdict = { vars: steps.at(-1) as Record<string, unknown>, request: { method: "PUT" } };
    assert.throws(() => apply(verdict, ctx), Violation);
    assert.equal(ctx.request.method, "GET");
    assert.deepEqual(ctx.vars, before);
  });

test("what is replaced or removed makes room again", () => {
  const ctx = new MemoryContext();
  for (let i = 0; i < 10; i++) apply({ vars: { big: "x".repeat(60 * KIB) } }, ctx);
  apply({ vars: { big: null } }, ctx);
  apply({ vars: { other: "x".repeat(60 * KIB) } }, ctx);
  for (let i = 0; i < 10; i++)
    apply(
      {
        vars: {
          ...many(60, 60 * i),
          ...Object.fromEntries(Object.keys(many(60, 60 * (i - 1))).map((name) => [name, null])),
        },
      },
      ctx,
    );
  assert.equal(Object.keys(ctx.vars).length, 61);
});

test("requests do not share their room, and vars of the gateway's own plugins take none of it", () => {
  const ctx = new MemoryContext({ vars: { own: "x".repeat(100 * KIB) } });
  for (const context of [ctx, new MemoryContext()]) apply({ vars: { big: "x".repeat(60 * KIB) } }, context);
  assert.equal(Object.keys(ctx.vars).length, 2);
});

test("a guest that sets too many fails its call, and the request has none of them", async () => {
  const source = accessPlugin('for (let i = 0; i < 65; i++) ctx.vars["v" + i] = i;');
  const sandbox = await startSandbox();
  try {
    const guest = settings(await bundleSource(source), { limits: PATIENT, phases: ["access"] });
    const hooks = sandbox.client.hooks(guest, new RecordingHost());
    const ctx = new MemoryContext();
    await assert.rejects(async () => hooks.access?.(ctx), { failure: "violation" });
    assert.deepEqual(ctx.vars, {});
  } finally {
    await sandbox.close();
  }
});
