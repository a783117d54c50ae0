/** Who is kept apart and who is suspended, beside what the deaths of real cordons show (cordon-life.test.ts). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_APART, STRIKES_APART, Suspensions } from "../../../src/sandbox/supervisor/suspension.ts";
import { UNEXPLAINED, UNEXPLAINED_KILLS, Unexplained } from "../../../src/sandbox/supervisor/unexplained.ts";

test("a workspace whose plugins all crash gets so many cordons for them and no more, whatever others have", () => {
  const suspensions = new Suspensions(1000);
  const apart = (workspace: string, plugin: string, now: number) => {
    for (let strike = 1; strike < STRIKES_APART; strike++)
      suspensions.strike({ workspace, plugin }, true, now);
    return suspensions.strike({ workspace, plugin }, true, now)?.apart === true;
  };
  const hostile = Array.from({ length: MAX_APART + 3 }, (_, i) => apart("hostile", `plugin-${i}`, 0));
  assert.deepEqual(hostile, [...Array(MAX_APART).fill(true), false, false, false]);
  assert.equal(apart("other", "plugin-0", 0), true);
  assert.equal(suspensions.forgive(1000).length, MAX_APART + 1);
  assert.equal(apart("hostile", "late", 1001), true);
});

for (const [title, killed, most] of [
  ["end by themselves", false, UNEXPLAINED],
  ["are killed by who knows whom", true, UNEXPLAINED_KILLS],
] as const)
  test(`a lane whose cordons ${title} outside of calls gets none for a while, twice as long each time`, () => {
    const unexplained = new Unexplained(300_000);
    const lane = { engine: "wasm", workspace: "a", plugin: null } as const;
    for (let death = 1; death < most; death++) assert.equal(unexplained.count(lane, killed, 1000), null);
    assert.equal(unexplained.count({ ...lane, workspace: "b" }, killed, 1000), null);
    assert.equal(unexplained.count(lane, !killed, 1000), null);
    assert.equal(unexplained.untilMs(lane), 0);
    assert.equal(unexplained.count(lane, killed, 1000), 2000);
    assert.equal(unexplained.count(lane, killed, 2000), 4000);
    assert.equal(unexplained.untilMs(lane), 4000);
    assert.equal(unexplained.untilMs({ ...lane, workspace: "b" }), 0);
    assert.equal(unexplained.count(lane, killed, 62_001), null, "after a quiet minute it begins anew");
    unexplained.forget("a");
    assert.equal(unexplained.untilMs(lane), 0);
  });
