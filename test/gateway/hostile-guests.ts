/**
 * Guests that misbehave when the request says so, and only then: with `x-attack: ~` in it. Each is a whole
 * package; `kinds` are the failures that may be reported for it.
 */
import type { Failure } from "../../src/sandbox/protocol/engine.ts";
import { accessPlugin, bundleSource } from "../sandbox/sandbox.ts";
import { assemble, TOLD_TO } from "../sandbox/wasm/guests.ts";
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

/** A WASM guest whose access hook runs this code when it is told to. */
function wasm(
  name: string,
  title: string,
  kinds: readonly Failure[],
  attack: string,
  fail: "open" | "closed" = "closed",
): HostileGuest {
  return {
    name,
    title: `WASM: ${title}`,
    kinds,
    fail,
    pack() {
      const text = `(module ${TOLD_TO.imports} ${TOLD_TO.code}
        (func (export "access") (result i32)
          (if (i32.eqz (call $told_to)) (then (return (i32.const 0)))) ${attack}))`;
      const more = { runtime: "extism", entry: "plugin.wasm" };
      return packFiles(manifest(name, fail, more), "plugin.wasm", assemble(text));
    },
  };
}

/** Its failures are quick: they can come in a flood. */
export const THROWER = isolate("js-throw", "a throw", ["throw"], 'throw new Error("on purpose");');

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
  wasm("wasm-open", "a trap where failures are passed over", ["trap"], "(unreachable)", "open"),
];
