/** Lengths that differ, or that recipients read differently (RFC 9110 section 8.6, RFC 9112 section 6.3). */
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();
const whole = String(SMUGGLED.length);

describe("more than one length (400)", () => {
  for (const [what, fields] of [
    ["0 and another", ["Content-Length: 0", `Content-Length: ${whole}`]],
    ["another and 0", [`Content-Length: ${whole}`, "Content-Length: 0"]],
    ["two that are equal", [`Content-Length: ${whole}`, `Content-Length: ${whole}`]],
    ["two in different letters", [`Content-Length: ${whole}`, "CONTENT-LENGTH: 0"]],
    ["a list that differs", [`Content-Length: 0, ${whole}`]],
    ["a list of equals", [`Content-Length: ${whole}, ${whole}`]],
    ["a list without spaces", [`Content-Length: ${whole},${whole}`]],
    ["a list and a field", [`Content-Length: ${whole}, ${whole}`, `Content-Length: ${whole}`]],
    ["an empty one and another", ["Content-Length:", `Content-Length: ${whole}`]],
    [
      "one that Connection lists, and another",
      ["Connection: Content-Length", "Content-Length: 0", `Content-Length: ${whole}`],
    ],
  ] as const)
    it(what, () => attack.bounces(request("POST", "/", fields, SMUGGLED), 400));
});

describe("a length that is not 1*DIGIT (400)", () => {
  for (const value of [
    "", "+0", "-0", "-1", "0x0", "0x10", "1e1", "1.0", "1_0", "1 0", "1\t0", "0\0", "\x0b0", "0\x0c", "\xb2", "0;0", "0 ,", "'0'",
    '"0"', "a", "0a", "٣", "18446744073709551616", "18446744073709551615", "9007199254740992", "99999999999999999999999",
    "00000000000000000",
  ]) // biome-ignore format: one value a line would hide the shape
    it(JSON.stringify(value), () =>
      attack.bounces(
        Buffer.from(
          request(
            "POST",
            "/",
            [`Content-Length: ${Buffer.from(value, "utf8").toString("latin1")}`],
            SMUGGLED,
          ),
          "latin1",
        ),
        400,
      ),
    );
});

describe("a length that is not the body's", () => {
  it("a body longer than its length: the rest is the next request, and bounces alone", async () => {
    await attack.passes(request("POST", "/a", ["Content-Length: 1"], "x") + request("GET", "/b"), [
      ["/a", "x"],
      ["/b", ""],
    ]);
  });

  it("leading zeros are one length for everybody: they go up without them", async () => {
    await attack.passes(request("POST", "/a", ["Content-Length: 003"], "abc"), [["/a", "abc"]]);
  });
});
