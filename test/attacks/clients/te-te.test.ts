/** TE.TE: one coding, spelled so that one of two recipients overlooks it. */
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();
const BODY = `0\r\n\r\n${SMUGGLED}`;
const LENGTH = `Content-Length: ${BODY.length}`;
const PLAIN = "Transfer-Encoding: chunked";

/** Spellings of the field, with the status that each gets when it stands alone. */
const SPELLINGS: readonly (readonly [what: string, status: number, ...fields: string[]])[] = [
  ["a coding that nobody knows", 400, "Transfer-Encoding: xchunked"],
  ["two fields, the second unknown", 400, PLAIN, "Transfer-Encoding: x"],
  ["two fields, the first unknown", 400, "Transfer-Encoding: x", PLAIN],
  ["two fields, the second empty", 400, PLAIN, "Transfer-Encoding:"],
  ["two equal fields", 400, PLAIN, PLAIN],
  ["chunked twice in a list", 400, "Transfer-Encoding: chunked, chunked"],
  ["identity before chunked", 501, "Transfer-Encoding: identity, chunked"],
  ["identity after chunked", 400, "Transfer-Encoding: chunked, identity"],
  ["an empty element before chunked", 501, "Transfer-Encoding: , chunked"],
  ["an empty element after chunked", 400, "Transfer-Encoding: chunked,"],
  ["quotes", 400, 'Transfer-Encoding: "chunked"'],
  ["single quotes", 400, "Transfer-Encoding: 'chunked'"],
  ["a parameter", 400, "Transfer-Encoding: chunked;q=1"],
  ["a space before the colon", 400, "Transfer-Encoding : chunked"],
  ["a tab before the colon", 400, "Transfer-Encoding\t: chunked"],
  ["a tab before the value", 400, "Transfer-Encoding:\tchunked"],
  ["a space after the value", 400, "Transfer-Encoding: chunked "],
  ["a vertical tab before the value", 400, "Transfer-Encoding: \x0bchunked"],
  ["a form feed after the value", 400, "Transfer-Encoding: chunked\x0c"],
  ["a NUL after the value", 400, "Transfer-Encoding: chunked\0"],
  ["a no-break space", 400, "Transfer-Encoding: \xa0chunked"],
  ["a next-line character", 400, "Transfer-Encoding: chunked\x85"],
  ["a folded value", 400, "Transfer-Encoding:\r\n chunked"],
  ["a value folded behind another field", 400, "A: b\r\n Transfer-Encoding: chunked"],
  ["a bare LF before the field", 400, "A: b\nTransfer-Encoding: chunked"],
  ["a bare CR before the field", 400, "A: b\rTransfer-Encoding: chunked"],
  ["a bare CR after the name", 400, "Transfer-Encoding\r: chunked"],
  ["a space before the name", 400, " Transfer-Encoding: chunked"],
  ["a NUL in the name", 400, "Transfer-\0Encoding: chunked"],
  ["a byte above 127 in the name", 400, "Transfer\xadEncoding: chunked"],
];

describe("TE.TE: a spelling that two recipients may read differently ends the connection", () => {
  for (const [what, status, ...fields] of SPELLINGS) {
    it(`${what} (${status})`, () => attack.bounces(request("POST", "/", fields, BODY), status));

    it(`${what}, beside a length (400 or 501)`, () =>
      attack.bounces(request("POST", "/", [...fields, LENGTH], BODY), status));
  }
});

/** Other names that some recipients normalise: they are fields like any other, and decide nothing. */
describe("TE.TE: a name that is not Transfer-Encoding does not frame", () => {
  for (const name of [
    "Transfer_Encoding",
    "Transfer-Encodin",
    "Transfer-Encoding-",
    "XTransfer-Encoding",
    "Content_Length",
  ])
    it(`${name} is passed on, and the length alone counts`, async () => {
      await attack.passes(request("POST", "/a", [`${name}: chunked`, LENGTH], BODY), [["/a", BODY]]);
    });
});
