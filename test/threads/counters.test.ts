/** Counters that all data threads share: exact, bounded, and giving way in a known order. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { CounterTable, counterTableSpec, EXHAUSTED, halfSipHash } from "../../src/threads/counter-table.ts";
import { type Answer, send } from "../support/client.ts";
import { startGateway } from "../support/gateway.ts";
import { startOrigin } from "../support/origin.ts";
import type { Hammer } from "./counter-thread.ts";

const KEY = [0x03020100, 0x07060504] as const;
const NOW = 1_700_000_000_000;
const LATER = NOW + 60_000;
/** Windows that share one bucket, and so have to give way to each other. */
const BUCKET = 10;

/** A table of a single bucket. */
function smallest(): CounterTable {
  return new CounterTable(counterTableSpec(1, KEY));
}

/** Takes so often from a window. */
function heat(table: CounterTable, key: string, limit: number, times: number, endsAt = LATER): void {
  for (let i = 0; i < times; i++) table.take(key, limit, endsAt, NOW);
}

async function hammer(options: Omit<Hammer, "gate" | "threads">, threads = 2) {
  const gate = new SharedArrayBuffer(4);
  const workerData: Hammer = { ...options, gate, threads };
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL("./counter-thread.ts", import.meta.url), { workerData }),
  );
  const messages = await Promise.all(workers.map((worker) => once(worker, "message")));
  return messages.map(([message]) => message as { taken: number[]; remainders: number[] });
}

test("two threads on one key get exactly as many as the limit allows, and every remainder once", async () => {
  const limit = 20_000;
  const spec = counterTableSpec(1000, KEY);
  const endsAt = Date.now() + 3_600_000;
  const results = await hammer({ spec, keys: ["k"], limit, endsAt, attempts: limit, giveBackEvery: 0 });
  assert.ok(
    results.every(({ taken }) => (taken[0] as number) > 0),
    "both had a share",
  );
  const remainders = results.flatMap((result) => result.remainders).sort((a, b) => b - a);
  assert.deepEqual(
    remainders,
    Array.from({ length: limit }, (_, i) => limit - 1 - i),
  );
  assert.equal(new CounterTable(spec).take("k", limit, endsAt, Date.now()), EXHAUSTED);
});

test("threads on several keys of one bucket, giving back now and then, end at every key's limit", async () => {
  const keys = Array.from({ length: BUCKET }, (_, i) => `key ${i}`);
  const limit = 500;
  const spec = counterTableSpec(1, KEY);
  const endsAt = Date.now() + 3_600_000;
  const results = await hammer({ spec, keys, limit, endsAt, attempts: 40_000, giveBackEvery: 7 });
  for (const i of keys.keys())
    assert.equal(
      results.reduce((sum, { taken }) => sum + (taken[i] as number), 0),
      limit,
    );
  assert.equal(new CounterTable(spec).overflows, 0);
});

test("a window counts down to its limit, and a new window starts anew", () => {
  const table = smallest();
  assert.deepEqual(
    [0, 1, 2, 3].map(() => table.take("k", 3, LATER, NOW)),
    [2, 1, 0, EXHAUSTED],
  );
  assert.equal(table.take("k", 3, LATER + 60_000, LATER + 1), 2);
  assert.equal(table.take("other", 3, LATER, NOW), 2);
  assert.equal(table.take("none", 0, LATER, NOW), EXHAUSTED);
});

test("what is given back can be taken again; giving back what was never taken changes nothing", () => {
  const table = smallest();
  table.giveBack("k", LATER);
  assert.equal(table.take("k", 2, LATER, NOW), 1);
  assert.equal(table.take("k", 2, LATER, NOW), 0);
  table.giveBack("k", LATER);
  assert.equal(table.take("k", 2, LATER, NOW), 0);
  for (let i = 0; i < 5; i++) table.giveBack("k", LATER);
  assert.equal(table.take("k", 2, LATER, NOW), 1, "a count never falls below none");
  assert.equal(table.overflows, 0);
});

test("a limit that is raised or lowered while its window runs holds at once", () => {
  const table = smallest();
  heat(table, "k", 5, 4);
  assert.equal(table.take("k", 2, LATER, NOW), EXHAUSTED);
  assert.equal(table.take("k", 10, LATER, NOW), 5);
});

