/** What a guest may ask of the gateway. Each needs its grant, without which the module is refused at upload. */
// @ts-nocheck AssemblyScript, not TypeScript
import { loadBytes, loadText, storeBytes, storeText } from "./extism";
import { quote } from "./json";

@external("extism:host/env", "log_debug") declare function log_debug(line: u64): void;
@external("extism:host/env", "log_info") declare function log_info(line: u64): void;
@external("extism:host/env", "log_warn") declare function log_warn(line: u64): void;
@external("extism:host/env", "log_error") declare function log_error(line: u64): void;
@external("extism:host/env", "http_request") declare function http_request(request: u64, body: u64): u64;
@external("extism:host/env", "http_status_code") declare function http_status_code(): i32;
@external("extism:host/env", "http_headers") declare function http_headers(): u64;
@external("extism:host/user", "kv_get") declare function kv_get(key: u64): i64;
@external("extism:host/user", "kv_set") declare function kv_set(key: u64, value: u64, ttlMs: i64): i64;
@external("extism:host/user", "kv_delete") declare function kv_delete(key: u64): i64;
@external("extism:host/user", "secret_get") declare function secret_get(name: u64): i64;
@external("extism:host/user", "metric_count") declare function metric_count(name: u64, help: u64, labels: u64, by: f64): void;

export enum LogLevel { debug, info, warn, error }

/** Grant `log`. */
export function log(level: LogLevel, line: string): void {
  const block = storeText(line);
  if (level == LogLevel.debug) log_debug(block);
  else if (level == LogLevel.info) log_info(block);
  else if (level == LogLevel.warn) log_warn(block);
  else log_error(block);
}

/** Values that the plugin keeps from request to request. Grant `kv_bytes`. */
export class KeyValues {
  /** Null if there is none, or it could not be read: the plugin's log says which. */
  static get(key: string): Uint8Array | null {
    const block = kv_get(storeText(key));
    return block <= 0 ? null : loadBytes(block);
  }
  /** False if it was not kept. For ever without `ttlMs`. */
  static set(key: string, value: Uint8Array, ttlMs: i64 = 0): bool {
    return kv_set(storeText(key), storeBytes(value), ttlMs) == 0;
  }
  static delete(key: string): bool {
    return kv_delete(storeText(key)) == 0;
  }
}

/** A secret by a name that the grant `secrets` lists; null if there is none. */
export function secret(name: string): string | null {
  const block = secret_get(storeText(name));
  return block <= 0 ? null : loadText(block);
}

/** Adds to a counter; `labels` is a JSON object of texts. Grant `metrics`. */
export function count(name: string, help: string, labels: string = "{}", by: f64 = 1): void {
  metric_count(storeText(name), storeText(help), storeText(labels), by);
}

/** What a request was answered. */
export class Fetched {
  /** 0 if there was no answer; the log says why. */
  status: i32 = 0;
  /** A JSON object, names in lower case. */
  headers: string = "{}";
  body: Uint8Array = new Uint8Array(0);
}

/** Sends a request to a host that the grant `http_hosts` lists. `headers` is a JSON object of texts. */
export function fetch(method: string, url: string, headers: string = "{}", body: Uint8Array | null = null): Fetched {
  const head = '{"url":' + quote(url) + ',"method":' + quote(method) + ',"headers":' + headers + "}";
  const block = http_request(storeText(head), body === null ? 0 : storeBytes(body));
  const fetched = new Fetched();
  fetched.status = http_status_code();
  if (fetched.status == 0) return fetched;
  fetched.headers = loadText(http_headers());
  if (block != 0) fetched.body = loadBytes(block);
  return fetched;
}
