/** Long work on a terminal, and elsewhere. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

const MODULE = new URL("../../src/cli/progress.ts", import.meta.url).href;
const PROGRAM = `import { withProgress } from "${MODULE}";
  console.log(await withProgress("compiling", () => new Promise((resolve) => setTimeout(resolve, 700, "done"))));`;
const ARGS = ["--input-type=module", "-e", PROGRAM];
const run = promisify(execFile);

test("on a terminal a line counts seconds, and is cleared before the result", async () => {
  const quoted = [process.execPath, ...ARGS].map((arg) => `'${arg}'`).join(" ");
  const { stdout } = await run("script", ["-qec", quoted, "/dev/null"]);
  assert.match(stdout, /compiling \.\.\. \d+ s[^\n]*\r\u001b\[Kdone/);
});

test("elsewhere nothing is said but the result", async () => {
  assert.deepEqual({ ...(await run(process.execPath, ARGS)) }, { stdout: "done\n", stderr: "" });
});
