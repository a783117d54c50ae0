/** What a roll-out is as it is asked for and as it is kept. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { validate } from "@gatehouse/sdk";
import { requestOf, rolloutSchema, watchJson } from "../../src/rollout/request.ts";
import {
  ended,
  forgotten,
  isOpen,
  MAX_ENDED,
  type Rollout,
  rolloutOfRow,
  rowOfRollout,
} from "../../src/rollout/rollout.ts";
import { Tally } from "../../src/rollout/tally.ts";

const WATCH = {
  windowSeconds: 60,
  minCalls: 100,
  maxErrorRate: 0.01,
  maxViolationRate: 0,
  maxLatencyRatio: 2,
  maxFuelRatio: 2,
  promote: "auto",
} as const;

const ROLLOUT: Rollout = {
  ...{ id: "r-1", workspace: "acme", workspaceId: "w-1", name: "stamp", channel: "stable" },
  ...{ from: "1.0.0", to: "1.1.0", split: { weight: 0.05 }, watch: WATCH, state: "running", by: "ann" },
  ...{ createdAt: 1000, endedAt: null, why: "", figures: null },
};

function read(body: object): unknown {
  const { value, violations } = validate(rolloutSchema, body);
  return violations.length > 0 ? violations.map(({ path }) => path.join(".")) : requestOf(value);
}

describe("a request for a roll-out", () => {
  test("names a version; the channel is 'stable', and all requests get it at once, unwatched", () => {
    assert.deepEqual(read({ version: "1.1.0" }), {
      version: "1.1.0",
      channel: "stable",
      split: null,
      watch: null,
    });
  });

  test("may be for a part of the requests or for those with a header, and watched by defaults", () => {
    assert.deepEqual(read({ version: "1.1.0", weight: 0.05, watch: {} }), {
      version: "1.1.0",
      channel: "stable",
      split: { weight: 0.05 },
      watch: WATCH,
    });
    const header = { name: "X-Try", value: "New" };
    assert.deepEqual(read({ version: "1.1.0", channel: "beta", header }), {
      ...{ version: "1.1.0", channel: "beta", watch: null },
      split: { header: { name: "x-try", value: "New" } },
    });
    assert.deepEqual(Object.keys(watchJson(WATCH) ?? {}).sort(), [
      ...["max_error_rate", "max_fuel_ratio", "max_latency_ratio", "max_violation_rate"],
      ...["min_calls", "promote", "window_seconds"],
    ]);
  });

  for (const [title, body, path] of [
    ["no version", {}, "version"],
    ["no part of the requests", { version: "1.0.0", weight: 0 }, "weight"],
    ["more than all of them", { version: "1.0.0", weight: 5 }, "weight"],
    [
      "both a part and a header",
      { version: "1.0.0", weight: 0.5, header: { name: "a", value: "b" } },
      "@entity",
    ],
    ["a header that is none", { version: "1.0.0", header: { name: "a b", value: "b" } }, "header.name"],
    ["a header without a value", { version: "1.0.0", header: { name: "a" } }, "header.value"],
    [
      "a window that never ends",
      { version: "1.0.0", watch: { window_seconds: 1e9 } },
      "watch.window_seconds",
    ],
    ["an unknown field", { version: "1.0.0", percent: 5 }, "percent"],
  ] as const)
    test(`with ${title} is refused, by field`, () => {
      assert.deepEqual(read(body), [path]);
    });
});

describe("a roll-out in the store", () => {
  test("is read as it was written, whether it runs or has ended", () => {
    for (const one of [
      ROLLOUT,
      { ...ROLLOUT, split: { header: { name: "x-try", value: "1" } }, watch: null, by: null },
      ended(ROLLOUT, "rolled_back", { at: 2000, why: "errors", figures: { canary: { calls: 3 } } }),
    ])
      assert.deepEqual(rolloutOfRow(JSON.parse(JSON.stringify(rowOfRollout(one)))), one);
  });

  for (const [field, value] of [
    ["state", "flying"],
    ["from", "newest"],
    ["split", {}],
    ["split", { weight: 7 }],
    ["watch", { windowSeconds: 1 }],
    ["channel", "No Channel"],
    ["createdAt", "now"],
  ] as const)
    test(`counts as not there with ${field} ${JSON.stringify(value)}`, () => {
      const row = rowOfRollout(ROLLOUT);
      assert.equal(rolloutOfRow({ ...row, body: { ...row.body, [field]: value } }), null);
    });

  test("makes the oldest that have ended be forgotten, and none that runs", () => {
    const old = Array.from({ length: MAX_ENDED + 1 }, (_, i) =>
      ended({ ...ROLLOUT, id: `old-${i}` }, "promoted", { at: i, why: "" }),
    );
    assert.deepEqual(
      forgotten([ROLLOUT, ...old]).map(({ id }) => id),
      ["old-0", "old-1"],
    );
    assert.ok(isOpen(ROLLOUT) && !isOpen(old[0] as Rollout));
  });
});

test("weight and counts are seen by everybody who shares the tally", () => {
  const own = Tally.empty();
  const other = new Tally(own.shared);
  own.weight = 0.05;
  other.count(true, true);
  other.count(true, false);
  other.count(false, false);
  assert.equal(other.weight, 0.05);
  assert.deepEqual(
    [own.served(true), own.served(false)],
    [
      { requests: 2, failed: 1 },
      { requests: 1, failed: 0 },
    ],
  );
});
