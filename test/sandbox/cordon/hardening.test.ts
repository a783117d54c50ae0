/** What an isolate's guest finds of JavaScript: everything but what passes its limits, tells time, or makes code of text. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Reply } from "@gatehouse/sdk";
import { MemoryContext } from "../context.ts";
import {
  accessPlugin,
  bundleSource,
  PATIENT,
  RecordingHost,
  type Sandbox,
  settings,
  startSandbox,
} from "../sandbox.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(() => sandbox.close());

/** What an expression is worth in a guest; an error is its name and message. */
async function worth(expression: string, parts: Parameters<typeof settings>[1] = {}): Promise<unknown> {
  const body = `let value; try { value = (${expression}); } catch (error) { value = String(error); }
    return reply(200, [value === undefined ? "undefined" : value]);`;
  const hooks = sandbox.client.hooks(
    settings(await bundleSource(accessPlugin(body)), { limits: PATIENT, ...parts }),
    new RecordingHost(),
  );
  const reply = (await hooks.access?.(new MemoryContext())) as Reply;
  sandbox.client.release(hooks);
  return JSON.parse(Buffer.from(reply.body as Uint8Array).toString())[0];
}

const HUGE = `"\\uFDFA".repeat(70000)`;
const REFUSED = /^RangeError: \w+: a text of more than 65536 characters$/;
const LOCKED = /^TypeError: /;
const NO_CODE = /^EvalError: Code generation from strings disallowed/;

for (const [title, expression, expected] of [
  ["WebAssembly", "typeof WebAssembly", "undefined"],
  ["shared memory", "typeof SharedArrayBuffer", "undefined"],
  ["atomics", "typeof Atomics", "undefined"],
  ["finalizers", "typeof FinalizationRegistry", "undefined"],
  ["weak references", "typeof WeakRef", "undefined"],
  ["Intl", "typeof Intl", "undefined"],
  ["Temporal", "typeof Temporal", "undefined"],
  ["a console", "typeof console", "undefined"],
  ["timers", "typeof setTimeout + typeof setInterval + typeof setImmediate", "undefinedundefinedundefined"],
  ["a performance clock", "typeof performance", "undefined"],
  ["the collector", "typeof gc", "undefined"],
  [
    "the host's process and requests",
    "typeof process + typeof fetch + typeof XMLHttpRequest",
    "undefinedundefinedundefined",
  ],
  [
    "the isolate's own library",
    "typeof ivm + typeof isolate + typeof Reference",
    "undefinedundefinedundefined",
  ],
  ["eval", "typeof eval", "undefined"],
  ["Function of text", `Function("return 1")()`, NO_CODE],
  ["functions of text by a constructor", `(() => {}).constructor("return 1")()`, NO_CODE],
  ["async functions of text", `(async () => {}).constructor("return 1")`, NO_CODE],
  ["generators of text", `(function* () {}).constructor("yield 1")`, NO_CODE],
  ["async generators of text", `(async function* () {}).constructor("yield 1")`, NO_CODE],
  ["buffers that grow", `new ArrayBuffer(8, { maxByteLength: 2 ** 32 }).resizable ?? "fixed"`, "fixed"],
  ["a way to resize", "typeof ArrayBuffer.prototype.resize", "undefined"],
  [
    "buffers that grow by the constructor of one",
    `new (new Uint8Array(1).buffer.constructor)(8, { maxByteLength: 16 }).maxByteLength ?? "fixed"`,
    "fixed",
  ],
  [
    "buffers beyond its memory",
    "new ArrayBuffer(2 ** 31).byteLength",
    /^RangeError: Array buffer allocation failed/,
  ],
  [
    "buffers moved beyond its memory",
    "new ArrayBuffer(8).transfer(2 ** 31).byteLength",
    /^RangeError: Array buffer allocation failed/,
  ],
  ["normalize of a long text", `${HUGE}.normalize("NFKD").length`, REFUSED],
  [
    "normalize of an object that is a long text",
    `String.prototype.normalize.call({ toString: () => ${HUGE} }).length`,
    REFUSED,
  ],
  ["localeCompare with a long text", `"a".localeCompare(${HUGE})`, REFUSED],
  ["upper case of a long text by locale", `${HUGE}.toLocaleUpperCase("tr").length`, REFUSED],
  ["structured stacks", `Error.prepareStackTrace = (_, sites) => sites`, LOCKED],
  ["longer stacks", `Error.stackTraceLimit = 1e9`, LOCKED],
  ["traps in prototypes", `Array.prototype.push = () => {}`, LOCKED],
  ["traps in Object's prototype", `Object.prototype.trap = 1`, LOCKED],
  ["traps in JSON", `JSON.parse = () => {}`, LOCKED],
  ["traps in promises", `Promise.prototype.then = () => {}`, LOCKED],
  ["another Math.random", `Math.random = () => 4`, LOCKED],
  ["the caller of its hook", `(function () { return arguments.callee.caller; })()`, LOCKED],
  ["files by import", `import("node:fs").catch(String) instanceof Promise`, true],
] as const)
  test(`a guest does not get ${title}`, async () => {
    const value = await worth(expression);
    if (expected instanceof RegExp) assert.match(String(value), expected);
    else assert.equal(value, expected);
  });

for (const [title, expression, expected] of [
  ["texts in composed form", `"e\\u0301".normalize()`, "\u00e9"],
  ["order by locale", `["b", "a", "\u00e4"].sort((a, b) => a.localeCompare(b)).join("")`, "a\u00e4b"],
  ["case by locale", `"I".toLocaleLowerCase("tr")`, "\u0131"],
  ["base64 both ways", `new TextDecoder().decode(Uint8Array.fromBase64(btoa("ok")))`, "ok"],
  ["base64 without its end", `atob("b2s")`, "ok"],
  ["fixed buffers", `new ArrayBuffer(8).slice(2).transfer(3).byteLength`, 3],
  [
    "the time of its call, standing still",
    `Date.now() === new Date().getTime() && Number.isInteger(Date.now())`,
    true,
  ],
  ["times of day of a zone that tells nothing", `new Date(0).getTimezoneOffset()`, 0],
] as const)
  test(`a guest gets ${title}`, async () => {
    assert.equal(await worth(expression), expected);
  });

test("what Math.random gives one guest says nothing of what it gives another, or a new context of the same", async () => {
  const seen = new Set<unknown>();
  const first = "[Math.random(), Math.random()].join()";
  for (let i = 0; i < 4; i++) seen.add(await worth(first, { name: `one-of-${i}` }));
  const perRequest = sandbox.client.hooks(
    settings(await bundleSource(accessPlugin(`return reply(200, [${first}]);`)), {
      instance: "per-request",
      limits: PATIENT,
    }),
    new RecordingHost(),
  );
  for (let i = 0; i < 4; i++) {
    const reply = (await perRequest.access?.(new MemoryContext())) as Reply;
    seen.add(JSON.parse(Buffer.from(reply.body as Uint8Array).toString())[0]);
  }
  assert.equal(seen.size, 8);
});
