/** CL.TE: a length that one recipient believes, beside a coding that the other one does. */
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();
const BODY = `0\r\n\r\n${SMUGGLED}`;
const LENGTH = `Content-Length: ${BODY.length}`;

describe("CL.TE: what follows the last chunk is not the next request", () => {
  for (const [what, fields] of [
    ["a length, then a coding", [LENGTH, "Transfer-Encoding: chunked"]],
    ["names in small letters", [LENGTH.toLowerCase(), "transfer-encoding: chunked"]],
    ["the coding in capitals", [LENGTH, "Transfer-Encoding: CHUNKED"]],
    ["other fields between", [LENGTH, "A: b", "C: d", "Transfer-Encoding: chunked"]],
    [
      "Connection that lists the coding",
      [LENGTH, "Connection: Transfer-Encoding", "Transfer-Encoding: chunked"],
    ],
    [
      "Connection that lists the length",
      ["Connection: Content-Length", LENGTH, "Transfer-Encoding: chunked"],
    ],
    ["Expect beside both", [LENGTH, "Expect: 100-continue", "Transfer-Encoding: chunked"]],
    ["Upgrade beside both", [LENGTH, "Connection: Upgrade", "Upgrade: h2c", "Transfer-Encoding: chunked"]],
  ] as const)
    it(`${what} (400)`, () => attack.bounces(request("POST", "/", fields, BODY), 400));

  it("a coding in HTTP/1.0, where recipients go by the length (400)", () =>
    attack.bounces(request("POST", "/", [LENGTH, "Transfer-Encoding: chunked"], BODY, "1.0"), 400));

  it("a GET with both (400)", () =>
    attack.bounces(request("GET", "/", [LENGTH, "Transfer-Encoding: chunked"], BODY), 400));

  it("a route that does not read bodies (400)", () =>
    attack.bounces(request("POST", "/own", [LENGTH, "Transfer-Encoding: chunked"], BODY), 400));
});
