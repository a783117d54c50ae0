/**
 * What a plugin may ask of the gateway, answered from what the test has laid out. The same object serves a plugin that
 * runs natively and one in the sandbox, where each question is a host call that a grant must allow.
 */
import type {
  Consumer,
  Credential,
  FetchAnswer,
  FetchRequest,
  Host,
  KeyValues,
  MaybePromise,
  Window,
} from "../plugin.ts";
import { bytesOf, type GivenBody, type GivenHeaders, TestHeaders } from "./message.ts";

export interface TestFetchAnswer {
  readonly status?: number;
  readonly headers?: GivenHeaders;
  readonly body?: GivenBody;
}

/** What there is to be asked for. */
export interface HostParts {
  /** Answers requests that the plugin makes; without it every one fails. */
  readonly fetch?: (request: FetchRequest) => MaybePromise<TestFetchAnswer>;
  /** Kept values. The map is read and written: a test may look into it, or use one for several instances. */
  readonly kv?: Map<string, Uint8Array | string>;
  readonly secrets?: Readonly<Record<string, string>>;
  /** Who holds which key, by the credential's type: `{ "key-auth": { secret: consumer } }`. */
  readonly credentials?: Readonly<Record<string, Readonly<Record<string, Consumer>>>>;
  readonly consumers?: readonly Consumer[];
  /** Milliseconds since the epoch. In the sandbox a guest's clock is its process's. */
  readonly now?: number;
}

export interface LoggedLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
}

export interface Measured {
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What was added to a counter, or recorded in a histogram. */
  readonly value: number;
}

const encoder = new TextEncoder();

export class TestHost implements Host {
  readonly pluginId = "plugin-under-test";
  readonly logs: LoggedLine[] = [];
  readonly metrics: Measured[] = [];
  /** Requests that the plugin has made. */
  readonly fetched: FetchRequest[] = [];
  readonly #parts: HostParts;
  readonly #windows = new Map<string, number>();
  readonly #ends = new Map<string, number>();

  constructor(parts: HostParts) {
    this.#parts = parts;
    const values = parts.kv ?? new Map<string, Uint8Array | string>();
    const until = this.#ends;
    this.kv = {
      get(key) {
        if ((until.get(key) ?? Number.POSITIVE_INFINITY) <= Date.now()) values.delete(key);
        const value = values.get(key);
        return value === undefined ? null : typeof value === "string" ? encoder.encode(value) : value;
      },
      set(key, value, options) {
        values.set(key, value);
        if (options?.ttlMs === undefined) until.delete(key);
        else until.set(key, Date.now() + options.ttlMs);
      },
      delete(key) {
        values.delete(key);
      },
    };
  }

  readonly kv: KeyValues;

  log(level: LoggedLine["level"], message: string): void {
    this.logs.push({ level, message });
  }

  now(): number {
    return this.#parts.now ?? Date.now();
  }

  uuid(): string {
    return crypto.randomUUID();
  }

  random(length: number): Uint8Array {
    return crypto.getRandomValues(new Uint8Array(length));
  }

  findCredential(type: string, key: string): Credential | null {
    const holders = this.#parts.credentials?.[type] ?? {};
    const consumer = Object.hasOwn(holders, key) ? holders[key] : undefined;
    return consumer === undefined ? null : { id: `${type}-of-${consumer.id}`, consumer };
  }

  findConsumer(idOrName: string): Consumer | null {
    const holders = Object.values(this.#parts.credentials ?? {}).flatMap((keys) => Object.values(keys));
    const known = [...(this.#parts.consumers ?? []), ...holders];
    return known.find(({ id, username }) => id === idOrName || username === idOrName) ?? null;
  }

  takeFromWindows(windows: readonly Window[]): number[] {
    const left = windows.map(
      ({ key, limit, endsAt }) => limit - (this.#windows.get(`${key} ${endsAt}`) ?? 0) - 1,
    );
    if (left.some((remaining) => remaining < 0))
      return left.map((remaining) => (remaining < 0 ? -1 : remaining + 1));
    for (const [i, { key, limit, endsAt }] of windows.entries())
      this.#windows.set(`${key} ${endsAt}`, limit - (left[i] as number));
    return left;
  }

  count(metric: string, _help: string, labels: Readonly<Record<string, string>>, by: number): void {
    this.metrics.push({ metric, labels, value: by });
  }

  observe(
    metric: string,
    _help: string,
    _buckets: readonly number[],
    labels: Readonly<Record<string, string>>,
    value: number,
  ): void {
    this.metrics.push({ metric, labels, value });
  }

  async fetch(request: FetchRequest): Promise<FetchAnswer> {
    this.fetched.push(request);
    const { fetch } = this.#parts;
    if (fetch === undefined)
      throw new Error(`${request.url} is not answered here: give the test a 'fetch' that does`);
    const { status = 200, headers = [], body } = await fetch(request);
    return { status, headers: new TestHeaders(headers).entries(), body: bytesOf(body) ?? new Uint8Array() };
  }

  secret(name: string): string | null {
    const secrets = this.#parts.secrets ?? {};
    return Object.hasOwn(secrets, name) ? (secrets[name] as string) : null;
  }
}
