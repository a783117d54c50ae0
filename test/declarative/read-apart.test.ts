import assert from "node:assert/strict";
import { test } from "node:test";
import { readDocument } from "../../src/declarative/document.ts";
import { APART_LIMITS, readApart } from "../../src/declarative/read-apart.ts";

const PLACES = [
  { path: ["services", 1, "nmae"], atKey: true },
  { path: ["services", 700], atKey: false },
];
const MANY = `services:\n${"- { name: a, nmae: b }\n".repeat(1000)}`;

for (const [title, text] of [
  ["a short document", "services: [{}, { nmae: 1 }]\n"],
  ["a long one", MANY],
  ["a long one with aliases", `x: &x { nmae: 1 }\nservices:\n${"- *x\n".repeat(4000)}`],
  ["a long one of JSON", JSON.stringify({ services: Array.from({ length: 2000 }, () => ({ nmae: "b" })) })],
] as const)
  test(`${title} is read as by the caller's own thread, places included`, async () => {
    const here = readDocument(text);
    const apart = await readApart(text);
    assert.ok(here.ok && apart.ok);
    assert.deepEqual(apart.value, here.value);
    assert.deepEqual(await apart.places(PLACES), PLACES.map(here.locate));
  });

test("a long document with mistakes in its text is refused with their places", async () => {
  const text = `${MANY}a: [`;
  assert.deepEqual(await readApart(text), readDocument(text));
});

/** As text of its own each node of it takes a thousand bytes. */
const HOSTILE = `services: [${"*a,".repeat(100_000)}]`;

test("while a hostile document is read, the caller's thread goes on", async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const read = await readApart(HOSTILE);
  clearInterval(timer);
  assert.ok(!read.ok);
  assert.ok(turns > 10, `${turns}`);
});

const BOUNDS = [
  ["more memory than it may", { heapMiB: 32 }, /^reading this takes more than \d+ MiB of memory; write it/],
  ["longer than it may", { ms: 1, msPerMiB: 1 }, /^reading this takes longer than \d+ ms; write it/],
] as const;

for (const [title, moved, message] of BOUNDS)
  test(`a document that takes ${title} is refused with a sentence, and the next one is read`, async () => {
    const read = await readApart(HOSTILE, { ...APART_LIMITS, ...moved });
    assert.ok(!read.ok);
    assert.deepEqual(
      read.faults.map(({ line, column }) => [line, column]),
      [[1, 1]],
    );
    assert.match(read.faults[0]?.message ?? "", message);
    assert.ok((await readApart(MANY)).ok);
  });

test("a sound document whose places take too much to look up is told so, with the beginning for them", async () => {
  const read = await readApart(`services: [${"{},".repeat(100_000)}]`, { ...APART_LIMITS, heapMiB: 32 });
  assert.ok(read.ok);
  assert.deepEqual(await read.places(PLACES), [
    { line: 1, column: 1 },
    { line: 1, column: 1 },
  ]);
});

test("the bounds are 256 MiB and 10 s, and for each mebibyte of text 32 MiB and 1 s more", () => {
  const { here, ...bounds } = APART_LIMITS;
  assert.equal(here, 16_384);
  assert.deepEqual(bounds, { heapMiB: 256, heapMiBPerMiB: 32, ms: 10_000, msPerMiB: 1000 });
});
