/**
 * The SDK's Host as a guest has it: every method is a host call that the data thread executes if a grant
 * allows it. Part of the in-isolate runtime: see bootstrap.ts.
 */
import type { Consumer, Credential, Host, Window } from "@gatehouse/sdk";
import type { CallRecord } from "./guest-call.ts";
import { clock } from "./harden.ts";

const MAX_LOG_LINE = 1024;
const MAX_NAME = 256;
/** As many as isolate-engine.ts sends at a time. */
const UUID_STOCK = 64;

export class GuestHost implements Host {
  readonly pluginId: string;
  #current: CallRecord | null = null;
  #uuids: string[] = [];

  constructor(pluginId: string) {
    this.pluginId = pluginId;
  }

  /** The call on whose account host calls go from now on, and fresh UUIDs if the cordon sent some. */
  enter(record: CallRecord, uuids: string | undefined): void {
    this.#current = record;
    if (uuids !== undefined) this.#uuids = uuids.split(" ");
  }

  /** Whether the cordon should send fresh UUIDs with the next call, so that it has a full stock. */
  wantsUuids(): boolean {
    return this.#uuids.length < UUID_STOCK;
  }

  #call(): CallRecord {
    if (this.#current === null) throw new Error("host calls can be made from a hook, not from create()");
    return this.#current;
  }

  log(level: "debug" | "info" | "warn" | "error", message: string): void {
    this.#call().tell("log", [bounded(level, 8), bounded(message, MAX_LOG_LINE)]);
  }

  now(): number {
    return clock();
  }

  uuid(): string {
    const uuid = this.#uuids.pop();
    if (uuid === undefined) return this.#call().violate("more than 64 UUIDs in one hook call");
    return uuid;
  }

  findCredential(type: string, key: string): Promise<Credential | null> {
    const args = [bounded(type, MAX_NAME), exact(key, 4096)];
    return this.#call().ask("findCredential", args) as Promise<Credential | null>;
  }

  findConsumer(idOrName: string): Promise<Consumer | null> {
    return this.#call().ask("findConsumer", [exact(idOrName, 1024)]) as Promise<Consumer | null>;
  }

  takeFromWindows(windows: readonly Window[]): Promise<readonly number[]> {
    const list = [];
    for (const window of windows) {
      if (list.length === 16) this.#call().violate("takeFromWindows: more than 16 windows");
      list.push({
        key: exact(window.key, 1024),
        limit: Number(window.limit),
        endsAt: Number(window.endsAt),
      });
    }
    return this.#call().ask("takeFromWindows", [list]) as Promise<readonly number[]>;
  }

  count(metric: string, help: string, labels: Readonly<Record<string, string>>, by: number): void {
    this.#call().tell("count", [
      bounded(metric, MAX_NAME),
      bounded(help, MAX_NAME),
      labelsOf(labels),
      Number(by),
    ]);
  }

  observe(
    metric: string,
    help: string,
    buckets: readonly number[],
    labels: Readonly<Record<string, string>>,
    value: number,
  ): void {
    const bounds = [];
    for (const bound of buckets) if (bounds.push(Number(bound)) === 64) break;
    this.#call().tell("observe", [
      bounded(metric, MAX_NAME),
      bounded(help, MAX_NAME),
      bounds,
      labelsOf(labels),
      Number(value),
    ]);
  }
}

/** Text for people: cut where it is too long. */
function bounded(value: unknown, max: number): string {
  return (typeof value === "string" ? value : String(value)).slice(0, max);
}

/** Text that means something as a whole: refused where it is too long. */
function exact(value: unknown, max: number): string {
  if (typeof value !== "string") throw new TypeError("expected a string");
  if (value.length > max) throw new RangeError(`a string of ${value.length} characters, at most ${max}`);
  return value;
}

function labelsOf(labels: Readonly<Record<string, string>>): Record<string, string> {
  const out: Record<string, string> = {};
  let count = 0;
  for (const name of Object.keys(labels)) {
    if (count++ === 32) break;
    out[bounded(name, 128)] = bounded(labels[name], MAX_NAME);
  }
  return out;
}
