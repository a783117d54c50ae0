/** Guests that burn CPU time: their workspace runs out of its budget, is refused, and comes back; others notice nothing. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Hooks } from "@gatehouse/sdk";
import { GuestFailure } from "../../src/sandbox/calls/guest.ts";
import { HostCallError } from "../../src/sandbox/calls/host-call-error.ts";
import { costOf } from "../../src/sandbox/calls/host-calls.ts";
import { type CpuAllowance, UNBOUNDED } from "../../src/sandbox/supervisor/budget.ts";
import { MemoryContext } from "./context.ts";
import {
  accessPlugin,
  bundleSource,
  type GuestParts,
  RecordingHost,
  type Sandbox,
  settings,
  startSandbox,
} from "./sandbox.ts";

const SMALL: CpuAllowance = { msPerSecond: 100, burstMs: 300 };
/** Every test has workspaces of its own: `small-…` have a budget. */
const allowanceOf = (workspace: string) => (workspace.startsWith("small-") ? SMALL : UNBOUNDED);

/** It is the budget that ends calls here. */
const NO_HURRY = { wallMs: 60_000, cpuMs: 30_000 };

const exhausted: string[] = [];
let sandbox: Sandbox;
/** Burns a fraction of a millisecond of CPU time, as often as the query says. */
let burner: Uint8Array;

before(async () => {
  burner = await bundleSource(
    accessPlugin(`let turns = Number(ctx.request.query.slice(2)) * 100_000;
      for (let x = 1; turns > 0; turns--) x = (x * 31 + turns) | 0;
      ctx.request.headers.set("x-good", "yes");`),
  );
  sandbox = await startSandbox({
    cpuAllowance: allowanceOf,
    onExhausted: (workspace) => exhausted.push(workspace),
  });
});

after(() => sandbox.close());

function guest(workspace: string, parts: GuestParts = {}): Hooks {
  return sandbox.client.hooks(
    settings(burner, { workspace, limits: NO_HURRY, ...parts }),
    new RecordingHost(),
  );
}

async function call(hooks: Hooks, units: number): Promise<"good" | "skipped" | GuestFailure> {
  const ctx = new MemoryContext({ query: `n=${units}` });
  try {
    await hooks.access?.(ctx);
    return ctx.request.headers.get("x-good") === "yes" ? "good" : "skipped";
  } catch (error) {
    if (error instanceof GuestFailure) return error;
    throw error;
  }
}

const isBudget = (outcome: unknown): outcome is GuestFailure =>
  outcome instanceof GuestFailure && outcome.failure === "budget";

/** Calls until the workspace is refused; returns the refusal. */
async function exhaust(hooks: Hooks): Promise<GuestFailure> {
  for (let i = 0; i < 500; i++) {
    const outcome = await call(hooks, 20);
    if (isBudget(outcome)) return outcome;
    assert.equal(outcome, "good");
  }
  throw new Error("a budget of 300 ms was not used up by 500 calls");
}

const account = (workspace: string) =>
  sandbox.supervisor.cpuAccounts().find((one) => one.workspace === workspace);

test("a workspace that has used up its CPU time is refused, told when to come back, and let in again then", async () => {
  const hooks = guest("small-comeback");
  const refusal = await exhaust(hooks);
  assert.ok(refusal.retryAfterMs !== null && refusal.retryAfterMs > 0, String(refusal.retryAfterMs));
  assert.ok(exhausted.includes("small-comeback"));
  let outcome: Awaited<ReturnType<typeof call>> = refusal;
  while (isBudget(outcome)) {
    await delay(outcome.retryAfterMs ?? 0);
    outcome = await call(hooks, 0);
  }
  assert.equal(outcome, "good");
  assert.ok((account("small-comeback")?.usedMs ?? 0) >= SMALL.burstMs);
});

test("while one burns its budget again and again, every call of its neighbours succeeds", async () => {
  const noisy = guest("small-noisy");
  const neighbour = guest("small-quiet");
  const unbounded = guest("default");
  assert.equal(await call(neighbour, 0), "good");
  assert.equal(await call(unbounded, 0), "good");
  const outcomes: unknown[] = [];
  let refused = 0;
  const burning = (async () => {
    while (refused < 100) {
      const round = await Promise.all(Array.from({ length: 8 }, () => call(noisy, 50)));
      refused += round.filter(isBudget).length;
    }
  })();
  let over = false;
  void burning.finally(() => {
    over = true;
  });
  while (!over) {
    outcomes.push(await call(neighbour, 0), await call(unbounded, 0));
    await delay(5);
  }
  await burning;
  assert.deepEqual(
    outcomes.filter((outcome) => outcome !== "good"),
    [],
  );
  assert.ok((account("small-noisy")?.exhausted ?? 0) >= 1);
  assert.equal(account("small-quiet")?.exhausted, 0);
});

