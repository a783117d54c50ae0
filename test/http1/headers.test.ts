/** Names of header fields: what is remembered of spellings that clients choose stays small. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { FIELD, fieldName, HeaderList } from "../../src/http1/headers.ts";
import { readRequests } from "./harness.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const HEADS = 2000;
const HEAD_BYTES = 15_000;

/** Bytes of heap that stay in use after reading many requests, each with a header of its own name. */
function keptAfter(field: (i: number) => string): number {
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < HEADS; i++) {
    const { end } = readRequests([Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${field(i)}\r\n\r\n`)]);
    assert.equal(end, "open");
  }
  collect();
  return process.memoryUsage().heapUsed - before;
}

describe("names of header fields", () => {
  it("a long name is read, found, replaced and removed as a short one is", () => {
    const long = `X-${"Long-".repeat(2000)}`;
    const { messages } = readRequests([Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${long}: 1\r\n\r\n`)]);
    assert.deepEqual(messages[0]?.fields.at(-1), [long, "1"]);
    const headers = new HeaderList();
    headers.add(long, "1");
    assert.equal(headers.get(long.toLowerCase()), "1");
    headers.set(long.toUpperCase(), "2");
    assert.deepEqual(headers.entries(), [[long.toUpperCase(), "2"]]);
    headers.remove(long);
    assert.equal(headers.length, 0);
    assert.throws(() => headers.set(`${long} `, "1"), /is not a header name/);
  });

  it("a known name is known in any spelling", () => {
    assert.equal(fieldName("tRANSFER-eNCODING").kind, FIELD.transferEncoding);
    assert.equal(fieldName(`transfer-encoding${"-".repeat(64)}`).kind, FIELD.other);
  });

  it("a name beyond ASCII does not stand for the one that its low bytes spell", () => {
    const headers = new HeaderList();
    headers.remove("\u0178-other");
    assert.throws(() => headers.set("\u0178-other", "1"), /is not a header name/);
    headers.set("x-other", "2");
    assert.equal(headers.get("x-other"), "2");
  });

  const cases: Readonly<Record<string, (i: number) => string>> = {
    "long names": (i) => `x-${i}-${"n".repeat(HEAD_BYTES)}: 1`,
    "short names beside long values": (i) => `x-of-its-own-${i}: ${"v".repeat(HEAD_BYTES)}`,
  };
  for (const [title, field] of Object.entries(cases)) {
    it(`${title}, ever different ones, leave hardly anything behind`, () => {
      const kept = keptAfter(field);
      assert.ok(kept < (HEADS * HEAD_BYTES) / 8, `${kept} bytes are kept`);
    });
  }
});

describe("a list of fields that was used", () => {
  it("holds nothing of what it no longer has", () => {
    const list = new HeaderList();
    for (let i = 0; i < 5; i++) list.add(`X-${i}`, `value ${i}`);
    list.remove("X-1");
    assert.equal(list.values[4], "");
    list.clear();
    assert.deepEqual(list.values, ["", "", "", "", ""]);
    assert.ok(list.names.every((name) => name.spelling === ""));
  });
});
