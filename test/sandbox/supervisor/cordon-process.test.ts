/** A cordon as its parent sees it, with other programs in its place. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { CordonProcess } from "../../../src/sandbox/supervisor/cordon-process.ts";

test("a cordon that writes to stderr without end is not listened to, and its first words are kept", async () => {
  const child = spawn("sh", ["-c", "exec yes >&2"], { stdio: ["ignore", "ignore", "pipe"] });
  const cordon = new CordonProcess(1, 0, "wasm", new Set(), child, false);
  // It ends by itself, for nobody reads what it writes.
  const how = await new Promise<string>((resolve) => cordon.onExit(resolve));
  assert.notEqual(how, "signal SIGKILL");
  assert.match(cordon.lastWords, /^(?:y\n)+y$/);
  assert.ok(cordon.lastWords.length <= 2000);
});
