/**
 * Requests that are refused for what they say of their bodies, or for the bodies themselves: the classes of
 * request smuggling. Where Node's strict parser accepts one, the last column says why the codec does not.
 */
import { type RefusedRow, refusedRow, withFields } from "./cases.ts";

const TRIMMED = "recipients differ in what they trim around a coding";
const CODING = "the one coding that is supported is chunked, alone";

const EXACT: RefusedRow[] = (
  [
    ["", "an empty value"],
    ["+3", "a plus sign"],
    ["-3", "a minus sign"],
    ["3.0", "a fraction"],
    ["3e0", "an exponent"],
    ["0x3", "a hexadecimal prefix"],
    ["3_0", "an underscore"],
    ["1 2", "a space inside"],
    ["1\t2", "a tab inside"],
    ["3, 3", "a list of equal lengths"],
    ["3,4", "a list of lengths"],
    ["3,", "a list with an empty element"],
    ["3;a", "a parameter"],
    ["'3'", "quotes"],
    ["abc", "letters"],
    ["\u00b3", "a superscript digit"],
    ["18446744073709551616", "2^64"],
    ["18446744073709551619", "2^64 + 3"],
  ] as const
).map(
  ([value, what]): RefusedRow => [
    `Content-Length with ${what}`,
    "9110 8.6",
    "bad_framing",
    withFields([`Content-Length: ${value}`], "abc", "POST"),
  ],
);

const LENGTHS: RefusedRow[] = [
  ...EXACT,
  [
    "Content-Length of 2^53",
    "9110 8.6",
    "bad_framing",
    withFields(["Content-Length: 9007199254740992"], "a"),
    "not exact as a number",
  ],
  [
    "Content-Length of 17 digits",
    "9110 8.6",
    "bad_framing",
    withFields(["Content-Length: 00000000000000003"], "abc"),
    "the bound of digits",
  ],
  [
    "two differing lengths",
    "9112 6.3",
    "bad_framing",
    withFields(["Content-Length: 3", "Content-Length: 4"], "abc"),
  ],
  [
    "two equal lengths",
    "9112 6.3",
    "bad_framing",
    withFields(["Content-Length: 3", "Content-Length: 3"], "abc"),
  ],
  ["two lengths of zero", "9112 6.3", "bad_framing", withFields(["Content-Length: 0", "content-length: 0"])],
  [
    "length with a space before the colon",
    "9112 5.1",
    "bad_header",
    withFields(["Content-Length : 3"], "abc"),
  ],
  ["length on a folded line", "9112 5.2", "bad_framing", withFields(["Content-Length:\r\n 3"], "abc")],
];

