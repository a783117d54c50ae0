/**
 * The contract's guest in WebAssembly, with the acts of contract-typescript.ts. It has no standard library for
 * JSON: what it answers is written out.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import {
  config,
  loadText,
  log,
  readInput,
  storeText,
  writeError,
  writeOutput,
} from "../../../../../wasm-plugins/assembly/extism";
import { member, quote, stringAt } from "../../../../../wasm-plugins/assembly/json";

@external("extism:host/env", "http_request") declare function http_request(request: u64, body: u64): u64;
@external("extism:host/env", "http_status_code") declare function http_status_code(): i32;
@external("extism:host/env", "http_headers") declare function http_headers(): u64;
@external("extism:host/env", "log_warn") declare function log_warn(line: u64): void;
@external("extism:host/user", "kv_get") declare function kv_get(key: u64): u64;
@external("extism:host/user", "kv_set") declare function kv_set(key: u64, value: u64, ttlMs: i64): u64;
@external("extism:host/user", "kv_delete") declare function kv_delete(key: u64): u64;
@external("extism:host/user", "secret_get") declare function secret_get(name: u64): u64;
@external("extism:host/user", "metric_count") declare function metric_count(name: u64, help: u64, labels: u64, by: f64): void;

const EDITS = '"headers":[["set","X-Set","new"],["add","X-Add","2"],["remove","x-gone"]]';
let calls: i32 = 0;

function act(): string {
  const value = config("act");
  return value === null ? "" : value;
}

function word(): string {
  const value = config("word");
  return value === null ? "" : value;
}

export function rewrite(): i32 {
  if (act() != "vars") return 0;
  const input = readInput();
  const old = stringAt(input, member(input, member(input, 0, "vars"), "old"));
  writeOutput('{"vars":{"seen":{"word":' + quote(word()) + ',"old":' + quote(old) + '},"old":null}}');
  return 0;
}

export function access(): i32 {
  calls++;
  const what = act();
  const input = readInput();
  const request = member(input, 0, "request");
  if (what == "request")
    writeOutput('{"request":{' + EDITS + ',"method":"PUT","path":"/new%20path","query":"a=1&b=%20"}}');
  else if (what == "body") writeOutput('{"request":{"body":' + quote(base64("grüße")) + "}}");
  else if (what == "reply")
    writeOutput('{"reply":{"status":418,"headers":[["X-Why","because"]],"body":"AP8="}}');
  else if (what == "config") reply(value(input, member(input, 0, "config")));
  else if (what == "headers") reply(names(input, member(input, request, "headers")));
  else if (what == "consumer") {
    const name = stringAt(input, member(input, member(input, 0, "consumer"), "username"));
    reply(name == "" ? "nobody" : name);
  } else if (what == "count") reply(calls.toString());
  else if (what == "throw") {
    writeError("as it was told to");
    return 1;
  } else if (what == "log") {
    log(word());
    metric_count(storeText("contract_total"), storeText("Calls."), storeText('{"word":' + quote(word()) + "}"), 2);
  } else if (what == "echo") {
    const body = stringAt(input, member(input, request, "body"));
    if (member(input, request, "body") < 0) reply("none");
    else writeOutput('{"reply":{"status":200,"body":' + quote(body) + "}}");
  } else if (what == "kv") {
    const key = storeText("key");
    const before = found(kv_get(key));
    kv_set(key, storeText(word()), 60000);
    const during = found(kv_get(key));
    kv_delete(key);
    reply(before + " " + during + " " + found(kv_get(key)));
  } else if (what == "secret") {
    const token = found(secret_get(storeText("TOKEN")));
    reply(token + " " + found(secret_get(storeText("NONE"))));
  } else if (what == "fetch") {
    const head = '{"url":"https://api.test/x","method":"POST","headers":{"X-Sent":"1"}}';
    const body = http_request(storeText(head), storeText(word()));
    const headers = loadText(http_headers());
    const url = stringAt(headers, member(headers, 0, "x-url"));
    reply(http_status_code().toString() + " " + url + " " + loadText(body));
  }
  return 0;
}

export function header_filter(): i32 {
  if (act() == "response") writeOutput('{"response":{"status":201,' + EDITS + "}}");
  return 0;
}

export function response(): i32 {
  if (act() == "whole")
    writeOutput('{"response":{"status":202,"body":' + quote(base64("another body")) + "}}");
  return 0;
}

export function body_filter(): i32 {
  const input = readInput();
  const last = member(input, member(input, 0, "chunk"), "last");
  if (act() == "chunks" && input.startsWith("true", last)) writeOutput('{"chunk":' + quote(base64("end")) + "}");
  return 0;
}

// Named `log` for the host; the import of that name is the kernel's.
export function in_log(): i32 {
  if (act() == "log") log_warn(storeText("in log"));
  return 0;
}

export { in_log as log };

function found(block: u64): string {
  return block == 0 ? "none" : loadText(block);
}

function reply(body: string): void {
  writeOutput('{"reply":{"status":200,"body":' + quote(base64(body)) + "}}");
}

/** A value's own text, for one that is an object of strings. */
function value(text: string, at: i32): string {
  let i = at;
  while (text.charCodeAt(i) != 0x7d) i++;
  return text.substring(at, i + 1);
}

/** `[["a","1"],["b","2"]]` as `a,1,b,2`, for values without commas and quotes. */
function names(text: string, at: i32): string {
  let out = "";
  for (let i = at; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c == 0x5d && text.charCodeAt(i + 1) == 0x5d) break;
    if (c == 0x5b && text.charCodeAt(i + 1) == 0x5d) break;
    if (c != 0x5b && c != 0x5d && c != 0x22) out += String.fromCharCode(c);
  }
  return out;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

function base64(text: string): string {
  const bytes = Uint8Array.wrap(String.UTF8.encode(text));
  let out = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const a = <i32>bytes[i];
    const b = i + 1 < bytes.length ? <i32>bytes[i + 1] : 0;
    const c = i + 2 < bytes.length ? <i32>bytes[i + 2] : 0;
    out += DIGITS.charAt(a >> 2) + DIGITS.charAt(((a & 3) << 4) | (b >> 4));
    out += i + 1 < bytes.length ? DIGITS.charAt(((b & 15) << 2) | (c >> 6)) : "=";
    out += i + 2 < bytes.length ? DIGITS.charAt(c & 63) : "=";
  }
  return out;
}
