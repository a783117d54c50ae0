/**
 * rate-limiting: at most so many requests a second, minute, hour, day, month or year, by whoever `limit_by`
 * names. Windows are fixed and aligned to the UTC calendar, as Kong's are; unlike Kong's `local` policy,
 * counting and deciding are one step, so that a burst over many connections cannot overshoot.
 */
import {
  boolean,
  type Context,
  decimal,
  definePlugin,
  errorReply,
  type Field,
  type HookResult,
  integer,
  number,
  type PluginResponse,
  record,
  string,
  type Window,
} from "@gatehouse/sdk";
import { PERIODS, type Period, periodAt } from "./periods.ts";

function limit(period: Period): Field<number, false> {
  return integer({ gt: 0, description: `Requests allowed per ${period}.` });
}

const schema = record(
  {
    second: limit("second"),
    minute: limit("minute"),
    hour: limit("hour"),
    day: limit("day"),
    month: limit("month"),
    year: limit("year"),
    limit_by: string({
      default: "consumer",
      oneOf: ["consumer", "credential", "ip", "service", "header", "path"],
      description: "Whose requests are counted together. Where there is none, the client's address counts.",
    }),
    header_name: string({
      match: "^[A-Za-z0-9!#$%&'*+.^_|~-]+$",
      description: "The header whose value counts, with `limit_by: header`.",
    }),
    path: string({ startsWith: "/", description: "The path that counts, with `limit_by: path`." }),
    policy: string({
      default: "local",
      oneOf: ["local"],
      description:
        "Where counters live: `local` is exact over all threads of this gateway. Kong's `redis` and `cluster`, " +
        "which share them between gateways, are not built yet.",
    }),
    fault_tolerant: boolean({
      required: true,
      default: true,
      description: "Let requests pass while counters cannot be reached. Counters of `local` always can.",
    }),
    redis: record(
      {
        host: string(),
        port: integer({ default: 6379, between: [0, 65535] }),
        timeout: integer({ default: 2000, between: [0, 2147483646] }),
        username: string({ referenceable: true }),
        password: string({ referenceable: true, encrypted: true, lenMin: 0 }),
        database: integer({ default: 0 }),
        ssl: boolean({ default: false }),
        ssl_verify: boolean({ default: false }),
        server_name: string(),
      },
      { description: "Accepted so that files written for Kong load; `policy: local` does not use it." },
    ),
    hide_client_headers: boolean({
      required: true,
      default: false,
      description: "Leave the RateLimit-* and X-RateLimit-* response headers out.",
    }),
    error_code: integer({ default: 429, between: [200, 599], description: "Status of a refusal." }),
    error_message: string({ default: "API rate limit exceeded", description: "Message of a refusal." }),
    sync_rate: number({
      required: true,
      default: -1,
      oneOf: [-1],
      description: "Kong's interval for syncing with redis; -1 (none) until `policy: redis` is built.",
    }),
  },
  {
    checks: [
      { kind: "at_least_one_of", fields: PERIODS },
      { kind: "custom", run: checkOrder },
      { kind: "custom", run: checkIdentifier },
    ],
  },
);

/** A longer period cannot allow fewer requests than a shorter one. */
function checkOrder(config: Record<string, unknown>): Record<string, string> | undefined {
  let shorter: Period | undefined;
  for (const period of PERIODS) {
    const allowed = config[period];
    if (typeof allowed !== "number") continue;
    if (shorter !== undefined && allowed < (config[shorter] as number)) {
      const [more, less] = [allowed.toFixed(1), (config[shorter] as number).toFixed(1)];
      return {
        "@entity": `The limit for ${period}(${more}) cannot be lower than the limit for ${shorter}(${less})`,
      };
    }
    shorter = period;
  }
}

function checkIdentifier(config: Record<string, unknown>): Record<string, string> | undefined {
  if (config.limit_by === "header" && config.header_name === null)
    return { header_name: "required field missing" };
  if (config.limit_by === "path" && config.path === null) return { path: "required field missing" };
}

/** One configured limit, with everything about it that does not change from request to request. */
interface Limit {
  readonly allowed: number;
  readonly allowedText: string;
  readonly period: Period;
  readonly limitHeader: string;
  readonly remainingHeader: string;
  /**
   * Start of counter keys: of whom `limit_by` names, and of addresses that stand in for them. As in Kong, what
   * one entity of this plugin counts is its own, so the entity's id is part of them.
   */
  readonly keyPrefix: string;
  readonly addressPrefix: string;
  /** The current window, kept until the clock leaves it. */
  startsAt: number;
  endsAt: number;
}

