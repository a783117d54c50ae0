/** When a new version is promoted, when it goes, and when more has to be seen. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Figures, figuresOf, NO_FIGURES } from "../../src/rollout/figures.ts";
import type { Watch } from "../../src/rollout/rollout.ts";
import { type Compared, costsMore, failsMore, Observation } from "../../src/rollout/verdict.ts";
import type { LedgerRow } from "../../src/sandbox/ledger.ts";

const WATCH: Watch = {
  windowSeconds: 60,
  minCalls: 100,
  maxErrorRate: 0.01,
  maxViolationRate: 0,
  maxLatencyRatio: 2,
  maxFuelRatio: 1.5,
  promote: "auto",
};

const figures = (own: Partial<Figures>): Figures => ({ ...NO_FIGURES, ...own });
const of = (running: Partial<Figures>, canary: Partial<Figures>): Compared => ({
  running: figures(running),
  canary: figures(canary),
});

describe("failures", () => {
  const GOOD = { calls: 1000, requests: 1000 };
  for (const [title, running, canary, reason] of [
    ["none", GOOD, { calls: 100 }, null],
    ["as few as are allowed", GOOD, { calls: 200, failedCalls: 2 }, null],
    [
      "more than are allowed",
      GOOD,
      { calls: 200, failedCalls: 3 },
      /^errors: 1.5 % of its calls fail \(3 of 200\), 0 % of/,
    ],
    ["one, of the first calls", GOOD, { calls: 2, failedCalls: 1 }, null],
    [
      "more of the first calls than any later ones could make good",
      GOOD,
      { calls: 2, failedCalls: 2 },
      /^errors/,
    ],
    [
      "as many as the running version has",
      { calls: 1000, failedCalls: 500 },
      { calls: 100, failedCalls: 60 },
      null,
    ],
    [
      "clearly more than it has",
      { calls: 1000, failedCalls: 500 },
      { calls: 100, failedCalls: 70 },
      /^errors/,
    ],
    [
      "a single violation",
      GOOD,
      { calls: 100, violations: 1, failedCalls: 1 },
      /^violations: 1 % of its calls break the/,
    ],
    [
      "violations that the running version has too",
      { calls: 1000, violations: 20, failedCalls: 20 },
      { calls: 100, violations: 2, failedCalls: 2 },
      null,
    ],
    [
      "requests that are answered with an error",
      GOOD,
      { calls: 100, requests: 100, failed: 50 },
      /^errors: 50 % of its requests/,
    ],
    [
      "an upstream that is down for both",
      { requests: 900, failed: 900 },
      { requests: 100, failed: 100 },
      null,
    ],
  ] as const)
    test(`${title}: ${reason === null ? "it stays" : "it goes"}`, () => {
      const why = failsMore(of(running, canary), WATCH);
      if (reason === null) assert.equal(why, null);
      else assert.match(String(why), reason);
    });
});

describe("costs", () => {
  const running = { calls: 1000, wallMs: 2000, cpuMs: 1000, fuel: 0 };
  const each = (wallMs: number, cpuMs: number, fuel = 0, calls = 100) => ({
    calls,
    wallMs: wallMs * calls,
    cpuMs: cpuMs * calls,
    fuel: fuel * calls,
  });
  for (const [title, before, canary, reason] of [
    ["the same", running, each(2, 1), null],
    ["twice the latency", running, each(4, 1), null],
    ["more than twice", running, each(4.5, 1), /^latency: 4.5 ms per call, 2 of the running version$/],
    ["more than twice of next to nothing", { ...running, wallMs: 100 }, each(0.9, 1), null],
    ["more CPU time", running, each(2, 1.6), /^CPU time: 1.6 ms of CPU per call/],
    ["more CPU time with too few calls to tell", running, each(2, 1.6, 0, 99), null],
    ["too few calls of the running version to tell", each(2, 1, 0, 99), each(20, 9), null],
    ["more fuel", { ...running, fuel: 1_000_000 }, each(2, 1, 1501), /^fuel: 1500 units per call, 1000 of/],
    ["as much fuel in more time", { ...running, fuel: 1_000_000 }, each(2, 1.6, 1500), null],
  ] as const)
    test(`${title}: ${reason === null ? "it stays" : "it goes"}`, () => {
      const why = costsMore(of(before, canary), WATCH);
      if (reason === null) assert.equal(why, null);
      else assert.match(String(why), reason);
    });
});

/** Looks at what has been done by certain seconds. */
function watched(
  samples: readonly (readonly [second: number, Partial<Figures>, Partial<Figures>])[],
  usual = NO_FIGURES,
) {
  const observation = new Observation(WATCH, { at: 0, ...of({}, {}) }, usual);
  return samples.map(([second, running, canary]) =>
    observation.look({ at: second * 1000, ...of(running, canary) }),
  );
}

