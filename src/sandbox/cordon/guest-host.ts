/**
 * The SDK's Host as a guest has it: every method is a host call that the data thread executes if a grant
 * allows it. Part of the in-isolate runtime: see bootstrap.ts.
 */
import type {
  Consumer,
  Credential,
  FetchAnswer,
  FetchRequest,
  Host,
  KeyValues,
  Window,
} from "@gatehouse/sdk";
import { HOST_CALL_LIMITS } from "../calls/host-call-limits.ts";
import { utf8Latin1 } from "../protocol/text.ts";
import type { CallRecord } from "./guest-call.ts";
import { clock, fromBase64, latin1ToBytes, toBase64 } from "./harden.ts";

const MAX_NAME = 256;

export class GuestHost implements Host {
  readonly pluginId: string;
  readonly kv: KeyValues;
  #current: CallRecord | null = null;
  /** Random bytes as text of one byte a character, and how many of them are used. */
  #stock = "";
  #used = 0;

  constructor(pluginId: string) {
    this.pluginId = pluginId;
    this.kv = {
      get: async (key) => {
        const value = await this.#call().ask("kvGet", [kvKey(key)]);
        return value === null ? null : fromBase64(value as string);
      },
      set: async (key, value, options = {}) => {
        const { kvValueBytes } = HOST_CALL_LIMITS;
        const { ttlMs = null } = options;
        await this.#call().ask("kvSet", [kvKey(key), toBase64(bytesOf(value, kvValueBytes)), ttlMs]);
      },
      delete: async (key) => {
        await this.#call().ask("kvDelete", [kvKey(key)]);
      },
    };
  }

  /** The call on whose account host calls go from now on, and fresh random bytes if the cordon sent some. */
  enter(record: CallRecord, random: string | undefined): void {
    this.#current = record;
    if (random === undefined) return;
    this.#stock = this.#stock.slice(this.#used) + random;
    this.#used = 0;
  }

  /** How many random bytes the cordon should send with the next call, so that there is a full stock. */
  wantsRandom(): number {
    return HOST_CALL_LIMITS.randomBytes - this.#stock.length + this.#used;
  }

  #call(): CallRecord {
    if (this.#current === null) throw new Error("host calls can be made from a hook, not from create()");
    return this.#current;
  }

  log(level: "debug" | "info" | "warn" | "error", message: string): void {
    if (this.#call().hasRoomForLine())
      this.#call().tell("log", [bounded(level, 8), bounded(message, HOST_CALL_LIMITS.logCharacters)]);
  }

  now(): number {
    return clock();
  }

  uuid(): string {
    const bytes = this.random(16);
    // RFC 9562 section 5.4: version 4, variant 10.
    bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
    let hex = "";
    for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  random(length: number): Uint8Array {
    if (!Number.isInteger(length) || length < 0) throw new RangeError("random(): expected a count of bytes");
    const from = this.#used;
    if (length > this.#stock.length - from)
      return this.#call().violate(`more than ${HOST_CALL_LIMITS.randomBytes} random bytes in one hook call`);
    this.#used += length;
    return latin1ToBytes(this.#stock.slice(from, this.#used));
  }

  async fetch(request: FetchRequest): Promise<FetchAnswer> {
    const { fetchUrlCharacters, fetchHeaders, fetchBodyBytes } = HOST_CALL_LIMITS;
    const { url, method = "GET", headers = [], body = null } = request;
    const pairs = [];
    for (const [name, value] of headers) {
      if (pairs.length === fetchHeaders) throw new RangeError(`fetch: more than ${fetchHeaders} headers`);
      pairs.push([exact(name, MAX_NAME), exact(value, 8192)]);
    }
    const answer = (await this.#call().ask("fetch", [
      {
        url: exact(url, fetchUrlCharacters),
        method: exact(method, 32),
        headers: pairs,
        body: body === null ? null : toBase64(bytesOf(body, fetchBodyBytes)),
      },
    ])) as { status: number; headers: [string, string][]; body: string };
    return { status: answer.status, headers: answer.headers, body: fromBase64(answer.body) };
  }

  async secret(name: string): Promise<string | null> {
    return (await this.#call().ask("secret", [exact(name, HOST_CALL_LIMITS.secretNameCharacters)])) as
      | string
      | null;
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

/** A value as bytes. */
function bytesOf(value: unknown, max: number): Uint8Array {
  // Encoding a text that is too long anyway would cost the call its time.
  if (typeof value === "string" && value.length > max)
    throw new RangeError(`a text of ${value.length} characters, at most ${max} bytes`);
  const bytes = typeof value === "string" ? latin1ToBytes(utf8Latin1(value)) : value;
  if (!(bytes instanceof Uint8Array)) throw new TypeError("expected a Uint8Array or a string");
  if (bytes.length > max) throw new RangeError(`${bytes.length} bytes, at most ${max}`);
  return bytes;
}

function kvKey(key: unknown): string {
  const { kvKeyBytes } = HOST_CALL_LIMITS;
  if (typeof key !== "string" || key === "" || key.length > kvKeyBytes || utf8Latin1(key).length > kvKeyBytes)
    throw new RangeError(`a key is a string of 1 to ${kvKeyBytes} bytes`);
  return key;
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
