/** TE.CL: a coding that one recipient believes, and a length that ends within its first chunk for the other one. */
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();
const SIZE = SMUGGLED.length.toString(16);
const BODY = `${SIZE}\r\n${SMUGGLED}\r\n0\r\n\r\n`;
const LENGTH = `Content-Length: ${SIZE.length + 2}`;

describe("TE.CL: what stands in a chunk is not the next request", () => {
  for (const [what, fields] of [
    ["a coding, then a length", ["Transfer-Encoding: chunked", LENGTH]],
    ["a length, then a coding", [LENGTH, "Transfer-Encoding: chunked"]],
    ["a length of 0", ["Transfer-Encoding: chunked", "Content-Length: 0"]],
    ["a length in small letters", ["transfer-encoding: chunked", LENGTH.toLowerCase()]],
    ["two lengths beside the coding", ["Transfer-Encoding: chunked", LENGTH, LENGTH]],
    ["a length that is no number", ["Transfer-Encoding: chunked", "Content-Length: x"]],
  ] as const)
    it(`${what} (400)`, () => attack.bounces(request("POST", "/", fields, BODY), 400));

  it("a length that only comes in the trailers (400)", () =>
    attack.bounces(
      request("POST", "/", ["Transfer-Encoding: chunked"], `0\r\nContent-Length: 5\r\n\r\n${SMUGGLED}`),
      400,
    ));

  it("a chunk that holds a request is a body, sent up as one", async () => {
    await attack.passes(request("POST", "/a", ["Transfer-Encoding: chunked"], BODY), [["/a", SMUGGLED]]);
  });
});
