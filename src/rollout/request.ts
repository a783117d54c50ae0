/** What somebody asks for who begins a roll-out: the body of `POST /plugin-packages/NAME/rollouts`. */
import { type ConfigOf, integer, number, record, string } from "@gatehouse/sdk";
import type { Split, Watch } from "./rollout.ts";

const MAX_TEXT = 256;
const part = (value: number) =>
  value > 0 && value <= 1 ? undefined : "must be more than 0 and at most 1: 0.05 is one request of twenty";

const watch = record(
  {
    window_seconds: integer({
      default: 60,
      between: [1, 604_800],
      description: "How long the version has to do well before it is promoted.",
    }),
    min_calls: integer({
      default: 100,
      between: [1, 1_000_000],
      description: "Calls of it, fewer of which tell too little to promote it.",
    }),
    max_error_rate: number({
      default: 0.01,
      between: [0, 1],
      description:
        "By how much the part of its calls that fail, and of its requests that are answered with 500 or more, may exceed that of the running version.",
    }),
    max_violation_rate: number({
      default: 0,
      between: [0, 1],
      description: "By how much the part of its calls may that break the plugins' contract.",
    }),
    max_latency_ratio: number({
      default: 2,
      between: [1, 1000],
      description: "How many times as long its calls may take as those of the running version.",
    }),
    max_fuel_ratio: number({
      default: 2,
      between: [1, 1000],
      description: "How many times as much fuel (CPU time, of isolates) they may use.",
    }),
    promote: string({
      default: "auto",
      oneOf: ["auto", "manual"] as const,
      description: "Whether the channel moves by itself when the window is over and nothing was worse.",
    }),
  },
  {
    description:
      "Measured against the running version; one that does worse is rolled back. Absent: nobody measures, and a canary waits to be promoted.",
  },
);

export const rolloutSchema = record(
  {
    version: string({
      required: true,
      lenMax: MAX_TEXT,
      description: "The version to move to, exactly as it was published.",
    }),
    channel: string({ default: "stable", lenMax: MAX_TEXT, description: "The channel that moves." }),
    weight: number({
      check: part,
      description: "Part of the requests that gets the new version; without it and `header` all do, at once.",
    }),
    header: record(
      {
        name: string({
          required: true,
          lenMax: MAX_TEXT,
          check: (name: string) =>
            /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) ? undefined : "must be the name of a header field",
        }),
        value: string({ required: true, lenMax: MAX_TEXT }),
      },
      { description: "Requests with this field of exactly this value get the new version, and no others." },
    ),
    watch,
  },
  { checks: [{ kind: "mutually_exclusive", fields: ["weight", "header"] }] },
);

export const weightSchema = record({
  weight: number({
    required: true,
    check: part,
    description: "Part of the requests that gets the new version.",
  }),
});

export interface RolloutRequest {
  readonly version: string;
  readonly channel: string;
  /** Null to move the channel at once. */
  readonly split: Split | null;
  readonly watch: Watch | null;
}

/** A body that the schema has judged. */
export function requestOf({
  version,
  channel,
  weight,
  header,
  watch,
}: ConfigOf<typeof rolloutSchema>): RolloutRequest {
  const split =
    header !== null
      ? { header: { name: header.name.toLowerCase(), value: header.value } }
      : weight !== null
        ? { weight }
        : null;
  return { version, channel, split, watch: watchOf(watch) };
}

function watchOf(given: ConfigOf<typeof watch> | null): Watch | null {
  return given === null
    ? null
    : {
        windowSeconds: given.window_seconds,
        minCalls: given.min_calls,
        maxErrorRate: given.max_error_rate,
        maxViolationRate: given.max_violation_rate,
        maxLatencyRatio: given.max_latency_ratio,
        maxFuelRatio: given.max_fuel_ratio,
        promote: given.promote,
      };
}

/** The other way round. */
export function watchJson(given: Watch | null): ConfigOf<typeof watch> | null {
  return given === null
    ? null
    : {
        window_seconds: given.windowSeconds,
        min_calls: given.minCalls,
        max_error_rate: given.maxErrorRate,
        max_violation_rate: given.maxViolationRate,
        max_latency_ratio: given.maxLatencyRatio,
        max_fuel_ratio: given.maxFuelRatio,
        promote: given.promote,
      };
}
