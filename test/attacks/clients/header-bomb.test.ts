/** Heads that are too much: many fields, long ones, heads without end. Each costs the gateway no more than its bound. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { openRaw } from "../../support/raw-client.ts";
import { Attack } from "./attack.ts";

const MAX_HEAD = 8192;
const attack = new Attack({ max_head_bytes: String(MAX_HEAD), max_headers: "50" });
const start = "GET / HTTP/1.1\r\nHost: a\r\n";

describe("header bombs (431)", () => {
  for (const [what, bytes] of [
    [
      "more fields than max_headers",
      request(
        "GET",
        "/",
        Array.from({ length: 50 }, (_, i) => `A${i}: b`),
      ),
    ],
    ["100,000 fields", start + "a: b\r\n".repeat(100_000)],
    ["one value beyond max_head_bytes", request("GET", "/", [`A: ${"b".repeat(MAX_HEAD)}`])],
    ["one name beyond max_head_bytes", request("GET", "/", [`${"a".repeat(MAX_HEAD)}: b`])],
    ["a value of 10 MB", request("GET", "/", [`A: ${"b".repeat(10_000_000)}`])],
    ["a cookie beyond max_head_bytes", request("GET", "/", [`Cookie: ${"a=b; ".repeat(2000)}`])],
    ["blanks without end", `${start}A:${" ".repeat(100_000)}`],
    ["blanks and tabs in a value", request("GET", "/", [`A: b${" \t".repeat(10_000)}c`])],
    ["a name without end", start + "a".repeat(100_000)],
    ["fields that are empty", start + "a:\r\n".repeat(10_000)],
  ] as const)
    it(what, () => attack.bounces(bytes, 431));

  it("more Connection options than anybody means (400)", () =>
    attack.bounces(request("GET", "/", [`Connection: ${"a,".repeat(1000)}`]), 400));

  it("a list of nothing but blanks and commas is read in one pass", async () => {
    await attack.passes(request("GET", "/a", [`Connection: ${" ".repeat(3000)},${" \t".repeat(2000)}x`]), [
      ["/a", ""],
    ]);
  });

  it("trailers beyond their bound (400)", () =>
    attack.bounces(
      request("POST", "/", ["Transfer-Encoding: chunked"], `0\r\n${"A: b\r\n".repeat(51)}\r\n`),
      400,
    ));

  it("just within the bounds is served", async () => {
    const fields = Array.from({ length: 49 }, (_, i) => `A${i}: b`);
    await attack.passes(request("GET", "/a", fields), [["/a", ""]]);
  });

  it("names that are new every time do not fill memory", async () => {
    await attack.begin();
    const { between } = attack;
    const rss = () =>
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${between.gateway.pid}/status`, "utf8"))?.[1]);
    const before = rss();
    await using client = await openRaw(between.port);
    for (let round = 0; round < 100; round++) {
      const fields = Array.from({ length: 48 }, (_, i) => `x-${round}-${i}-${"n".repeat(60)}: b`);
      client.write(request("GET", "/own", fields).repeat(5));
      for (let i = 0; i < 5; i++) assert.equal((await client.read()).status, 200);
    }
    const grown = (rss() - before) / 1024;
    assert.ok(grown < 64, `${grown} MiB for 24,000 names`);
    await attack.othersAreServed();
  });
});
