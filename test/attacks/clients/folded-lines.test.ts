/** obs-fold: one field for one recipient, two lines for the other one (RFC 9112 section 5.2). */
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();

describe("folded lines (400)", () => {
  for (const [what, field] of [
    ["a value", "A: b\r\n c"],
    ["a value, with a tab", "A: b\r\n\tc"],
    ["an empty value", "A:\r\n b"],
    ["a line of nothing but blanks", "A: b\r\n  "],
    ["a coding", "Transfer-Encoding:\r\n chunked"],
    ["a length", "Content-Length:\r\n 5"],
    ["a second digit of a length", "Content-Length: 1\r\n 0"],
    ["a coding hidden in another field", "A: b\r\n Transfer-Encoding: chunked"],
    ["a Host hidden in another field", "A: b\r\n Host: evil.test"],
    ["three lines", "A: b\r\n c\r\n d"],
  ] as const)
    it(what, () => attack.bounces(request("POST", "/", [field], SMUGGLED), 400));

  it("the first field, right after the request line", () =>
    attack.bounces(`GET / HTTP/1.1\r\n X: y\r\nHost: client.test\r\n\r\n${SMUGGLED}`, 400));

  it("a trailer", () =>
    attack.bounces(
      request("POST", "/", ["Transfer-Encoding: chunked"], `0\r\nA: b\r\n c\r\n\r\n${SMUGGLED}`),
      400,
    ));
});
