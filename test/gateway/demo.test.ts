/** The demo does what the README promises, on a machine whose usual ports may be taken. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const ROOT = join(import.meta.dirname, "..", "..");

/** What a running demo leaves for `npm run demo:loop`. */
function notes(): string | null {
  const file = join(ROOT, ".demo.json");
  return existsSync(file) ? readFileSync(file, "utf8") : null;
}

test("`npm run demo -- --check` tries one plugin of each kind, and a loop in one workspace hurts no other", async () => {
  // Somebody has the usual port already; if it is not this test, all the better.
  const squatter = createServer().listen(8000, "127.0.0.1");
  await once(squatter, "listening").catch((error: NodeJS.ErrnoException) =>
    assert.equal(error.code, "EADDRINUSE"),
  );
  const running = notes();
  try {
    const demo = [join(ROOT, "demo/demo.ts"), "--check"];
    const { stdout } = await promisify(execFile)(process.execPath, demo, { cwd: ROOT });
    assert.match(stdout, /^gateway ready; .* fence around plugins is (NOT in force|in force, by [a-z-]+)$/m);
    assert.match(stdout, /^uploaded path-guard@1\.0\.0 to workspace acme$/m);
    assert.match(stdout, /^uploaded ts-hello@1\.0\.0 to workspace globex$/m);
    assert.match(stdout, /^ok {5}a native plugin/m);
    assert.match(stdout, /^ok {5}a WASM plugin/m);
    assert.match(stdout, /^ok {5}a JavaScript plugin/m);
    assert.match(stdout, /^ {2}answers to acme: .*\d+ × 50[03]/m);
    assert.match(stdout, /^ {2}before +\d+ +[\d.]+ ms +[\d.]+ ms$/m);
    assert.match(stdout, /^ {2}while acme loops +\d+ +[\d.]+ ms +[\d.]+ ms$/m);
    assert.match(stdout, /^ {2}failed requests of globex: 0$/m);
    assert.equal(notes(), running, "a demo that runs beside it keeps its notes");
  } finally {
    squatter.close();
  }
});