describe("a roll-out that is watched", () => {
  test("is clean when its window is over and enough was seen", () => {
    const [early, few, enough] = watched([
      [59, { calls: 900 }, { calls: 99 }],
      [61, { calls: 1000 }, { calls: 99 }],
      [62, { calls: 1000 }, { calls: 100 }],
    ]);
    assert.deepEqual([early?.kind, few?.kind, enough?.kind], ["wait", "wait", "clean"]);
    assert.match(String(early?.why), /watched for 1 s more/);
    assert.match(String(few?.why), /99 calls, and 100 tell enough/);
  });

  test("the calls that started its cordon say nothing of its latency", () => {
    const busy = (n: number) => ({ calls: n, wallMs: n });
    const verdicts = watched([
      [1, busy(1000), { calls: 60, wallMs: 60 * 90 }],
      [2, busy(2000), { calls: 160, wallMs: 60 * 90 + 100 }],
    ]);
    assert.deepEqual(
      verdicts.map(({ kind }) => kind),
      ["wait", "wait"],
    );
  });

  test("one that goes bad after a long good time is found by its latest calls", () => {
    const busy = (n: number) => ({ calls: n, wallMs: n });
    const good = Array.from({ length: 50 }, (_, i) => [i + 1, busy(i * 1000), busy(i * 1000)] as const);
    const verdicts = watched([
      ...good,
      [55, busy(55_000), { calls: 50_000, wallMs: 70_000 }],
      [59, busy(59_000), { calls: 50_200, wallMs: 80_000 }],
      [63, busy(63_000), { calls: 50_400, wallMs: 90_000 }],
    ]);
    assert.match(String(verdicts.at(-1)?.why), /^latency/);
  });

  test("one that gets all requests is held against what the running version did before", () => {
    const usual = figures({ calls: 10_000, wallMs: 10_000 });
    const verdicts = watched(
      [
        [1, {}, { calls: 10, wallMs: 10 }],
        [2, {}, { calls: 210, wallMs: 2010 }],
      ],
      usual,
    );
    assert.match(String(verdicts[1]?.why), /^latency: 10 ms per call, 1 of/);
  });

  test("sums that begin anew, as those of a ledger that had no room, count from there", () => {
    const verdicts = watched([
      [1, { calls: 100, wallMs: 100 }, { calls: 100, wallMs: 100 }],
      [2, { calls: 200, wallMs: 200 }, { calls: 5, wallMs: 1 }],
    ]);
    assert.equal(verdicts[1]?.kind, "wait");
  });
});

test("calls that no cordon could be had for, or no CPU time, say nothing of a version", () => {
  const row: LedgerRow = {
    ...{ workspace: "w", plugin: "p", version: "1.0.0", calls: 100, cpuMicros: 5000, fuel: 7, hostCalls: 0 },
    ...{ wallMs: 12, memoryBytes: 0, bytesIn: 0, bytesOut: 0 },
    failures: { unavailable: 10, budget: 20, violation: 3, throw: 4, suspended: 1 },
  };
  const sums = figuresOf([row, { ...row, workspace: "v", failures: {} }], { requests: 9, failed: 1 });
  assert.deepEqual(sums, {
    ...{ requests: 9, failed: 1, calls: 170, failedCalls: 8, violations: 3, wallMs: 24, cpuMs: 10, fuel: 14 },
  });
});
