/**
 * The host functions that reach beyond the call: Extism's `http_request`, and those of `extism:host/user`.
 * `wasm-plugins/README.md` tells authors of them.
 *
 * What may wait returns a promise, and V8 suspends the guest's stack until it settles. What the gateway could
 * not do, and what was not granted, is told by the function's result and a line in the plugin's log, so that a
 * guest can go on without; only arguments that are no blocks end the call.
 */
import type { MaybePromise } from "@gatehouse/sdk";
import { HOST_CALL_LIMITS, MAX_ARGUMENTS_BYTES } from "../calls/host-call-limits.ts";
import type { HostAsk } from "../protocol/engine.ts";
import type { HostResult } from "../protocol/frames.ts";
import type { UserImport } from "./abi.ts";

/** What the functions need of the call that they are made in. */
export interface CallDesk {
  /** Bytes of a block; throws a GuestFault if none starts there. They are void after the next `store`. */
  block(address: bigint, what: string): Uint8Array;
  /** Puts bytes into a new block; its address is not 0, even for no bytes. */
  store(bytes: Uint8Array): bigint;
  ask(method: string, args: unknown[]): Promise<HostResult>;
  tell(method: string, args: unknown[]): void;
  warn(message: string): void;
  isGranted(ask: HostAsk): boolean;
}

/** An i64 that is no address. */
const FAILED = -1n;
const NOTHING = 0n;
const MAX_METRIC_TEXT = 256;
/** Of the head of a request, and of a metric's labels. */
const MAX_JSON_BYTES = 64 * 1024;

/** Something that an author can put right: told in the log. */
class Refusal extends Error {}

export class HostFunctions {
  readonly #desk: CallDesk;
  /** Of the last http_request of the call. */
  #status = 0;
  #headers = NOTHING;

  constructor(desk: CallDesk) {
    this.#desk = desk;
  }

  begin(): void {
    this.#status = 0;
    this.#headers = NOTHING;
  }

  httpStatus(): number {
    return this.#status;
  }

  httpHeaders(): bigint {
    return this.#headers;
  }

