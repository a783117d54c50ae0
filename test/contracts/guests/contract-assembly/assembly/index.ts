/**
 * The contract's guest in AssemblyScript, with the acts of contract-typescript.ts, written with the SDK's layer.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import {
  Answer,
  Call,
  config,
  count,
  Edit,
  fail,
  fetch,
  KeyValues,
  log,
  LogLevel,
  member,
  quote,
  secret,
  skip,
  stringAt,
} from "../../../../../sdk/assemblyscript";

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
  const json = new Call().variable("old");
  const old = json === null ? "" : stringAt(json, 0);
  return new Answer()
    .setVariable("seen", '{"word":' + quote(word()) + ',"old":' + quote(old) + "}")
    .setVariable("old", "null")
    .send();
}

export function access(): i32 {
  calls++;
  const what = act();
  const call = new Call();
  const answer = new Answer();
  if (what == "request") edit(answer.request).method("PUT").path("/new%20path").query("a=1&b=%20");
  else if (what == "body") answer.request.body(utf8("grüße"));
  else if (what == "reply") {
    const bytes = new Uint8Array(2);
    bytes[1] = 0xff;
    answer.replyWith(418, '["X-Why","because"]', bytes);
  } else if (what == "config") {
    const at = member(call.input, 0, "config");
    answer.replyWith(200, "", utf8(call.input.substring(at, skip(call.input, at))));
  } else if (what == "headers") answer.replyWith(200, "", utf8(names(call)));
  else if (what == "consumer") {
    const name = call.consumer;
    answer.replyWith(200, "", utf8(name === null ? "nobody" : name));
  } else if (what == "count") answer.replyWith(200, "", utf8(calls.toString()));
  else if (what == "throw") return fail("as it was told to");
  else if (what == "log") {
    log(LogLevel.info, word());
    count("contract_total", "Calls.", '{"word":' + quote(word()) + "}", 2);
  } else if (what == "echo") {
    const body = call.body();
    answer.replyWith(200, "", body === null ? utf8("none") : body);
  } else if (what == "kv") {
    const before = found(KeyValues.get("key"));
    KeyValues.set("key", utf8(word()), 60000);
    const during = found(KeyValues.get("key"));
    KeyValues.delete("key");
    answer.replyWith(200, "", utf8(before + " " + during + " " + found(KeyValues.get("key"))));
  } else if (what == "secret") {
    const token = secret("TOKEN");
    const none = secret("NONE");
    answer.replyWith(200, "", utf8((token === null ? "none" : token) + " " + (none === null ? "none" : none)));
  } else if (what == "fetch") {
    const fetched = fetch("POST", "https://api.test/x", '{"X-Sent":"1"}', utf8(word()));
    const url = stringAt(fetched.headers, member(fetched.headers, 0, "x-url"));
    answer.replyWith(200, "", utf8(fetched.status.toString() + " " + url + " " + text(fetched.body)));
  }
  return answer.send();
}

export function header_filter(): i32 {
  const answer = new Answer();
  if (act() == "response") edit(answer.response).status(201);
  return answer.send();
}

export function response(): i32 {
  const answer = new Answer();
  if (act() == "whole") answer.response.status(202).body(utf8("another body"));
  return answer.send();
}

export function body_filter(): i32 {
  const answer = new Answer();
  if (act() == "chunks" && new Call().isLast) answer.chunk(utf8("end"));
  return answer.send();
}

// Named `log` for the host; the layer has a function of that name.
export function in_log(): i32 {
  if (act() == "log") log(LogLevel.warn, "in log");
  return 0;
}

export { in_log as log };

function edit(message: Edit): Edit {
  return message.set("X-Set", "new").add("X-Add", "2").remove("x-gone");
}

function utf8(text: string): Uint8Array {
  return Uint8Array.wrap(String.UTF8.encode(text));
}

function text(bytes: Uint8Array): string {
  return String.UTF8.decode(bytes.buffer);
}

function found(bytes: Uint8Array | null): string {
  return bytes === null ? "none" : text(bytes);
}

/** `[["a","1"],["b","2"]]` as `a,1,b,2`, for values without commas and quotes. */
function names(call: Call): string {
  const input = call.input;
  const from = member(input, member(input, 0, "request"), "headers");
  const list = input.substring(from, skip(input, from));
  return list.replaceAll("[", "").replaceAll("]", "").replaceAll('"', "");
}