test("a window that has ended gives way first, whatever it has counted", () => {
  const table = smallest();
  for (let i = 0; i < BUCKET - 1; i++) heat(table, `cold ${i}`, 100, 1);
  heat(table, "ended", 5, 5, NOW + 1000);
  assert.equal(table.take("new", 100, LATER, NOW + 2000), 99);
  for (let i = 0; i < BUCKET - 1; i++)
    assert.equal(table.take(`cold ${i}`, 100, LATER, NOW + 2000), 98, `cold ${i} has kept its count`);
});

test("among windows that run, the coldest below its limit gives way", () => {
  const table = smallest();
  for (let i = 0; i < BUCKET; i++) heat(table, `key ${i}`, 100, 10 - i);
  assert.equal(table.take("new", 100, LATER, NOW), 99);
  for (let i = 0; i < BUCKET - 1; i++)
    assert.equal(table.take(`key ${i}`, 100, LATER, NOW), 100 - (10 - i) - 1, `key ${i} has kept its count`);
});

test("a limit in force never gives way: new keys go by uncounted, and that is counted", () => {
  const table = smallest();
  for (let i = 0; i < BUCKET; i++) heat(table, `key ${i}`, 2, 2);
  for (let i = 0; i < 1000; i++) assert.equal(table.take(`flood ${i}`, 10, LATER, NOW), 9);
  assert.equal(table.overflows, 1000);
  for (let i = 0; i < BUCKET; i++) assert.equal(table.take(`key ${i}`, 2, LATER, NOW), EXHAUSTED);
  // One window below its limit is enough for all newcomers: they give way to each other.
  table.giveBack("key 3", LATER);
  heat(table, "newcomer", 10, 3);
  assert.equal(table.take("newcomer", 10, LATER, NOW), 6);
  assert.equal(table.overflows, 1000);
});

test("limits beyond what a slot holds are limits all the same", () => {
  const table = smallest();
  assert.equal(table.take("k", 2 ** 40, LATER, NOW), 2 ** 31 - 2);
  for (let i = 0; i < BUCKET; i++) heat(table, `key ${i}`, 2 ** 32, 3);
  assert.equal(table.take("new", 5, LATER, NOW), 4);
  assert.equal(table.overflows, 0, "a window far below its limit can give way");
});

test("a table for so many windows holds them all", () => {
  const windows = 10_000;
  const table = new CounterTable(counterTableSpec(windows, [123456789, -987654321]));
  let kept = 0;
  for (let i = 0; i < windows / 2; i++) table.take(`key ${i}`, 1, LATER, NOW);
  for (let i = 0; i < windows / 2; i++) if (table.take(`key ${i}`, 1, LATER, NOW) === EXHAUSTED) kept++;
  // A key that did not fit has overflown both times.
  assert.equal(kept, windows / 2 - table.overflows / 2);
  assert.ok(table.overflows < windows / 100, `${table.overflows} windows of half the table did not fit`);
});

// HalfSipHash by its definition (Aumasson and Bernstein's SipHash on words of 32 bits), over bytes.

type State = [v0: number, v1: number, v2: number, v3: number];

const rotate = (x: number, by: number) => ((x << by) | (x >>> (32 - by))) >>> 0;
const add = (a: number, b: number) => (a + b) >>> 0;

function sipRound([a, b, c, d]: State): State {
  let [v0, v1, v2, v3] = [a, b, c, d];
  v0 = add(v0, v1);
  v1 = (rotate(v1, 5) ^ v0) >>> 0;
  v0 = rotate(v0, 16);
  v2 = add(v2, v3);
  v3 = (rotate(v3, 8) ^ v2) >>> 0;
  v0 = add(v0, v3);
  v3 = (rotate(v3, 7) ^ v0) >>> 0;
  v2 = add(v2, v1);
  v1 = (rotate(v1, 13) ^ v2) >>> 0;
  v2 = rotate(v2, 16);
  return [v0, v1, v2, v3];
}