test("what runs when the debt is too great is cut off as well, and costs no suspension", async () => {
  const hooks = guest("small-debtor");
  // As many as one cordon takes: what waits for one gives up after a while, and one that burns comes last on a busy machine.
  const outcomes = await Promise.all(Array.from({ length: 30 }, () => call(hooks, 1000)));
  assert.ok(outcomes.some(isBudget));
  assert.ok(
    outcomes.every((outcome) => outcome === "good" || isBudget(outcome)),
    JSON.stringify(outcomes),
  );
  assert.ok(
    sandbox.log.some(({ fields }) => fields.workspace === "small-debtor" && fields.kind === "budget"),
  );
  assert.ok(
    !sandbox.log.some(
      ({ message, fields }) => /suspended/.test(message) && fields.workspace === "small-debtor",
    ),
  );
});

test("calls wait for the budget where their workspace is told to wait, and fail where it would take too long", async () => {
  const waiting = guest("small-patient", { name: "patient", cpuWaitMs: 60_000 });
  const hasty = guest("small-patient", { name: "hasty" });
  await exhaust(hasty);
  const [late, refused] = await Promise.all([call(waiting, 0), call(hasty, 0)]);
  assert.equal(late, "good");
  assert.ok(isBudget(refused));
});

test("a plugin whose failures are passed over is passed over while the budget is used up, and that is counted", async () => {
  const open = guest("small-open", { name: "open", fail: "open" });
  await exhaust(guest("small-open", { name: "closed" }));
  assert.equal(await call(open, 0), "skipped");
  const row = sandbox.client.ledger().find(({ plugin }) => plugin === "open");
  assert.deepEqual(row?.failures, { budget: 1 });
});

test("a plugin has at most so many calls open as its limit says: the next is refused, and another plugin's is not", async () => {
  const one = guest("crowded", { name: "one", limits: { ...NO_HURRY, concurrentCalls: 3 } });
  const other = guest("crowded", { name: "other" });
  const outcomes = await Promise.all([...Array.from({ length: 5 }, () => call(one, 5)), call(other, 5)]);
  assert.deepEqual(
    outcomes.map((outcome) => (outcome instanceof GuestFailure ? outcome.failure : outcome)),
    ["good", "good", "good", "busy", "busy", "good"],
  );
  assert.equal(await call(one, 0), "good");
});

test("what was read for a guest that did not wait for it is charged too", async () => {
  const asker = await bundleSource(
    accessPlugin(`host.fetch({ url: "https://api.test/" }).catch(() => {});
      await host.kv.get("a");
      ctx.request.headers.set("x-good", "yes");`),
  );
  const host = new RecordingHost();
  host.fetch = async () => {
    throw new HostCallError("too much", 250_000_000);
  };
  const grants = { httpHosts: ["api.test"], kvBytes: 1000, requestHeaders: ["x-good"] };
  const hooks = sandbox.client.hooks(
    settings(asker, { workspace: "leaver", limits: NO_HURRY, grants }),
    host,
  );
  assert.equal(await call(hooks, 0), "good");
  while ((account("leaver")?.usedMs ?? 0) < 1000) await delay(20);
});

test("what a guest has the gateway do is charged to its workspace besides the CPU time of its own process", async () => {
  const asker = await bundleSource(
    accessPlugin(`for (let i = 0; i < 40; i++) await host.fetch({ url: "https://api.test/" });
      ctx.request.headers.set("x-good", "yes");`),
  );
  const hooks = sandbox.client.hooks(
    settings(asker, {
      workspace: "asker",
      limits: NO_HURRY,
      grants: { httpHosts: ["api.test"], requestHeaders: ["x-good"] },
    }),
    new RecordingHost(),
  );
  /** What is charged beyond what the kernel says of the process. */
  const beyond = () => {
    const cordon = sandbox.supervisor.status().cordons.find(({ workspace }) => workspace === "asker");
    return (account("asker")?.usedMs ?? 0) - (cordon?.cpuMs ?? 0);
  };
  assert.equal(await call(hooks, 0), "good");
  const before = beyond();
  for (let i = 0; i < 100; i++) assert.equal(await call(hooks, 0), "good");
  const owed = (100 * 40 * costOf({ method: "fetch", args: [] })) / 1000;
  // It is charged when the process is looked at next.
  while (beyond() - before < owed * 0.9) await delay(20);
});
