/**
 * Runs every test under test/: `npm test`, or `npm test -- router plugins/cors` for those whose path has one
 * of these words in it. Files ending in .fuzz-long.test.ts take minutes and run only when they are named.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { PROGRAMS, requireProgram } from "./support/services.ts";

const ROOT = join(import.meta.dirname, "..");
/** Each file may start a gateway with threads and child processes of its own. */
const CONCURRENCY = 2;
const FILE_TIMEOUT_MS = 300_000;

const words = process.argv.slice(2);
const files = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".test.ts"))
  .map((name) => relative(ROOT, join(import.meta.dirname, name)))
  .filter((path) =>
    words.length === 0 ? !/fuzz-long/.test(path) : words.some((word) => path.includes(word)),
  )
  .sort();

if (files.length === 0) {
  process.stderr.write(
    words.length === 0 ? "no tests under test/\n" : `no test file's path contains: ${words.join(", ")}\n`,
  );
  process.exit(1);
}

try {
  for (const program of PROGRAMS) requireProgram(program);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}

// Hundreds of processes load the same modules: their code is compiled once for all.
const env = { ...process.env, NODE_COMPILE_CACHE: join(ROOT, "node_modules", ".cache", "compiled") };
const runner = spawn(
  process.execPath,
  ["--test", `--test-concurrency=${CONCURRENCY}`, `--test-timeout=${FILE_TIMEOUT_MS}`, ...files],
  { cwd: ROOT, stdio: "inherit", env },
);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => runner.kill(signal));
const [code, signal] = await once(runner, "close");
process.exit(signal === null ? code : 1);
