/** What is left in a cordon's own realm of ways to make code of text. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

const MODULE = new URL("../../../src/sandbox/cordon/compilers.ts", import.meta.url).href;

/** Each gives what it compiled, from an object that any code may have been left with. */
const WAYS = {
  eval: 'globalThis.eval("1 + 1")',
  "indirect eval": '(0, eval)("1 + 1")',
  Function: 'Function("return 2")()',
  "an object's constructor": '({}).constructor.constructor("return 2")()',
  "a function's constructor": '(() => 1).constructor("return 2")()',
  "a class's constructor": '(class {}).constructor("return 2")()',
  "an async function's constructor": '(async () => 1).constructor("return 2")',
  "a generator's constructor": '(function* () {}).constructor("return 2")',
  "an async generator's constructor": '(async function* () {}).constructor("return 2")',
  "a native method's constructor": 'process.hrtime.constructor("return 2")()',
  "a bound function's constructor": 'Math.max.bind(null).constructor("return 2")()',
  "a constructor put back": '(Function.prototype.constructor = class {}, [].map.constructor("return 2")())',
};

test("a cordon's own objects lead to nothing that makes code of text", async () => {
  const script = `
    const { dropCompilers } = await import(${JSON.stringify(MODULE)});
    const ways = ${JSON.stringify(Object.entries(WAYS))};
    const attempts = ways.map(([name, text]) => [name, new Function("return " + text)]);
    const works = () => attempts.filter(([, attempt]) => { try { attempt(); return true; } catch { return false; } });
    const before = works().length;
    dropCompilers();
    console.log(JSON.stringify({ before, after: works().map(([name]) => name) }));`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  const { before, after } = JSON.parse(stdout);
  // The one that puts a class in the constructor's place fails by itself.
  assert.equal(before, Object.keys(WAYS).length - 1);
  assert.deepEqual(after, []);
});
