/**
 * Executes a guest's host calls on the data thread, against its grants. Arguments come from a process that
 * a guest may have taken over: every one is checked, and a call that no grant allows is a violation.
 */
import type { Consumer, Credential, Host, MaybePromise, Window } from "@gatehouse/sdk";
import type { HostCall } from "./engine.ts";
import type { GuestGrants } from "./grants.ts";
import { Violation } from "./verdict.ts";

const LEVELS = ["debug", "info", "warn", "error"] as const;
const METRIC = /^[a-zA-Z_][a-zA-Z0-9_]{0,127}$/;
const MAX_LABELS = 32;
const MAX_WINDOWS = 16;
const MAX_KEY = 4096;
/** The longest window is a leap year; a day more for clocks that differ. */
const MAX_WINDOW_MS = 367 * 86_400_000;
/** A guest's clock stands still during a call, so a window may end before it is counted. */
const MAX_ENDED_MS = 60_000;

/** Returns what the guest waits for. Throws a Violation for a call that is not granted or malformed. */
export function executeHostCall(call: HostCall, grants: GuestGrants, host: Host): MaybePromise<unknown> {
  const { args } = call;
  switch (call.method) {
    case "log": {
      const level = LEVELS.find((one) => one === args[0]);
      if (level === undefined) throw new Violation("log() with an unknown level");
      // A plugin that logs without the grant is not broken: its lines go nowhere.
      if (grants.log) host.log(level, text(args[1], 1024, "log"));
      return;
    }
    case "count":
      if (grants.metrics)
        host.count(metric(args[0]), text(args[1], 256, "count"), labels(args[2]), number(args[3], "count"));
      return;
    case "observe":
      if (grants.metrics)
        host.observe(
          metric(args[0]),
          text(args[1], 256, "observe"),
          list(args[2], 64, "observe").map((bound) => number(bound, "observe")),
          labels(args[3]),
          number(args[4], "observe"),
        );
      return;
    case "findCredential":
      need(grants.consumer, "findCredential", "consumer");
      return host.findCredential(
        text(args[0], 256, "findCredential"),
        text(args[1], MAX_KEY, "findCredential"),
      );
    case "findConsumer":
      need(grants.consumer, "findConsumer", "consumer");
      return host.findConsumer(text(args[0], 1024, "findConsumer"));
    case "takeFromWindows":
      need(grants.kvBytes > 0, "takeFromWindows", "kv_bytes");
      return host.takeFromWindows(list(args[0], MAX_WINDOWS, "takeFromWindows").map(window));
    default:
      throw new Violation("a host call that does not exist");
  }
}

/** The consumers in a host call's answer: those that the guest may then make known. */
export function consumerIn(method: string, answer: unknown): Consumer | null {
  if (answer === null || answer === undefined) return null;
  if (method === "findCredential") return (answer as Credential).consumer;
  return method === "findConsumer" ? (answer as Consumer) : null;
}

function need(granted: boolean, method: string, grant: string): void {
  if (!granted) throw new Violation(`${method}() without the grant ${grant}`);
}

function text(value: unknown, max: number, method: string): string {
  if (typeof value !== "string" || value.length > max)
    throw new Violation(`${method}() with something that is no string of at most ${max} characters`);
  return value;
}

function number(value: unknown, method: string): number {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new Violation(`${method}() with something that is no number`);
  return value;
}

function list(value: unknown, max: number, method: string): unknown[] {
  if (!Array.isArray(value) || value.length > max)
    throw new Violation(`${method}() with something that is no list of at most ${max}`);
  return value;
}

function metric(value: unknown): string {
  if (typeof value !== "string" || !METRIC.test(value)) throw new Violation("a metric with an unusable name");
  return value;
}

function labels(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) throw new Violation("labels that are no object");
  const entries = Object.entries(value);
  if (entries.length > MAX_LABELS) throw new Violation(`more than ${MAX_LABELS} labels`);
  const out: Record<string, string> = {};
  for (const [name, label] of entries) {
    if (!METRIC.test(name)) throw new Violation("a label with an unusable name");
    out[name] = text(label, 256, "a label");
  }
  return out;
}

function window(value: unknown): Window {
  const { key, limit, endsAt } = (value ?? {}) as Record<string, unknown>;
  const made = {
    key: text(key, 1024, "takeFromWindows"),
    limit: number(limit, "takeFromWindows"),
    endsAt: number(endsAt, "takeFromWindows"),
  };
  const fault = windowFault(made, Date.now());
  if (fault !== null) throw new Violation(fault);
  return made;
}

/**
 * What is wrong with a window that nobody would count by, or null. A limit of none is in force at once, and a
 * window without a near end holds its place in the counters for ever: both would only be made to fill them.
 */
export function windowFault({ limit, endsAt }: Window, now: number): string | null {
  if (!Number.isInteger(limit) || limit < 1) return "a window whose limit is no count from 1 on";
  if (!(endsAt > now - MAX_ENDED_MS && endsAt <= now + MAX_WINDOW_MS))
    return "a window that ends neither in the next 366 days nor just now";
  return null;
}
