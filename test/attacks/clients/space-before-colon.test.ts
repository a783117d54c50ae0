/** White space around field names: part of the name, of nothing, or of the line before (RFC 9112 section 5.1). */
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();

describe("white space before a colon or a name (400)", () => {
  for (const blank of [" ", "\t", "  ", "\x0b", "\x0c", "\xa0", "\0"])
    for (const field of ["Content-Length", "Transfer-Encoding", "Host", "X-Any"]) {
      const value = field === "Transfer-Encoding" ? "chunked" : "0";
      it(`${JSON.stringify(blank)} after ${field}`, () =>
        attack.bounces(request("POST", "/", [`${field}${blank}: ${value}`], SMUGGLED), 400));
      it(`${JSON.stringify(blank)} before ${field}`, () =>
        attack.bounces(request("POST", "/", [`${blank}${field}: ${value}`], SMUGGLED), 400));
    }

  for (const line of ["Content Length: 5", "Content-Length 5", ": 5", "Content-Length", "Content-Length=5"])
    it(`a line that is no field: ${line}`, () => attack.bounces(request("POST", "/", [line], SMUGGLED), 400));
});
