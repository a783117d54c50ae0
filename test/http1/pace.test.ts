/** How slowly bytes may move, by a clock of the test's own. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Pace } from "../../src/http1/pace.ts";

/** Moves `bytes` every `everyMs` until patience ends; the time at which it did, or null if it never does. */
function movedEvery(pace: Pace, bytes: number, everyMs: number): number | null {
  pace.start(0);
  for (let now = everyMs; now < 3_600_000; now += everyMs) {
    if (pace.until < now) return pace.until;
    pace.moved(bytes, now);
  }
  return null;
}

describe("a pace of 100 bytes a second with 10 s in reserve", () => {
  const pace = () => new Pace(10_000, 100);

  it("bears a pause as long as the reserve, and not a longer one", () => {
    assert.equal(movedEvery(pace(), 1_000_000, 10_000), null);
    assert.equal(movedEvery(pace(), 1_000_000, 10_001), 10_000);
  });

  it("bears the least rate for ever, and half of it for twice the reserve", () => {
    assert.equal(movedEvery(pace(), 100, 1000), null);
    const until = movedEvery(pace(), 50, 1000) as number;
    assert.ok(until >= 19_000 && until <= 20_000, `${until}`);
  });

  it("bears a byte now and then no longer than the reserve", () => {
    const until = movedEvery(pace(), 1, 5000) as number;
    assert.ok(until < 10_100, `${until}`);
  });

  it("gives no more back than the reserve, however much moves at once", () => {
    const one = pace();
    one.start(0);
    one.moved(1e9, 1000);
    assert.equal(one.until, 11_000);
  });

  it("does not count the time in which nobody waits", () => {
    const one = pace();
    one.start(0);
    one.stop(4000);
    assert.equal(one.waiting, false);
    one.start(1_000_000);
    assert.equal(one.until, 1_006_000);
    one.start(1_005_000);
    assert.equal(one.until, 1_006_000, "who is waited for already gains nothing");
  });

  it("gives a part of the reserve back after a stop, if it is asked to", () => {
    const one = pace();
    one.start(0);
    one.stop(9900);
    one.start(20_000, 2000);
    assert.equal(one.until, 22_000);
  });

  it("gives back what moves while nobody waits, and all of it when it is refilled", () => {
    const one = pace();
    one.start(0);
    one.stop(9000);
    one.moved(200, 9500);
    one.start(10_000);
    assert.equal(one.until, 13_000);
    one.refill();
    one.start(14_000);
    assert.equal(one.until, 24_000);
  });
});

it("without a least rate any byte gives the whole reserve back, and none gives nothing", () => {
  assert.equal(movedEvery(new Pace(10_000, 0), 1, 10_000), null);
  assert.equal(movedEvery(new Pace(10_000, 0), 0, 1000), 10_000);
});
