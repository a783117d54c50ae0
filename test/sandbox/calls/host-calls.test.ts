/** Host calls with arguments as a process that a guest has taken over would send them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NO_GRANTS } from "../../../src/sandbox/calls/grants.ts";
import { HostCallError } from "../../../src/sandbox/calls/host-call-error.ts";
import {
  costOf,
  costOfUnused,
  executeHostCall,
  HostCallTally,
} from "../../../src/sandbox/calls/host-calls.ts";
import { Violation } from "../../../src/sandbox/calls/verdict.ts";
import { RecordingHost } from "../sandbox.ts";

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

for (const [title, windows, us] of [
  ["one window with a short key", [{ key: "k" }], 12],
  ["sixteen with short keys", Array(16).fill({ key: "k" }), 42],
  ["sixteen with the longest keys", Array(16).fill({ key: "k".repeat(1024) }), 90],
  ["more than are allowed, which are not looked at", Array(50_000).fill({ key: "k" }), 42],
  ["no windows but null, numbers and lists", [null, 1, [], { key: 7 }], 14],
  ["no list", "windows", 10],
] as const)
  test(`takeFromWindows is charged by windows and their keys: ${title}`, () => {
    assert.equal(costOf({ method: "takeFromWindows", args: [windows] }), us);
  });

for (const [title, outcome, us] of [
  ["a mebibyte that was fetched", { status: 200, headers: [], body: "A".repeat(1 << 20) }, 4194],
  ["a mebibyte that was read and was too much", new HostCallError("too much", 1 << 20), 4194],
  ["a value that is not there", null, 0],
  ["a fetch that came to nothing", new HostCallError("no"), 0],
  ["nothing", undefined, 0],
] as const)
  test(`what does not cross to the guest is charged by what was read for it: ${title}`, () => {
    assert.equal(costOfUnused(outcome), us);
  });

test("a host call without windows has its fixed price, whatever its arguments", () => {
  assert.equal(costOf({ method: "kvSet", args: [[{ key: "k" }]] }), 50);
  assert.equal(costOf({ method: "takeFromWindows", args: [] }), 10);
});

const ALL = {
  ...NO_GRANTS,
  log: true,
  metrics: true,
  consumer: true,
  kvBytes: 1000,
  httpHosts: ["api.test"],
  secrets: ["TOKEN"],
};
const sound = { url: "https://api.test/", method: "GET", headers: [], body: null };

function call(method: string, args: unknown[], grants = ALL): { host: RecordingHost; answer: unknown } {
  const host = new RecordingHost();
  const answer = executeHostCall({ seq: 0, method, args, waits: true }, grants, host, new HostCallTally());
  return { host, answer };
}

const TOO_LONG = "A".repeat(4 * Math.ceil(65_537 / 3));

for (const [method, ...lists] of [
  ["kvGet", [], [""], [1], [null], ["k".repeat(257)], ["\u00fc".repeat(129)], [{ toString: () => "k" }]],
  ["kvDelete", [], [""], [["k"]]],
  [
    "kvSet",
    ["k"],
    ["k", 1, null],
    ["k", "*", null],
    ["k", "AAA", null],
    ["k", "A===", null],
    ["k", TOO_LONG, null],
  ],
  ["kvSet", ["k", "AAAA", 0], ["k", "AAAA", -1], ["k", "AAAA", 1.5], ["k", "AAAA", "1"], ["k", "AAAA", 1e15]],
  ["secret", [], [1], ["OTHER"], ["TOKEN\0"], ["../TOKEN"], ["T".repeat(65)], [["TOKEN"]]],
  [
    "fetch",
    [],
    [null],
    ["https://api.test/"],
    [{}],
    [{ ...sound, url: 1 }],
    [{ ...sound, url: "h".repeat(4097) }],
  ],
  ["fetch", [{ ...sound, method: 1 }], [{ ...sound, method: "M".repeat(33) }], [{ ...sound, headers: null }]],
  [
    "fetch",
    [{ ...sound, headers: {} }],
    [{ ...sound, headers: [["a"]] }],
    [{ ...sound, headers: [["a", 1]] }],
  ],
  ["fetch", [{ ...sound, headers: [["a", "b", "c"]] }], [{ ...sound, headers: [["a", "b".repeat(16_384)]] }]],
  [
    "fetch",
    [{ ...sound, headers: Array(51).fill(["a", "b"]) }],
    [{ ...sound, body: {} }],
    [{ ...sound, body: "?" }],
  ],
  ["fetch", [{ ...sound, body: "A".repeat(4 * Math.ceil(131_073 / 3)) }]],
  ["log", [], ["loud", "x"], ["info", 1], ["info", "x".repeat(1025)]],
  ["count", ["a b", "", {}, 1], ["n", "", null, 1], ["n", "", {}, Number.NaN], ["n", "", { "a-b": "" }, 1]],
  ["__proto__", []],
  ["constructor", []],
  ["toString", []],
] as const)
  for (const args of lists)
    test(`${method} with ${JSON.stringify(args).slice(0, 60)} is a violation that asks nobody`, () => {
      const host = new RecordingHost();
      assert.throws(
        () =>
          executeHostCall(
            { seq: 0, method, args: args as unknown as unknown[], waits: true },
            ALL,
            host,
            new HostCallTally(),
          ),
        Violation,
      );
      assert.deepEqual(host.calls, []);
    });

for (const [method, args, without] of [
  ["kvGet", ["k"], { kvBytes: 0 }],
  ["kvSet", ["k", "AAAA", null], { kvBytes: 0 }],
  ["kvDelete", ["k"], { kvBytes: 0 }],
  ["takeFromWindows", [[]], { kvBytes: 0 }],
  ["fetch", [sound], { httpHosts: [] }],
  ["secret", ["TOKEN"], { secrets: ["OTHER"] }],
  ["findConsumer", ["c-1"], { consumer: false }],
  ["findCredential", ["key-auth", "right"], { consumer: false }],
] as const)
  test(`${method} is asked for with its grant, and a violation without it`, () => {
    assert.equal(call(method, [...args]).host.calls.length, 1);
    assert.throws(() => call(method, [...args], { ...ALL, ...without } as typeof ALL), Violation);
  });

for (const [method, args, grant] of [
  ["log", ["info", "x"], "log"],
  ["count", ["n_total", "N.", {}, 1], "metrics"],
  ["observe", ["n", "N.", [1], {}, 1], "metrics"],
] as const)
  test(`${method} is heard with its grant, and goes nowhere without it`, () => {
    assert.equal(call(method, [...args]).host.calls.length, 1);
    assert.equal(call(method, [...args], { ...ALL, [grant]: false }).host.calls.length, 0);
  });

test("a seventh request at the same time is refused, and one later is not", async () => {
  const host = new RecordingHost();
  const tally = new HostCallTally();
  const fetch = () =>
    executeHostCall({ seq: 0, method: "fetch", args: [sound], waits: true }, ALL, host, tally);
  const six = Array.from({ length: 6 }, fetch);
  await assert.rejects(async () => fetch(), { name: "HostCallError", message: /more than 6 fetches/ });
  await Promise.all(six);
  await fetch();
  assert.equal(host.calls.length, 7);
});

test("log lines beyond those of a hook call are dropped, whatever the guest's own runtime lets through", () => {
  const host = new RecordingHost();
  const tally = new HostCallTally();
  for (let i = 0; i < 40; i++)
    executeHostCall({ seq: i, method: "log", args: ["info", `${i}`], waits: false }, ALL, host, tally);
  assert.equal(host.calls.length, 21);
});
