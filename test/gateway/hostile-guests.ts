/**
 * Guests that misbehave when the request says so, and only then: with `x-attack: ~` in it. Each is a whole
 * package; `kinds` are the failures that may be reported for it.
 */
import type { Failure } from "../../src/sandbox/engine.ts";
import { accessPlugin, bundleSource } from "../sandbox/sandbox.ts";
import { assemble, IMPORTS, STORE } from "../sandbox/wasm/guests.ts";
import { packFiles } from "./packages.ts";

export interface HostileGuest {
  readonly name: string;
  readonly title: string;
  readonly kinds: readonly Failure[];
  readonly fail?: "open" | "closed";
  pack(): Promise<Uint8Array>;
}

export const ATTACK = { "x-attack": "~" };

const CPU: readonly Failure[] = ["timeout", "deadline"];

function manifest(name: string, fail: string, more: object): object {
  const grants = { request_headers: ["x-attack"] };
  return { manifest: 1, name, version: "1.0.0", phases: ["access"], fail, grants, ...more };
}

/** An isolate guest whose access hook does this when it is told to. */
function isolate(
  name: string,
  title: string,
  kinds: readonly Failure[],
  attack: string,
  fail: "open" | "closed" = "closed",
): HostileGuest {
  return {
    name,
    title: `isolate: ${title}`,
    kinds,
    fail,
    async pack() {
      const source = accessPlugin(`if (ctx.request.headers.get("x-attack") === "~") { ${attack} }`);
      const more = { runtime: "isolate", entry: "plugin.js" };
      return packFiles(manifest(name, fail, more), "plugin.js", await bundleSource(source));
    },
  };
}

/** Answers 1 if the guest's input has a `~` in it: JSON without that header has none. */
const TOLD_TO = `
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))`;
const LOOK = `
  (func $told_to (result i32) (local $i i64)
    (block $no (loop $next
      (br_if $no (i64.ge_u (local.get $i) (call $input_length)))
      (if (i32.eq (call $input_load_u8 (local.get $i)) (i32.const 0x7e)) (then (return (i32.const 1))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br $next)))
    (i32.const 0))`;

/** A WASM guest whose access hook runs this code when it is told to; `answer` lies at address 0. */
function wasm(
  name: string,
  title: string,
  kinds: readonly Failure[],
  attack: string,
  { answer = "", fail = "closed" as "open" | "closed" } = {},
): HostileGuest {
  return {
    name,
    title: `WASM: ${title}`,
    kinds,
    fail,
    pack() {
      const data = [...Buffer.from(answer)].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
      const text = `(module ${IMPORTS} ${TOLD_TO} (memory 1) (data (i32.const 0) "${data}") ${STORE} ${LOOK}
        (func (export "access") (result i32)
          (if (i32.eqz (call $told_to)) (then (return (i32.const 0)))) ${attack}))`;
      const more = { runtime: "extism", entry: "plugin.wasm" };
      return packFiles(manifest(name, fail, more), "plugin.wasm", assemble(text));
    },
  };
}

/** A WASM guest that answers this text. */
function answering(name: string, title: string, answer: string): HostileGuest {
  const { length } = Buffer.from(answer);
  const code = `(call $output_set (call $store (i32.const 0) (i32.const ${length})) (i64.const ${length})) (i32.const 0)`;
  return wasm(name, title, ["violation"], code, { answer });
}

export const HOSTILE_GUESTS: readonly HostileGuest[] = [
  isolate("js-loop", "an infinite loop", CPU, "for (;;);"),
  isolate(
    "js-memory",
    "a memory bomb",
    [...CPU, "memory", "throw", "crashed"],
    "const kept = []; for (;;) kept.push(new Array(10_000).fill(kept.length));",
  ),
  isolate(
    "js-split",
    "a memory bomb that no isolate's limit stops",
    ["memory", "deadline", "crashed"],
    '"x".padEnd(2 ** 29 - 30).split("");',
  ),
  isolate("js-throw", "a throw", ["throw"], 'throw new Error("on purpose");'),
  isolate(
    "js-newline",
    "CR LF in a header value",
    ["violation"],
    'ctx.request.headers.set("x-a", "a\\r\\nx-evil: 1");',
  ),
  isolate(
    "js-status",
    'the status "200"',
    ["violation"],
    'return { kind: "reply", status: "200", headers: [], body: new Uint8Array() } as never;',
  ),
  isolate("js-never", "a promise that never settles", ["violation"], "await new Promise(() => {});"),
  wasm("wasm-loop", "an infinite loop", ["fuel"], "(loop $on (br $on)) (i32.const 0)"),
  wasm("wasm-trap", "a trap", ["trap"], "(unreachable)"),
  wasm(
    "wasm-grow",
    "memory.grow without end",
    ["fuel", "memory", "trap"],
    "(loop $on (drop (memory.grow (i32.const 16))) (br $on)) (i32.const 0)",
  ),
  answering("wasm-json", "an answer that is no JSON", '{"request":'),
  answering(
    "wasm-newline",
    "CR LF in a header value",
    '{"request":{"headers":[["set","x-a","a\\r\\nx-evil: 1"]]}}',
  ),
  answering("wasm-status", "the status 99", '{"reply":{"status":99,"headers":[],"body":""}}'),
];

/** Takes its process along every time. */
export const KILLER = isolate(
  "js-killer",
  "a guest that keeps killing its process",
  ["memory", "deadline", "crashed"],
  '"x".padEnd(2 ** 29 - 30).split("");',
);

export const OPEN_GUESTS: readonly HostileGuest[] = [
  isolate(
    "js-open",
    "a throw where failures are passed over",
    ["throw"],
    'throw new Error("on purpose");',
    "open",
  ),
  isolate("js-loop-open", "an infinite loop where failures are passed over", CPU, "for (;;);", "open"),
  wasm("wasm-open", "a trap where failures are passed over", ["trap"], "(unreachable)", { fail: "open" }),
];
