/**
 * Requests that try the edges of every character class: each octet stands where the class that it borders on ends
 * (RFC 9110 sections 5.5 and 5.6.2, RFC 9112 sections 3 and 7.1.1, RFC 3986 section 3.2.2).
 */
import {
  type AcceptedRequests,
  type AcceptedRow,
  acceptedRow,
  chunkedRequest,
  lines,
  type RefusedRow,
  refusedRow,
  withFields,
} from "./cases.ts";

const named = (octet: string) => `0x${octet.charCodeAt(0).toString(16).padStart(2, "0")}`;
const line = (start: string) => lines(start, "Host: a.example", "", "");
const host = (value: string) => lines("GET / HTTP/1.1", `Host: ${value}`, "", "");

/** Delimiters (RFC 9110 section 5.6.2): visible, and in no token. */
const DELIMITERS = [..."(),;<>?\\]{}"];
const CONTROLS = ["\x1f", "\x7f", "\x80", "\xff"];

const NAMES = [...DELIMITERS, ...CONTROLS].map(
  (octet): RefusedRow => [
    `name with ${named(octet)}`,
    "9110 5.6.2",
    "bad_header",
    withFields([`A${octet}B: c`]),
  ],
);
const FIRST_OF_NAME = ["=", "\x80"].map(
  (octet): RefusedRow => [
    `name that begins with ${named(octet)}`,
    "9110 5.6.2",
    "bad_header",
    withFields([`${octet}A: b`]),
  ],
);
const VALUES = ["\x01", "\x0e", "\x1f"].map(
  (octet): RefusedRow => [
    `value with ${named(octet)}`,
    "9110 5.5",
    "bad_header",
    withFields([`A: b${octet}c`]),
  ],
);
const TARGETS = ["\x01", "\x1f", "\x80", "\xff"].map(
  (octet): RefusedRow => [
    `target with ${named(octet)}`,
    "9112 3.2",
    "bad_request_line",
    line(`GET /a${octet}b HTTP/1.1`),
  ],
);
const METHODS = [...'),/:;<=>?@[\\]{}"', "\x7f", "\xff"].map(
  (octet): RefusedRow => [
    `method with ${named(octet)}`,
    "9110 9.1",
    "bad_request_line",
    line(`GE${octet}T / HTTP/1.1`),
  ],
);
const NOT_A_HOST = "not a character of a host";
const HOSTS = [..."{}|^`>[]", "\x80"].map(
  (octet): RefusedRow => [
    `Host with ${named(octet)}`,
    "3986 3.2.2",
    "bad_host",
    host(`a${octet}b`),
    NOT_A_HOST,
  ],
);
const SIZES = [..."\x01/:@G`g,=.", "\x80"].map(
  (octet): RefusedRow => [
    `chunk size followed by ${named(octet)}`,
    "9112 7.1",
    "bad_chunk",
    chunkedRequest(`1${octet}\r\na\r\n0\r\n\r\n`),
  ],
);
const EXTENSIONS = (
  [
    ["name with a delimiter", "1;a(\r\n"],
    ["name with a control character", "1;a\x01\r\n"],
    ["name with an octet above 127", "1;\x80\r\n"],
    ["value with a delimiter", "1;a=b/\r\n"],
    ["value with an octet above 127", "1;a=\xff\r\n"],
    ["two semicolons", "1;;a\r\n", "a name that is missing"],
    ["semicolon at the end", "1;a;\r\n"],
    ["two equals signs", "1;a==b\r\n"],
    ["equals sign in a value", "1;a=b=c\r\n"],
    ["quote in a value", '1;a=b"c"\r\n', "a quote is no character of a token"],
    ["control character in a quoted value", '1;a="\x01"\r\n'],
    ["DEL in a quoted value", '1;a="\x7f"\r\n'],
    ["escaped control character", '1;a="\\\x01"\r\n'],
    ["escaped CR", '1;a="\\\r\n"\r\n'],
    ["white space after a quoted value", '1;a="b" \r\n'],
    ["equals sign after a quoted value", '1;a="b"=c\r\n'],
    ["space after the semicolon", "1; a\r\n"],
    ["tab before the semicolon", "1\t;a\r\n"],
    ["space after the value", "1;a=b \r\n"],
  ] as readonly (readonly [string, string, string?])[]
).map(
  ([what, size, stricter]): RefusedRow => [
    `chunk extension: ${what}`,
    "9112 7.1.1",
    "bad_chunk",
    chunkedRequest(`${size}x\r\n0\r\n\r\n`),
    stricter,
  ],
);
const TRAILER_NAMES = ["\x01", "(", "\x80"].map(
  (octet): RefusedRow => [
    `trailer's name with ${named(octet)}`,
    "9110 5.6.2",
    "bad_chunk",
    chunkedRequest(`0\r\nA${octet}: b\r\n\r\n`),
  ],
);
const TRAILER_VALUES = ["\x01", "\x7f", "\r"].map(
  (octet): RefusedRow => [
    `trailer's value with ${named(octet)}`,
    "9110 5.5",
    "bad_chunk",
    chunkedRequest(`0\r\nA: b${octet}c\r\n\r\n`),
  ],
);

