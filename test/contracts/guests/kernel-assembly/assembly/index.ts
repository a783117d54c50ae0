/**
 * What a guest sees of its host, told in its answer's vars: for two hosts to be compared by. `act` of its config
 * says what it looks at.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import { config, loadText, readInput, storeText, writeError, writeOutput } from "../../../../../sdk/assemblyscript/extism";
import { member, quote, stringAt } from "../../../../../sdk/assemblyscript/json";

@external("extism:host/env", "alloc") declare function alloc(length: u64): u64;
@external("extism:host/env", "free") declare function free(address: u64): void;
@external("extism:host/env", "length") declare function length(address: u64): u64;
@external("extism:host/env", "length_unsafe") declare function length_unsafe(address: u64): u64;
@external("extism:host/env", "load_u8") declare function load_u8(address: u64): u32;
@external("extism:host/env", "load_u64") declare function load_u64(address: u64): u64;
@external("extism:host/env", "store_u8") declare function store_u8(address: u64, value: u32): void;
@external("extism:host/env", "input_length") declare function input_length(): u64;
@external("extism:host/env", "var_get") declare function var_get(key: u64): u64;
@external("extism:host/env", "var_set") declare function var_set(key: u64, value: u64): void;
@external("extism:host/env", "error_set") declare function error_set(address: u64): void;
@external("extism:host/env", "http_request") declare function http_request(request: u64, body: u64): u64;
@external("extism:host/env", "log_debug") declare function log_debug(line: u64): void;
@external("extism:host/env", "log_info") declare function log_info(line: u64): void;
@external("extism:host/env", "log_warn") declare function log_warn(line: u64): void;
@external("extism:host/env", "log_error") declare function log_error(line: u64): void;
@external("extism:host/user", "kv_get") declare function kv_get(key: u64): u64;
@external("extism:host/user", "kv_set") declare function kv_set(key: u64, value: u64, ttlMs: i64): u64;
@external("extism:host/user", "kv_delete") declare function kv_delete(key: u64): u64;

let said: string = "";

function say(name: string, value: string): void {
  said += (said == "" ? "" : ",") + quote(name) + ":" + quote(value);
}

function textOr(block: u64, otherwise: string): string {
  return block == 0 ? otherwise : loadText(block);
}

export function access(): i32 {
  said = "";
  const act = config("act");
  if (act == "variables") variables();
  else if (act == "config") settings();
  else if (act == "empty") {
    const empty = config("empty");
    say("empty", empty === null ? "none" : empty);
  } else if (act == "levels") levels();
  else if (act == "memory") memoryOfHost();
  else if (act == "values") values();
  else if (act == "request") say("answer", http_request(storeText('{"url":"https://a.test/"}'), 0).toString());
  else if (act == "error") {
    writeError("what went wrong");
    return 1;
  } else if (act == "error-taken-back") {
    writeError("not so bad");
    error_set(0);
  } else if (act == "error-only") writeError("wrong all the same");
  else if (act == "code") return 3;
  else if (act == "trap") unreachable();
  else if (act == "input") {
    const input = readInput();
    say("length", input_length().toString());
    say("path", stringAt(input, member(input, member(input, 0, "request"), "path")));
  }
  writeOutput('{"vars":{' + said + "}}");
  return 0;
}

/** A variable that grows with each call, one that is set and deleted, one whose block is freed. */
function variables(): void {
  const before = textOr(var_get(storeText("grows")), "");
  var_set(storeText("grows"), storeText(before + "ü"));
  say("before", before);
  say("after", textOr(var_get(storeText("grows")), "none"));
  var_set(storeText("short"), storeText("here"));
  say("short", textOr(var_get(storeText("short")), "none"));
  var_set(storeText("short"), 0);
  say("deleted", textOr(var_get(storeText("short")), "none"));
  say("never", textOr(var_get(storeText("never")), "none"));
}

function settings(): void {
  const names = ["act", "text", "number", "flag", "list", "absent", "ünïcode"];
  for (let i = 0; i < names.length; i++) {
    const value = config(names[i]);
    say(names[i], value === null ? "none" : value);
  }
}

function levels(): void {
  log_debug(storeText("of debugging"));
  log_info(storeText("of interest: ü"));
  log_warn(storeText("of concern"));
  log_error(storeText("of failure"));
}

function memoryOfHost(): void {
  const block = alloc(11);
  say("length", length(block).toString());
  say("unsafe", length_unsafe(block).toString());
  for (let i = 0; i < 11; i++) store_u8(block + i, i + 1);
  say("word", load_u64(block).toString());
  say("byte", load_u8(block + 10).toString());
  free(block);
  say("again", (length(alloc(5)) + length(alloc(70000))).toString());
}

function values(): void {
  const key = storeText("key");
  say("before", textOr(kv_get(key), "none"));
  say("kept", kv_set(key, storeText("wörd"), 0).toString());
  say("during", textOr(kv_get(key), "none"));
  say("deleted", kv_delete(key).toString());
  say("after", textOr(kv_get(key), "none"));
}
