/** Targets that are too long, or that make normalising and matching work hard. */
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { Attack } from "./attack.ts";

const attack = new Attack({ max_url_bytes: "8192", max_head_bytes: "32768" });

describe("URL bombs", () => {
  for (const [what, target] of [
    ["one byte beyond max_url_bytes", `/${"a".repeat(8192)}`],
    ["a megabyte", `/${"a".repeat(1_000_000)}`],
    ["a query of a megabyte", `/?${"a".repeat(1_000_000)}`],
    ["longer than a whole head may be", `/${"a".repeat(32_768)}`],
    ["an absolute target", `http://a.test/${"a".repeat(8192)}`],
    ["slashes", "/".repeat(9000)],
  ] as const)
    it(`${what} (414)`, () => attack.bounces(request("GET", target), 414));

  it("a target without end (414)", () => attack.bounces(`GET /${"a".repeat(20_000)}`, 414));

  it("an authority as long as a head (414)", () =>
    attack.bounces(request("GET", `http://${"a".repeat(20_000)}/`), 414));

  it("a method without end (501)", () => attack.bounces("A".repeat(100_000), 501));

  it("a version without end (400)", () => attack.bounces(`GET / HTTP/1.1${"1".repeat(100_000)}`, 400));

  for (const [what, path, seen] of [
    ["dot segments, climbing", `/${"../".repeat(2700)}a`, "/a"],
    ["dot segments, up and down", `/${"a/../".repeat(1600)}b`, "/b"],
    ["slashes", `${"/".repeat(8000)}a`, "/a"],
    ["percent-encoded dots", `/${"%2e%2e/".repeat(1000)}a`, "/a"],
  ] as const)
    it(`${what}, within the bound, are normalised once`, async () => {
      await attack.passes(request("GET", path), [[seen, ""]]);
    });
});