export const REFUSED_OCTETS = [
  ...NAMES,
  ...FIRST_OF_NAME,
  ...VALUES,
  ...TARGETS,
  ...METHODS,
  ...HOSTS,
  ...SIZES,
  ...EXTENSIONS,
  ...TRAILER_NAMES,
  ...TRAILER_VALUES,
].map((row) => refusedRow(row));

const ACCEPTED: AcceptedRow[] = [
  ...["\x21", "\x7e", "\x80", "\xff"].map(
    (octet): AcceptedRow => [`value of ${named(octet)} alone`, "9110 5.5", withFields([`A: ${octet}`])],
  ),
  ["value with a tab before text", "9110 5.5", withFields(["A: b \t \tc"])],
  ["value of every delimiter", "9110 5.5", withFields([`A: "(),/:;<=>?@[\\]{}`])],
  ["target with the first and the last visible character", "9112 3.2", line("GET /!~ HTTP/1.1")],
  ["target of digits and marks", "3986 2.3", line("GET /0-._~9 HTTP/1.1")],
  ["Host of sub-delims", "3986 3.2.2", host("!$&'()*+,;=")],
  ["Host of unreserved marks", "3986 3.2.2", host("a-._~z")],
  ["Host with percent-encoding in both cases", "3986 2.1", host("%aF%Fa")],
  ["name of digits", "9110 5.6.2", withFields(["1: b"])],
  ["name that begins with a mark", "9110 5.6.2", withFields(["-A: b", "!: c"])],
  ["quoted extension with a tab", "9112 7.1.1", chunkedRequest('1;a="\t"\r\nx\r\n0\r\n\r\n'), ["x"]],
  [
    "quoted extension with octets above 127",
    "9112 7.1.1",
    chunkedRequest('1;a="\x80\xff"\r\nx\r\n0\r\n\r\n'),
    ["x"],
  ],
  ["quoted extension that is empty", "9112 7.1.1", chunkedRequest('1;a=""\r\nx\r\n0\r\n\r\n'), ["x"]],
  [
    "quoted extension of an escaped backslash",
    "9112 7.1.1",
    chunkedRequest('1;a="\\\\"\r\nx\r\n0\r\n\r\n'),
    ["x"],
  ],
  ["quoted extension, then another", "9112 7.1.1", chunkedRequest('1;a="b";c\r\nx\r\n0\r\n\r\n'), ["x"]],
  ["extension of token marks", "9112 7.1.1", chunkedRequest("1;!#$%&'*+-.^_`|~=!~\r\nx\r\n0\r\n\r\n"), ["x"]],
  ["extension of digits", "9112 7.1.1", chunkedRequest("1;1=1\r\nx\r\n0\r\n\r\n"), ["x"]],
  ["chunk of every octet", "9112 7.1", chunkedRequest(`100\r\n${everyOctet()}\r\n0\r\n\r\n`), [everyOctet()]],
  [
    "body of every octet",
    "9112 6.2",
    withFields(["Content-Length: 256"], everyOctet(), "POST"),
    [everyOctet()],
  ],
  ["trailer with octets above 127", "9110 5.5", chunkedRequest("0\r\nA: \x80\xff\r\n\r\n")],
  ["trailer of token marks", "9110 5.6.2", chunkedRequest("0\r\n!~: b\r\n\r\n")],
];

function everyOctet(): string {
  return String.fromCharCode(...Array(256).keys());
}

export const ACCEPTED_OCTETS: AcceptedRequests[] = ACCEPTED.map(acceptedRow);