/** Codings after which the end of the body is known, if one understands the ones before. */
const UNDERSTOOD_LAST = new Set(["identity, chunked", "gzip, chunked", ",chunked"]);
const BOTH = ["Content-Length: 6", "Transfer-Encoding: chunked"];
const CODINGS: RefusedRow[] = [
  ["CL.TE", "9112 6.1", "bad_framing", withFields(BOTH, "0\r\n\r\nG", "POST")],
  [
    "TE.CL",
    "9112 6.1",
    "bad_framing",
    withFields(BOTH.toReversed(), "5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n", "POST"),
  ],
  [
    "Content-Length: 0 beside a coding",
    "9112 6.1",
    "bad_framing",
    withFields(["Content-Length: 0", BOTH[1] as string], "0\r\n\r\n"),
  ],
  [
    "coding twice",
    "9112 6.1",
    "bad_framing",
    withFields([BOTH[1] as string, BOTH[1] as string], "0\r\n\r\n"),
  ],
  [
    "coding in HTTP/1.0",
    "9112 6.1",
    "bad_framing",
    withFields([BOTH[1] as string], "0\r\n\r\n", "POST", "1.0"),
    "HTTP/1.0 has no transfer codings",
  ],
  ...(
    [
      ["chunked, chunked", "9112 6.1"],
      ["chunked, identity", "9112 6.1"],
      ["identity", "9112 7"],
      ["identity, chunked", "9112 7", CODING],
      ["gzip", "9112 7.2"],
      ["gzip, chunked", "9112 7.2", CODING],
      ["x", "9112 6.1"],
      ["xchunked", "9112 6.1"],
      ["chunked-x", "9112 6.1"],
      ["chunkedchunked", "9112 6.1"],
      ["chunked;a=b", "9112 7"],
      ["chunked,", "9110 5.6.1"],
      [",chunked", "9110 5.6.1", CODING],
      ["", "9112 6.1"],
      ['"chunked"', "9112 7"],
      ["chun ked", "9112 7"],
      ["chunke", "9112 7"],
      ["\x80chunked", "9112 7"],
    ] as readonly (readonly [string, string, string?])[]
  ).map(
    ([value, rule, stricter]): RefusedRow => [
      `Transfer-Encoding: ${JSON.stringify(value)}`,
      rule,
      UNDERSTOOD_LAST.has(value) ? "transfer_coding" : "bad_framing",
      withFields([`Transfer-Encoding: ${value}`], "0\r\n\r\n", "POST"),
      stricter,
    ],
  ),
  [
    "TE.TE: chunked, then another",
    "9112 6.1",
    "bad_framing",
    withFields(["Transfer-Encoding: chunked", "Transfer-Encoding: cow"], "0\r\n\r\n"),
  ],
  [
    "TE.TE: another, then chunked",
    "9112 6.1",
    "bad_framing",
    withFields(["Transfer-Encoding: cow", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
    CODING,
  ],
  [
    "coding with a space before the colon",
    "9112 5.1",
    "bad_header",
    withFields(["Transfer-Encoding : chunked"], "0\r\n\r\n"),
  ],
  [
    "coding after a bare LF",
    "9112 2.2",
    "bad_header",
    withFields(["A: b\nTransfer-Encoding: chunked"], "0\r\n\r\n"),
  ],
  [
    "coding on a folded line",
    "9112 5.2",
    "bad_framing",
    withFields(["Transfer-Encoding:\r\n chunked"], "0\r\n\r\n"),
  ],
  [
    "coding with a tab after it",
    "9112 6.1",
    "bad_framing",
    withFields(["Transfer-Encoding: chunked \t"], "0\r\n\r\n"),
  ],
  [
    "coding with a space after it",
    "9112 6.1",
    "bad_framing",
    withFields(["Transfer-Encoding: chunked "], "0\r\n\r\n"),
    TRIMMED,
  ],
  [
    "coding with a tab before it",
    "9112 6.1",
    "bad_framing",
    withFields(["Transfer-Encoding:\tchunked"], "0\r\n\r\n"),
    TRIMMED,
  ],
  [
    "coding with a vertical tab",
    "9110 5.5",
    "bad_header",
    withFields(["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n"),
  ],
  ["coding with a NUL", "9110 5.5", "bad_header", withFields(["Transfer-Encoding: chunked\0"], "0\r\n\r\n")],
];

const CHUNKS: RefusedRow[] = (
  [
    ["size with a prefix", "7.1", "0x3\r\nabc\r\n0\r\n\r\n"],
    ["size with a plus sign", "7.1", "+3\r\nabc\r\n0\r\n\r\n"],
    ["size with a minus sign", "7.1", "-3\r\nabc\r\n0\r\n\r\n"],
    ["size with an underscore", "7.1", "1_0\r\nabc\r\n0\r\n\r\n"],
    ["space before the size", "7.1", " 3\r\nabc\r\n0\r\n\r\n"],
    ["space after the size", "7.1", "3 \r\nabc\r\n0\r\n\r\n"],
    ["tab after the size", "7.1", "3\t\r\nabc\r\n0\r\n\r\n"],
    ["no size", "7.1", "\r\nabc\r\n0\r\n\r\n"],
    ["size that is no number", "7.1", "g\r\nabc\r\n0\r\n\r\n"],
    ["fraction as size", "7.1", "3.0\r\nabc\r\n0\r\n\r\n"],
    ["size of 2^64", "7.1", "10000000000000000\r\nabc\r\n0\r\n\r\n"],
    ["size of 2^64 + 3", "7.1", "10000000000000003\r\nabc\r\n0\r\n\r\n"],
    ["size of 2^52", "7.1", "10000000000000\r\nabc\r\n0\r\n\r\n", "the bound of digits"],
    ["size with many zeros", "7.1", "00000000000003\r\nabc\r\n0\r\n\r\n", "the bound of digits"],
    ["bare LF after the size", "2.2", "3\nabc\r\n0\r\n\r\n"],
    ["bare CR after the size", "2.2", "3\rabc\r\n0\r\n\r\n"],
    ["two CR after the size", "2.2", "3\r\r\nabc\r\n0\r\n\r\n"],
    ["bare LF after the data", "2.2", "3\r\nabc\n0\r\n\r\n"],
    ["bare CR after the data", "2.2", "3\r\nabc\r0\r\n\r\n"],
    ["nothing after the data", "7.1", "3\r\nabc0\r\n\r\n"],
    ["data longer than its size", "7.1", "3\r\nabcd\r\n0\r\n\r\n"],
    ["data shorter than its size", "7.1", "5\r\nabc\r\n0\r\n\r\n"],
    ["extension without a name", "7.1.1", "3;\r\nabc\r\n0\r\n\r\n"],
    ["extension without a value", "7.1.1", "3;a=\r\nabc\r\n0\r\n\r\n", "a name that is left hanging"],
    ["extension without a name but a value", "7.1.1", "3;=a\r\nabc\r\n0\r\n\r\n", "no name"],
    ["extension with white space", "7.1.1", "3 ;a=b\r\nabc\r\n0\r\n\r\n"],
    ["extension with white space around its parts", "7.1.1", "3; a = b\r\nabc\r\n0\r\n\r\n"],
    ["extension with a bare LF", "7.1.1", "3;a\nabc\r\n0\r\n\r\n"],
    ["extension with a bare CR", "7.1.1", "3;a\rabc\r\n0\r\n\r\n"],
    ["extension with a NUL", "7.1.1", "3;a\0\r\nabc\r\n0\r\n\r\n"],
    ["bare LF in a quoted extension", "7.1.1", '3;a="b\n0"\r\nabc\r\n0\r\n\r\n'],
    ["CR LF in a quoted extension", "7.1.1", '3;a="b\r\nabc"\r\n0\r\n\r\n'],
    ["bare LF escaped in a quoted extension", "7.1.1", '3;a="\\\n"\r\nabc\r\n0\r\n\r\n'],
    ["text after a quoted extension", "7.1.1", '3;a="b"c\r\nabc\r\n0\r\n\r\n'],
    ["quoted name of an extension", "7.1.1", '3;"a"=b\r\nabc\r\n0\r\n\r\n'],
    [
      "extensions over their bound",
      "7.1.1",
      `3;${"a".repeat(5000)}\r\nabc\r\n0\r\n\r\n`,
      "the bound of extensions",
    ],
    [
      "extensions over their bound in sum",
      "7.1.1",
      `${`1;${"a".repeat(500)}\r\nx\r\n`.repeat(10)}0\r\n\r\n`,
      "the bound of extensions",
    ],
    ["bare LF as the end", "2.2", "3\r\nabc\r\n0\r\n\n"],
    ["bare LF after the last size", "2.2", "3\r\nabc\r\n0\n\r\n"],
    ["space before a trailer", "7.1.2", "0\r\n A: b\r\n\r\n"],
    ["space before the colon of a trailer", "7.1.2", "0\r\nA : b\r\n\r\n"],
    ["folded trailer", "7.1.2", "0\r\nA: b\r\n c\r\n\r\n"],
    ["bare LF in a trailer", "7.1.2", "0\r\nA: b\nC: d\r\n\r\n"],
    ["NUL in a trailer", "7.1.2", "0\r\nA: b\0\r\n\r\n"],
    ["trailer that is no field", "7.1.2", "0\r\nabc\r\n\r\n"],
    ["Content-Length in trailers", "6.5.1", "0\r\nContent-Length: 1\r\n\r\n"],
    ["chunked in trailers", "6.5.1", "0\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["Transfer-Encoding in trailers", "6.5.1", "0\r\nTransfer-Encoding: gzip\r\n\r\n"],
    ["two Content-Lengths in trailers", "6.5.1", "0\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"],
    ["51 trailers", "7.1.2", `0\r\n${"A: b\r\n".repeat(51)}\r\n`, "the bound of trailers"],
    ["trailers over their bound", "7.1.2", `0\r\nA: ${"b".repeat(8200)}\r\n\r\n`, "the bound of trailers"],
    ["trailers that never end", "7.1.2", `0\r\nA: ${"b".repeat(9000)}`, "the bound of trailers"],
  ] as readonly (readonly [string, string, string, string?])[]
).map(
  ([name, rule, body, stricter]): RefusedRow => [
    name,
    `9112 ${rule}`,
    "bad_chunk",
    withFields(["Transfer-Encoding: chunked"], body, "POST"),
    stricter,
  ],
);

/** A sound request, then something that is not one. */
const SECOND: RefusedRow[] = [
  [
    "a body longer than its length",
    "9112 6.3",
    "bad_request_line",
    withFields(["Content-Length: 1"], "a\0", "POST"),
  ],
  ["a body that was not declared", "9112 6.3", "bad_request_line", withFields([], "{}", "POST")],
  [
    "a chunk after the last",
    "9112 7.1",
    "bad_request_line",
    withFields(["Transfer-Encoding: chunked"], "0\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "POST"),
  ],
  ["a bad second request", "9112 2.2", "bad_header", withFields([]) + withFields(["A : b"])],
];

export const REFUSED_FRAMING = [
  ...[...LENGTHS, ...CODINGS, ...CHUNKS].map((row) => refusedRow(row)),
  ...SECOND.map((row) => refusedRow(row, 1)),
];