  /** Extism's: `{url, method?, headers?: {name: value}}` as JSON, and the body's block or 0; the answer's body. */
  httpRequest(request: bigint, body: bigint): MaybePromise<bigint> {
    this.#status = 0;
    this.#headers = NOTHING;
    return this.#attempt("http_request", "fetch", NOTHING, () => {
      const { url, method, headers } = this.#json(request, "http_request") as Record<string, unknown>;
      if (typeof url !== "string") throw new Refusal("its JSON needs a url");
      const pairs = Object.entries(headers ?? {}).map(([name, value]) => [name, String(value)]);
      const sent = body === NOTHING ? null : this.#bytes(body, HOST_CALL_LIMITS.fetchBodyBytes, "a body");
      return {
        args: [{ url, method: String(method ?? "GET"), headers: pairs, body: sent && base64(sent) }],
        method: "fetch",
        take: (value) => this.#takeAnswer(value),
      };
    });
  }

  /** The functions of `extism:host/user`. */
  readonly user: Record<UserImport, (...args: never[]) => unknown> = {
    kv_get: (key: bigint) =>
      this.#attempt("kv_get", "kv", FAILED, () => ({
        method: "kvGet",
        args: [this.#key(key)],
        take: (value) => (typeof value === "string" ? this.#desk.store(bytesOf(value)) : NOTHING),
      })),
    kv_set: (key: bigint, value: bigint, ttlMs: bigint) =>
      this.#attempt("kv_set", "kv", FAILED, () => {
        const name = this.#key(key);
        const bytes =
          value === NOTHING
            ? new Uint8Array(0)
            : this.#bytes(value, HOST_CALL_LIMITS.kvValueBytes, "a value");
        if (ttlMs < 0n || ttlMs > BigInt(HOST_CALL_LIMITS.kvTtlMs))
          throw new Refusal(`its time is not from 0 (for ever) to ${HOST_CALL_LIMITS.kvTtlMs} ms`);
        return {
          method: "kvSet",
          args: [name, base64(bytes), ttlMs === 0n ? null : Number(ttlMs)],
          take: () => NOTHING,
        };
      }),
    kv_delete: (key: bigint) =>
      this.#attempt("kv_delete", "kv", FAILED, () => ({
        method: "kvDelete",
        args: [this.#key(key)],
        take: () => NOTHING,
      })),
    secret_get: (name: bigint) =>
      this.#attempt("secret_get", "secret", FAILED, () => ({
        method: "secret",
        args: [this.#text(name, HOST_CALL_LIMITS.secretNameCharacters, "a name")],
        take: (value) => (typeof value === "string" ? this.#desk.store(encoder.encode(value)) : NOTHING),
      })),
    metric_count: (name: bigint, help: bigint, labels: bigint, by: number) => {
      try {
        const given = labels === NOTHING ? {} : this.#json(labels, "metric_count");
        this.#desk.tell("count", [
          this.#text(name, MAX_METRIC_TEXT, "a name"),
          this.#text(help, MAX_METRIC_TEXT, "a help text"),
          Object.fromEntries(Object.entries(given).map(([label, value]) => [label, String(value)])),
          finite(by),
        ]);
      } catch (error) {
        this.#refuse("metric_count", error);
      }
    },
  };

  /** Asks the gateway, and turns what it answers into a result; `failed` is the result if it did not. */
  #attempt(
    what: string,
    ask: HostAsk,
    failed: bigint,
    prepare: () => { method: string; args: unknown[]; take: (value: unknown) => bigint },
  ): MaybePromise<bigint> {
    if (!this.#desk.isGranted(ask)) {
      this.#desk.warn(`${what}: not granted`);
      return failed;
    }
    try {
      const { method, args, take } = prepare();
      if (JSON.stringify(args).length > MAX_ARGUMENTS_BYTES) throw new Refusal("its arguments are too long");
      return this.#desk.ask(method, args).then((result) => {
        if ("value" in result) return take(result.value);
        this.#desk.warn(`${what}: ${result.error}`);
        return failed;
      });
    } catch (error) {
      this.#refuse(what, error);
      return failed;
    }
  }

  #refuse(what: string, error: unknown): void {
    if (!(error instanceof Refusal)) throw error;
    this.#desk.warn(`${what}: ${error.message}`);
  }

  #takeAnswer(value: unknown): bigint {
    const { status, headers, body } = value as { status: number; headers: [string, string][]; body: string };
    const byName: Record<string, string> = {};
    for (const [name, content] of headers) {
      const known = byName[name.toLowerCase()];
      byName[name.toLowerCase()] = known === undefined ? content : `${known}, ${content}`;
    }
    this.#status = status;
    this.#headers = this.#desk.store(encoder.encode(JSON.stringify(byName)));
    return this.#desk.store(bytesOf(body));
  }

  #key(address: bigint): string {
    return this.#text(address, HOST_CALL_LIMITS.kvKeyBytes, "a key");
  }

  /** Text that is not empty and not cut: what it means depends on every byte. */
  #text(address: bigint, most: number, what: string): string {
    const bytes = this.#bytes(address, most, what);
    if (bytes.length === 0) throw new Refusal(`${what} is empty`);
    return decode(bytes, what);
  }

  #bytes(address: bigint, most: number, what: string): Uint8Array {
    const bytes = this.#desk.block(address, what);
    if (bytes.length > most)
      throw new Refusal(`${what} has ${bytes.length} bytes, at most ${most} are taken`);
    return bytes;
  }

  #json(address: bigint, what: string): object {
    const text = decode(this.#bytes(address, MAX_JSON_BYTES, "its JSON"), "its JSON");
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new Refusal("what it was given is not JSON");
    }
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new Refusal(`what ${what} was given is no JSON object`);
    return value;
  }
}

function finite(value: number): number {
  if (!Number.isFinite(value)) throw new Refusal("it counts by something that is no number");
  return value;
}

function decode(bytes: Uint8Array, what: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Refusal(`${what} is not UTF-8`);
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, "base64");
}

const utf8 = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();
