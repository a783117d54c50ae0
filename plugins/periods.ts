/** Periods of the UTC calendar, to which rate limits are aligned. */

export const PERIODS = ["second", "minute", "hour", "day", "month", "year"] as const;
export type Period = (typeof PERIODS)[number];

const LENGTH_MS = { second: 1000, minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

/** The period that a moment lies in; both ends in ms since the epoch, the end exclusive. */
export function periodAt(period: Period, now: number): { startsAt: number; endsAt: number } {
  if (period === "month" || period === "year") {
    const date = new Date(now);
    const year = date.getUTCFullYear();
    if (period === "year") return { startsAt: Date.UTC(year, 0), endsAt: Date.UTC(year + 1, 0) };
    const month = date.getUTCMonth();
    return { startsAt: Date.UTC(year, month), endsAt: Date.UTC(year, month + 1) };
  }
  const length = LENGTH_MS[period];
  const startsAt = Math.floor(now / length) * length;
  return { startsAt, endsAt: startsAt + length };
}
