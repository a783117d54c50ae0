/** Host calls with arguments as a process that a guest has taken over would send them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_GRANTS } from "../../src/sandbox/grants.ts";
import { executeHostCall, HostCallTally } from "../../src/sandbox/host-calls.ts";
import { Violation } from "../../src/sandbox/verdict.ts";
import { RecordingHost } from "./sandbox.ts";

const NOW = Date.now();
const DAY_MS = 86_400_000;

function take(window: object): RecordingHost {
  const host = new RecordingHost();
  const call = { seq: 0, method: "takeFromWindows", args: [[window]], waits: true };
  executeHostCall(call, { ...NO_GRANTS, kvBytes: 1 }, host, new HostCallTally());
  return host;
}

for (const [title, window] of [
  ["a limit of none, which would be in force at once", { key: "k", limit: 0, endsAt: NOW + 1000 }],
  ["a limit that is no whole number", { key: "k", limit: 1.5, endsAt: NOW + 1000 }],
  ["a window of decades", { key: "k", limit: 1, endsAt: Date.UTC(2038, 0) }],
  ["a window that is long over", { key: "k", limit: 1, endsAt: NOW - DAY_MS }],
  ["a key of 1025 characters", { key: "k".repeat(1025), limit: 1, endsAt: NOW + 1000 }],
] as const)
  test(`${title} is a violation`, () => {
    assert.throws(() => take(window), Violation);
  });

test("a window that ended while its call was on the way is none", () => {
  assert.equal(take({ key: "k", limit: 1, endsAt: NOW - 1000 }).calls.length, 1);
});
