/** A cordon as its parent sees it, with other programs in its place. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { CordonProcess } from "../../../src/sandbox/supervisor/cordon-process.ts";
import { isAlive } from "../sandbox.ts";

test("a cordon that writes to stderr without end is not listened to, and its first words are kept", async () => {
  const child = spawn("sh", ["-c", "exec yes >&2"], { stdio: ["ignore", "ignore", "pipe"] });
  const cordon = new CordonProcess(1, 0, "wasm", new Set(), child, false);
  // It ends by itself, for nobody reads what it writes.
  const how = await new Promise<string>((resolve) => cordon.onExit(resolve));
  assert.notEqual(how, "signal SIGKILL");
  assert.match(cordon.lastWords, /^(?:y\n)+y$/);
  assert.ok(cordon.lastWords.length <= 2000);
});

test("whoever has to reap a cordon is given the time for it: killed in its place it would leave a zombie behind", async () => {
  // It has a child, never asks what became of it, and is slow to end.
  const program = 'if (!fork) { exec "sleep", "1000" } syswrite STDERR, "\\n"; select undef, undef, undef, 2';
  const child = spawn("perl", ["-e", program], { stdio: ["ignore", "ignore", "pipe"] });
  const cordon = new CordonProcess(1, 0, "wasm", new Set(), child, true);
  const exited = new Promise<string>((resolve) => cordon.onExit(resolve));
  await once(child.stderr, "data");
  const last = cordon.pids().at(-1) as number;
  cordon.kill();
  assert.equal(await exited, "exit code 0");
  assert.notEqual(last, child.pid);
  assert.ok(!isAlive(last));
});

test("what was spawned and has no child is killed itself", async () => {
  const child = spawn("sleep", ["1000"], { stdio: ["ignore", "ignore", "pipe"] });
  const cordon = new CordonProcess(1, 0, "wasm", new Set(), child, true);
  const exited = new Promise<string>((resolve) => cordon.onExit(resolve));
  cordon.kill();
  assert.equal(await exited, "signal SIGKILL");
});

test("what has ended already is not looked for again, whose number another process may have by then", async () => {
  const child = spawn("true", { stdio: ["ignore", "ignore", "pipe"] });
  const cordon = new CordonProcess(1, 0, "wasm", new Set(), child, true);
  await new Promise<string>((resolve) => cordon.onExit(resolve));
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  cordon.kill();
  assert.equal(timers(), before);
});