/** A client chooses the values of headers, and may not choose how much memory a counter's key takes. */
const MAX_ID = 256;

/** Where the outcome waits for the response: seconds to the reset, then what remains in each window. */
const SHARED = "rate-limiting";

export default definePlugin({
  name: "rate-limiting",
  version: "1.0.0",
  priority: 910,
  schema,
  create(config, host) {
    const limits: Limit[] = [];
    for (const period of PERIODS) {
      const allowed = config[period];
      if (allowed === null) continue;
      const suffix = period[0]?.toUpperCase() + period.slice(1);
      limits.push({
        allowed,
        allowedText: String(allowed),
        period,
        limitHeader: `X-RateLimit-Limit-${suffix}`,
        remainingHeader: `X-RateLimit-Remaining-${suffix}`,
        keyPrefix: `${host.pluginId}:${period}:`,
        addressPrefix: `${host.pluginId}:${period}@`,
        startsAt: 0,
        endsAt: 0,
      });
    }
    const identify = identifier(config.limit_by, config.header_name?.toLowerCase(), config.path);

    function windowsFor(ctx: Context, now: number): Window[] {
      const id = identify(ctx);
      const windows: Window[] = [];
      for (const one of limits) {
        if (now >= one.endsAt || now < one.startsAt) Object.assign(one, periodAt(one.period, now));
        const key =
          id === undefined ? one.addressPrefix + ctx.request.clientIp : one.keyPrefix + id.slice(0, MAX_ID);
        windows.push({ key, limit: one.allowed, endsAt: one.endsAt });
      }
      return windows;
    }

    function decide(
      ctx: Context,
      windows: readonly Window[],
      left: readonly number[],
      now: number,
    ): HookResult {
      // The window that will stop the caller first; of two, the longer one.
      let tightest = 0;
      for (let i = 1; i < windows.length; i++) {
        if ((left[i] as number) <= (left[tightest] as number)) tightest = i;
      }
      const reset = Math.max(1, Math.ceil(((windows[tightest] as Window).endsAt - now) / 1000));
      if (!config.hide_client_headers) ctx.vars[SHARED] = [reset, ...left];
      if ((left[tightest] as number) >= 0) return;
      return errorReply(ctx.request, config.error_code, config.error_message, {
        "Retry-After": String(reset),
      });
    }

    function access(ctx: Context): HookResult {
      const now = host.now();
      const windows = windowsFor(ctx, now);
      const left = host.takeFromWindows(windows);
      if (left instanceof Promise) return left.then((counted) => decide(ctx, windows, counted, now));
      return decide(ctx, windows, left, now);
    }

    if (config.hide_client_headers) return { access };
    return {
      access,
      headerFilter(ctx) {
        const outcome = ctx.vars[SHARED];
        // Every plugin of the request can write there, guests included.
        if (
          Array.isArray(outcome) &&
          outcome.length === limits.length + 1 &&
          outcome.every(Number.isSafeInteger)
        )
          tell(ctx.response, limits, outcome);
      },
    };
  },
});

type Identify = (ctx: Context) => string | undefined;

/** Who is counted; undefined where the client's address stands in. */
function identifier(limitBy: string, headerName: string | undefined, path: string | null): Identify {
  switch (limitBy) {
    case "credential":
      return (ctx) => ctx.credential?.id;
    case "ip":
      return () => undefined;
    case "service":
      return (ctx) => ctx.service?.id;
    case "header":
      return (ctx) => ctx.request.headers.get(headerName as string);
    case "path":
      return (ctx) => (ctx.request.path === path ? path : undefined);
    default:
      return (ctx) => ctx.consumer?.id ?? ctx.credential?.id;
  }
}

function tell(response: PluginResponse, limits: readonly Limit[], outcome: readonly number[]): void {
  const { headers } = response;
  let tightest = 0;
  let tightestText = "0";
  for (let i = 0; i < limits.length; i++) {
    const one = limits[i] as Limit;
    const left = outcome[i + 1] as number;
    const text = decimal(Math.max(0, left));
    if (i === 0 || left <= (outcome[tightest + 1] as number)) {
      tightest = i;
      tightestText = text;
    }
    headers.set(one.limitHeader, one.allowedText);
    headers.set(one.remainingHeader, text);
  }
  headers.set("RateLimit-Limit", (limits[tightest] as Limit).allowedText);
  headers.set("RateLimit-Remaining", tightestText);
  headers.set("RateLimit-Reset", String(outcome[0]));
}
