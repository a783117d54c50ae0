/** Periods of the UTC calendar. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Period, periodAt } from "../../plugins/periods.ts";

const PERIODS: readonly [period: Period, now: string, start: string, end: string][] = [
  ["second", "2026-02-28T23:59:59.999Z", "2026-02-28T23:59:59Z", "2026-03-01T00:00:00Z"],
  ["second", "2026-03-01T00:00:00.000Z", "2026-03-01T00:00:00Z", "2026-03-01T00:00:01Z"],
  ["minute", "2026-03-01T12:34:56.789Z", "2026-03-01T12:34:00Z", "2026-03-01T12:35:00Z"],
  ["hour", "2026-03-01T12:34:56.789Z", "2026-03-01T12:00:00Z", "2026-03-01T13:00:00Z"],
  ["day", "2026-12-31T12:34:56.789Z", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"],
  ["month", "2024-02-29T12:00:00.000Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"],
  ["month", "2026-12-31T23:59:59.999Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"],
  ["year", "2026-07-01T00:00:00.000Z", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"],
];

describe("periods", () => {
  for (const [period, now, start, end] of PERIODS) {
    it(`the ${period} of ${now} is ${start} to ${end}`, () => {
      assert.deepEqual(periodAt(period, Date.parse(now)), {
        startsAt: Date.parse(start),
        endsAt: Date.parse(end),
      });
    });
  }
});
