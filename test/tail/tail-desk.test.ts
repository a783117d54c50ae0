/** Readers of a tail: what they hear, and what becomes of those who do not read. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { test } from "node:test";
import type { TailFilter, TailRequest, TailWatch } from "../../src/tail/events.ts";
import {
  MAX_READERS,
  MAX_READERS_PER_WORKSPACE,
  TailDesk,
  type TailDeskOptions,
} from "../../src/tail/tail-desk.ts";

const EVERYTHING: TailFilter = { workspace: "acme", plugin: null, level: null, route: null, status: null };

function desk(options: Partial<TailDeskOptions> = {}) {
  const watched: (readonly TailWatch[])[] = [];
  return {
    watched,
    tails: new TailDesk({ watch: async (watches) => void watched.push(watches), ...options }),
  };
}

async function open(tails: TailDesk, filter: Partial<TailFilter> = {}) {
  const opened = await tails.open({ ...EVERYTHING, ...filter });
  assert.ok(!("full" in opened));
  return opened;
}

const request = (parts: Partial<TailRequest> = {}): TailRequest => ({
  kind: "request",
  at: "2026-01-01T00:00:00.000Z",
  request_id: "0123456789abcdef0123456789abcdef",
  workspace: "acme",
  plugin: "header-stamp",
  version: "1.0.0",
  route: "orders",
  method: "GET",
  path: "/orders",
  status: 200,
  total_ms: 3,
  calls: [],
  logs: [],
  logs_left_out: 0,
  ...parts,
});

/** What waits for a reader. */
function textOf(reader: Readable): string {
  let text = "";
  for (let part = reader.read(); part !== null; part = reader.read()) text += part;
  return text;
}

const linesOf = (reader: Readable) =>
  textOf(reader)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

const FAILED = {
  phase: "access",
  outcome: "failed" as const,
  calls: 1,
  wall_ms: 1,
  cpu_ms: 1,
  fuel: 0,
  memory_bytes: 0,
  host_calls: 0,
  reply_status: null,
  failure: "throw" as const,
  message: "no",
};

const FILTERS: [what: string, filter: Partial<TailFilter>, heard: string[]][] = [
  ["everything of its workspace", {}, ["plain", "other", "404", "warned", "failed"]],
  ["one plugin", { plugin: "other" }, ["other"]],
  ["one route", { route: "missing" }, ["404"]],
  ["a range of statuses", { status: [400, 499] }, ["404"]],
  ["a level: lines from it on, and calls that failed", { level: "warn" }, ["warned", "failed"]],
];
for (const [what, filter, heard] of FILTERS)
  test(`a reader hears ${what}`, async () => {
    const { tails } = desk();
    const reader = await open(tails, filter);
    const logs = [
      { level: "debug" as const, phase: "access", message: "fine" },
      { level: "warn" as const, phase: "access", message: "odd" },
    ];
    tails.publish([
      request({ request_id: "plain" }),
      request({ request_id: "other", plugin: "other" }),
      request({ request_id: "404", status: 404, route: "missing" }),
      request({ request_id: "warned", logs }),
      request({ request_id: "failed", calls: [FAILED] }),
      request({ request_id: "foreign", workspace: "globex" }),
    ]);
    const [first, ...rest] = linesOf(reader);
    assert.deepEqual(first, { kind: "watching", workspace: "acme", plugin: filter.plugin ?? null });
    assert.deepEqual(
      rest.map(({ request_id }) => request_id),
      heard,
    );
    if (filter.level !== undefined)
      assert.deepEqual(
        rest[0].logs.map(({ message }: { message: string }) => message),
        ["odd"],
      );
    reader.destroy();
  });

test("a reader that does not read holds a bounded number of lines, and hears how many it has lost", async () => {
  const { tails } = desk();
  const reader = await open(tails);
  const path = `/${"x".repeat(1000)}`;
  for (let i = 0; i < 5000; i++) tails.publish([request({ path })]);
  assert.ok(reader.readableLength < 300 * 1024, `${reader.readableLength}`);
  const heard = linesOf(reader);
  tails.publish([request({ request_id: "after" })]);
  await new Promise((resolve) => setImmediate(resolve));
  heard.push(...linesOf(reader));
  const told = heard.filter(({ kind }) => kind === "request");
  const lost = heard
    .filter(({ kind }) => kind === "dropped")
    .reduce((sum, { requests }) => sum + requests, 0);
  assert.ok(lost > 4000, `${lost}`);
  assert.equal(told.length + lost, 5001);
  assert.equal(told.at(-1).request_id, "after");
  reader.destroy();
});

test("threads watch what somebody reads, and nothing once nobody does", async () => {
  const { tails, watched } = desk();
  const one = await open(tails, { plugin: "one" });
  const all = await open(tails);
  one.destroy();
  await once(one, "close");
  all.destroy();
  await once(all, "close");
  const plugins = watched.map((watches) => watches.map(({ plugin }) => plugin));
  assert.deepEqual(plugins, [["one"], ["one", null], [null], []]);
});

test("a workspace and the gateway have a bounded number of readers", async () => {
  const { tails } = desk();
  for (let i = 0; i < MAX_READERS_PER_WORKSPACE; i++) await open(tails);
  assert.ok("full" in (await tails.open(EVERYTHING)));
  for (let i = MAX_READERS_PER_WORKSPACE; i < MAX_READERS; i++) await open(tails, { workspace: `w${i}` });
  assert.ok("full" in (await tails.open({ ...EVERYTHING, workspace: "late" })));
  tails.close();
});

test("a tail ends after its time, with its workspace, and with the gateway", async () => {
  const short = await open(desk({ longestMs: 1 }).tails);
  const { tails } = desk();
  const [gone, closed] = [await open(tails, { workspace: "gone" }), await open(tails)];
  tails.forget("gone");
  tails.close();
  for (const reader of [short, gone, closed]) await once(reader.resume(), "end");
});

test("an empty line tells that the connection lives", async () => {
  const reader = await open(desk({ beatMs: 1 }).tails);
  linesOf(reader);
  await once(reader, "readable");
  assert.match(textOf(reader), /^\n+$/);
  reader.destroy();
});
