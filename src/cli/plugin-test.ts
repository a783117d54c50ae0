/**
 * `gatehouse plugin test`: a plugin's own tests, natively and in the sandbox, from the same files; and requests that were
 * recorded, against the answers that they should have.
 *
 * The tests are `node:test` files that call `testPlugin` of `@gatehouse/sdk/testing`. A plugin in WebAssembly has no native
 * form: its tests run in the sandbox alone.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { buildOnce } from "./build-plugin.ts";
import { PackError } from "./pack.ts";
import { EXIT, guarded } from "./plugin-report.ts";
import { type Golden, testRecordings } from "./recorded-tests.ts";

const TEST_FILE = /\.test\.(?:ts|mts|js|mjs)$/;
const own = (path: string) => new URL(`../testing/${path}`, import.meta.url);

interface TestOptions {
  readonly in: string;
  readonly recordings: string;
  readonly record?: boolean;
  readonly json?: boolean;
}

export function registerTestCommand(plugin: Command): void {
  plugin
    .command("test")
    .description(
      "run a plugin's own tests natively and in the sandbox, and recorded requests against what is expected",
    )
    .argument("[dir]", "directory of the plugin", ".")
    .option("--in <runtime>", "native, sandbox or both", "both")
    .option("--recordings <file>", "requests as 'plugin recordings --export' writes them", "recordings.jsonl")
    .option("--record", "write down what recorded requests come to now, as what is expected from now on")
    .option("--json", "print a line of JSON for each test, and one for the whole")
    .addHelpText(
      "after",
      "\nExit codes: 0 everything passed; 1 a test failed, or the plugin cannot be built.",
    )
    .action((dir: string, options: TestOptions) => guarded(options.json, () => testDirectory(dir, options)));
}

async function testDirectory(dir: string, options: TestOptions): Promise<void> {
  if (!["native", "sandbox", "both"].includes(options.in))
    throw new PackError([`--in is native, sandbox or both, not '${options.in}'`]);
  const { manifest } = await buildOnce(dir);
  const files = await testFiles(resolve(dir));
  const native = manifest.runtime === "isolate" && options.in !== "sandbox";
  const runtimes = [...(native ? ["native"] : []), ...(options.in === "native" ? [] : ["sandbox"])];
  const passed: Record<string, boolean> = {};
  if (files.length > 0)
    for (const runtime of runtimes) {
      if (!options.json) console.log(`${files.length} test files of ${manifest.name}, ${TITLES[runtime]}:`);
      passed[runtime] = await run(resolve(dir), files, runtime, options.json === true);
    }
  const goldens = runtimes.includes("sandbox") ? await recordings(dir, options) : null;
  if (files.length === 0 && goldens === null)
    throw new PackError([
      `${dir} has no tests: write plugin.test.ts with testPlugin of @gatehouse/sdk/testing, or record requests`,
    ]);
  const ok = Object.values(passed).every(Boolean) && (goldens?.failed ?? 0) === 0;
  if (options.json)
    console.log(JSON.stringify({ kind: "summary", ok, files: files.length, runtimes, recordings: goldens }));
  if (!ok) process.exitCode = EXIT.refused;
}

const TITLES: Readonly<Record<string, string>> = {
  native: "natively",
  sandbox: "in the sandbox, with the grants and limits of the manifest",
};

async function testFiles(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && TEST_FILE.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/[\\/](?:node_modules|target)[\\/]/.test(path.slice(dir.length)))
    .sort();
}

/** One file at a time: the cordons of two would have the same users. */
async function run(dir: string, files: readonly string[], runtime: string, json: boolean): Promise<boolean> {
  const reporter = json ? fileURLToPath(own("reporter.ts")) : "spec";
  const child = spawn(
    process.execPath,
    [
      "--import",
      own("own-sdk.ts").href,
      "--test",
      "--test-concurrency=1",
      `--test-reporter=${reporter}`,
      "--test-reporter-destination=stdout",
      ...files,
    ],
    {
      cwd: dir,
      env: {
        ...process.env,
        GATEHOUSE_TEST_RUNTIME: runtime,
        GATEHOUSE_TEST_DIRECTORY: dir,
        GATEHOUSE_TEST_DOOR: own("door.ts").href,
        // Set where this command itself is run by a test: the runner would take it for its own.
        NODE_TEST_CONTEXT: undefined,
      },
      stdio: ["ignore", "inherit", "inherit"],
    },
  );
  const [code] = (await once(child, "exit")) as [number | null];
  return code === 0;
}

/** Null if there are none. */
async function recordings(dir: string, options: TestOptions): Promise<Golden | null> {
  process.env.GATEHOUSE_TEST_DOOR = own("door.ts").href;
  const outcome = await testRecordings(resolve(dir), join(dir, options.recordings), options.record === true);
  if (outcome === null) {
    if (options.record)
      throw new PackError([
        `${join(dir, options.recordings)} is not there: write recorded requests to it by 'gatehouse plugin recordings --export'`,
      ]);
    return null;
  }
  for (const test of outcome.tests) {
    if (options.json) console.log(JSON.stringify({ kind: "recording", ...test }));
    else {
      console.log(`${test.ok ? "✔" : "✖"} recorded ${test.name}${test.recorded ? " (written down)" : ""}`);
      for (const difference of test.differences) console.log(`    ${difference}`);
    }
  }
  return outcome.golden;
}