/** HalfSipHash-2-4 with 64 bits of output over words that are padded already. */
function hashWords(words: readonly number[], [k0, k1]: readonly [number, number]): [number, number] {
  let v: State = [k0 >>> 0, (k1 ^ 0xee) >>> 0, (0x6c796765 ^ k0) >>> 0, (0x74656462 ^ k1) >>> 0];
  const rounds = (count: number) => {
    for (let i = 0; i < count; i++) v = sipRound(v);
  };
  for (const m of words) {
    v[3] = (v[3] ^ m) >>> 0;
    rounds(2);
    v[0] = (v[0] ^ m) >>> 0;
  }
  v[2] = (v[2] ^ 0xee) >>> 0;
  rounds(4);
  const first = (v[1] ^ v[3]) >>> 0;
  v[1] = (v[1] ^ 0xdd) >>> 0;
  rounds(4);
  return [first, (v[1] ^ v[3]) >>> 0];
}

/** The same over bytes: little-endian words, the last of them holding what is left and the length. */
function hashBytes(bytes: Buffer, key: readonly [number, number]): string {
  const whole = bytes.length & ~3;
  const words: number[] = [];
  for (let at = 0; at < whole; at += 4) words.push(bytes.readUInt32LE(at));
  const last = Buffer.alloc(4);
  bytes.copy(last, 0, whole);
  last[3] = bytes.length & 0xff;
  words.push(last.readUInt32LE());
  const out = Buffer.alloc(8);
  const [low, high] = hashWords(words, key);
  out.writeUInt32LE(low, 0);
  out.writeUInt32LE(high, 4);
  return out.toString("hex");
}

test("the reference in this file answers the algorithm's published vectors", () => {
  // Key 00 01 … 07, message 00 01 … of growing length, from the reference implementation's vectors.
  const published = ["218d1f59b9b83cc8", "be552412f8387315", "064f39ef7c50eb57", "ce0f1a45f7060679"];
  published.push("d5e78a175be52ea1", "cb9d7c3f2f3db580", "ce3e91358aa2bc25", "ff202728b07bc684");
  for (const [length, expected] of published.entries())
    assert.equal(hashBytes(Buffer.from(Array.from({ length }, (_, i) => i)), KEY), expected);
});

test("keys are hashed by HalfSipHash-2-4 over their UTF-16 units, the window's end and their length", () => {
  const keys = [
    "",
    "a",
    "ab",
    "abc",
    "203.0.113.7",
    "k".repeat(1000),
    "ключ",
    "\u0000",
    "\u0000\u0000",
    "\ud83d",
  ];
  const out = new Uint32Array(2);
  for (const secret of [KEY, [-1, 0x7fffffff] as const, [0, 0] as const])
    for (const [i, key] of keys.entries()) {
      const words: number[] = [];
      for (let at = 0; at + 1 < key.length; at += 2)
        words.push((key.charCodeAt(at) | (key.charCodeAt(at + 1) << 16)) >>> 0);
      words.push(key.length % 2 === 1 ? key.charCodeAt(key.length - 1) : 0, 1_700_000_060 + i, key.length);
      halfSipHash(key, 1_700_000_060 + i, secret, out);
      assert.deepEqual([...out], hashWords(words, secret), `of ${JSON.stringify(key.slice(0, 20))}`);
    }
});

test("of 200 requests at once over as many connections, exactly the 50 of the limit pass, on two threads", async () => {
  await using origin = await startOrigin();
  const plugin = { name: "rate-limiting", config: { day: 50, policy: "local" } };
  const services = [
    { name: "origin", url: origin.url, routes: [{ name: "limited", paths: ["/"], plugins: [plugin] }] },
  ];
  const config = { _format_version: "3.0", services };
  let answers: Answer[] = [];
  let day: string;
  do {
    await using gateway = await startGateway({ config, settings: { data_threads: "2" } });
    day = today();
    answers = await Promise.all(Array.from({ length: 200 }, () => send(gateway.url)));
    // A day that ended meanwhile has given the limit twice: once more, on the new one.
  } while (day !== today());
  const passed = answers.filter(({ status }) => status === 200);
  assert.equal(passed.length, 50);
  assert.equal(answers.filter(({ status }) => status === 429).length, 150);
  const left = passed
    .map((answer) => Number(answer.header("x-ratelimit-remaining-day")))
    .sort((a, b) => a - b);
  assert.deepEqual(
    left,
    Array.from({ length: 50 }, (_, i) => i),
  );
});

function today(): string {
  return new Date().toISOString().slice(0, 10);
}
