/**
 * Responses at the edges: every character class at its borders, every bound on either side, every way in which a body
 * may be declared against every status and method that has none (RFC 9112 section 6.3), and every place in which a
 * connection may break off (section 8).
 */
import { type AcceptedResponse, chunkedResponse, lines, type RefusedResponse, response } from "./cases.ts";

type Accepted = readonly [
  name: string,
  rule: string,
  bytes: string,
  body: string,
  more?: Partial<AcceptedResponse>,
];
type Refused = readonly [name: string, rule: string, bytes: string, stricter?: string, method?: string];

const named = (octet: string) => `0x${octet.charCodeAt(0).toString(16).padStart(2, "0")}`;
const field = (text: string) => response([text, "Content-Length: 0"]);
const status = (line: string) => lines(line, "Content-Length: 0", "", "");
const OK = response(["Content-Length: 2"], "ok");
const LAST = "0\r\n\r\n";
const every = String.fromCharCode(...Array(256).keys());
/** A response whose head is exactly so long. */
const headOf = (bytes: number) => field(`A: ${"b".repeat(bytes - field("A: ").length)}`);

/** Declarations of a body that is not there, with what each may be followed by. */
const DECLARED = {
  "no declaration": [],
  "a length": ["Content-Length: 5"],
  "a length of 0": ["Content-Length: 0"],
  chunked: ["Transfer-Encoding: chunked"],
  close: ["Connection: close"],
} as const;

const BODILESS = ["204 No Content", "304 Not Modified"].flatMap((line) =>
  Object.entries(DECLARED).map(
    ([what, fields]): Accepted => [
      `${line.slice(0, 3)} with ${what}, and bytes after it`,
      "9112 6.3",
      response(fields, "surplus", line),
      "",
    ],
  ),
);
const TO_HEAD = ["200 OK", "206 X", "301 X", "500 X"].flatMap((line) =>
  Object.entries(DECLARED).map(
    ([what, fields]): Accepted => [
      `${line.slice(0, 3)} to HEAD with ${what}, and bytes after it`,
      "9112 6.3",
      response(fields, "surplus", line),
      "",
      { method: "HEAD" },
    ],
  ),
);
/** A body stands after every other status, whatever the method was. */
const WITH_BODY = ["201 X", "202 X", "203 X", "206 X", "300 X", "400 X", "404 X", "500 X", "503 X"].map(
  (line): Accepted => [
    `${line.slice(0, 3)} with a body`,
    "9112 6.3",
    response(["Content-Length: 2"], "ok", line),
    "ok",
  ],
);
const OF_METHODS = ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"].map(
  (method): Accepted => [`body of the response to ${method}`, "9112 6.3", OK, "ok", { method }],
);
const INFORMED = [102, 110, 150, 198].map(
  (code): Accepted => [
    `${code} before the answer`,
    "9110 15.2",
    `HTTP/1.1 ${code} X\r\nA: b\r\n\r\n${OK}`,
    "ok",
    { informed: [code] },
  ],
);

const ACCEPTED: Accepted[] = [
  ...BODILESS,
  ...TO_HEAD,
  ...WITH_BODY,
  ...OF_METHODS,
  ...INFORMED,
  [
    "status 100 with a coding",
    "9112 6.1",
    `HTTP/1.1 100 X\r\nTransfer-Encoding: chunked\r\n\r\n${OK}`,
    "ok",
    { informed: [100] },
  ],
  [
    "100 three times",
    "9110 15.2",
    "HTTP/1.1 100 X\r\n\r\n".repeat(3) + OK,
    "ok",
    { informed: [100, 100, 100] },
  ],
  [
    "103, then 204",
    "9110 15.2",
    `HTTP/1.1 103 X\r\n\r\n${response([], "", "204 X")}`,
    "",
    { informed: [103] },
  ],
  [
    "100, then a response to HEAD",
    "9110 15.2",
    `HTTP/1.1 100 X\r\n\r\n${response(["Content-Length: 9"])}`,
    "",
    { informed: [100], method: "HEAD" },
  ],
  [
    "103, then a body until the end",
    "9110 15.2",
    `HTTP/1.1 103 X\r\n\r\n${response([], "ok")}`,
    "ok",
    { informed: [103] },
  ],
  ["status 200 with a phrase of one blank", "9112 4", status("HTTP/1.1 200  "), ""],
  ["phrase of a tab", "9112 4", status("HTTP/1.1 200 \t"), ""],
  ["phrase of the last visible octets", "9112 4", status("HTTP/1.1 200 !~\x80\xff"), ""],
  ["phrase that looks like a status", "9112 4", status("HTTP/1.1 200 404 Not Found"), ""],
  ["phrase of 8,000 bytes", "9112 4", status(`HTTP/1.1 200 ${"b".repeat(8000)}`), ""],
  ["head of 16,384 bytes", "9110 5.4", headOf(16_384), ""],
  ["100 fields", "9110 5.4", response([...Array(99).fill("A: b"), "Content-Length: 0"]), ""],
  ["body of every octet", "9112 6.2", response(["Content-Length: 256"], every), every],
  ["body of every octet until the end", "9112 6.3", response([], every), every],
  ["body of CR LF", "9112 6.2", response(["Content-Length: 2"], "\r\n"), "\r\n"],
  ["body that ends like a head", "9112 6.2", response(["Content-Length: 4"], "\r\n\r\n"), "\r\n\r\n"],
  ["chunk of every octet", "9112 7.1", chunkedResponse(`100\r\n${every}\r\n${LAST}`), every],
  ["chunk size of 13 digits", "9112 7.1", chunkedResponse(`0000000000002\r\nok\r\n${LAST}`), "ok"],
  ["chunks of one byte", "9112 7.1", chunkedResponse(`${"1\r\nx\r\n".repeat(50)}${LAST}`), "x".repeat(50)],
  ["chunk that looks like the end", "9112 7.1", chunkedResponse(`5\r\n${LAST}\r\n${LAST}`), LAST],
  ["last chunk with an extension", "9112 7.1.1", chunkedResponse("2\r\nok\r\n0;a=b\r\n\r\n"), "ok"],
  ["extension of 4,000 bytes", "9112 7.1.1", chunkedResponse(`2;${"a".repeat(4000)}\r\nok\r\n${LAST}`), "ok"],
  [
    "quoted extension with a semicolon and an escape",
    "9112 7.1.1",
    chunkedResponse(`2;a=";\\""\r\nok\r\n${LAST}`),
    "ok",
  ],
  ["50 trailers", "9112 7.1.2", chunkedResponse(`2\r\nok\r\n0\r\n${"A: b\r\n".repeat(50)}\r\n`), "ok"],
  [
    "trailers that name a connection",
    "9110 6.5.1",
    chunkedResponse("0\r\nConnection: close\r\nHost: b\r\n\r\n"),
    "",
  ],
  ["coding in mixed letters", "9112 7", response(["transfer-encoding: cHuNkEd"], LAST), ""],
  [
    "coding beside keep-alive",
    "9112 9.3",
    response(["Connection: keep-alive", "Transfer-Encoding: chunked"], LAST),
    "",
  ],
  [
    "Connection that names the length",
    "9110 7.6.1",
    response(["Connection: content-length", "Content-Length: 2"], "ok"),
    "ok",
  ],
  ["empty Connection", "9110 5.6.1", response(["Connection:", "Content-Length: 2"], "ok"), "ok"],
  ["close among options", "9112 9.6", response(["Connection: a, Close ,b", "Content-Length: 2"], "ok"), "ok"],
  ["Upgrade that nobody took", "9110 7.8", response(["Upgrade: h2c", "Content-Length: 2"], "ok"), "ok"],
  [
    "426 with Upgrade",
    "9110 15.5.22",
    response(["Upgrade: TLS/1.3", "Connection: upgrade", "Content-Length: 2"], "ok", "426 X"),
    "ok",
  ],
  ["length in capitals", "9110 5.1", response(["CONTENT-LENGTH: 2"], "ok"), "ok"],
  ["length with white space around it", "9112 5.1", response(["Content-Length: \t2\t "], "ok"), "ok"],
  ["length of 16 digits", "9110 8.6", response(["Content-Length: 0000000000000002"], "ok"), "ok"],
  ["HTTP/1.0 with close", "9112 9.6", response(["Connection: close"], "ok", "200 OK", "1.0"), "ok"],
  ["HTTP/1.0 204", "9112 6.3", response([], "", "204 X", "1.0"), ""],
  [
    "HTTP/1.0 to HEAD",
    "9112 6.3",
    response(["Content-Length: 3"], "", "200 X", "1.0"),
    "",
    { method: "HEAD" },
  ],
  ["HTTP/1.0 with an empty body until the end", "9112 6.3", response([], "", "200 X", "1.0"), ""],
  ["name of every token mark", "9110 5.6.2", field("!#$%&'*+-.^_`|~: b"), ""],
  ["value of every delimiter", "9110 5.5", field('A: "(),/:;<=>?@[\\]{}'), ""],
  ["tab in a value", "9110 5.5", field("A: b\tc"), ""],
  ["value of white space", "9112 5.1", field("A:  \t "), ""],
  ["value of 8,000 bytes", "9110 5.4", field(`A: ${"b".repeat(8000)}`), ""],
  ["field without a space", "9112 5", field("A:b"), ""],
];

const NAMES = [...'(),/;<=>?@[\\]{}"', "\x01", "\x1f", "\x7f", "\x80"].map(
  (octet): Refused => [`name with ${named(octet)}`, "9110 5.6.2", field(`A${octet}B: c`)],
);
const VALUES = ["\x01", "\x08", "\x0b", "\x0c", "\x1b", "\x1f"].map(
  (octet): Refused => [`value with ${named(octet)}`, "9110 5.5", field(`A: b${octet}c`)],
);
const PHRASES = ["\x01", "\x0b", "\x7f"].map(
  (octet): Refused => [
    `reason with ${named(octet)}`,
    "9112 4",
    status(`HTTP/1.1 200 O${octet}K`),
    "not text",
  ],
);
const SIZES = ["\x01", " ", "\t", "\0", ":", "g", "/", "-", "\x80"].map(
  (octet): Refused => [
    `chunk size with ${named(octet)} after it`,
    "9112 7.1",
    chunkedResponse(`2${octet}\r\nok\r\n${LAST}`),
  ],
);
const BEFORE_SIZES = [" ", "\t", "\r", ";", "g", "-", "\0"].map(
  (octet): Refused => [
    `chunk size with ${named(octet)} before it`,
    "9112 7.1",
    chunkedResponse(`${octet}2\r\nok\r\n${LAST}`),
  ],
);
const LENGTHS = (
  [
    ["a fraction", "2.0"],
    ["an exponent", "2e0"],
    ["a space inside", "1 0"],
    ["a comma at the end", "2,"],
    ["a differing list", "2, 3"],
    ["a parameter", "2;a"],
    ["quotes", '"2"'],
    ["an octet above 127", "\xb2"],
    ["17 digits", "00000000000000002", "the bound of digits"],
  ] as const
).map(
  ([what, value, stricter]): Refused => [
    `length with ${what}`,
    "9110 8.6",
    response([`Content-Length: ${value}`], "ok"),
    stricter,
  ],
);

const CHUNKED = "only chunked is supported";
const REFUSED: Refused[] = [
  ...NAMES,
  ...VALUES,
  ...PHRASES,
  ...SIZES,
  ...BEFORE_SIZES,
  ...LENGTHS,
  ["head of 16,385 bytes", "9110 5.4", headOf(16_385), "the bound of a head"],
  [
    "100 fields and one more",
    "9110 5.4",
    response([...Array(100).fill("A: b"), "Content-Length: 0"]),
    "the bound of fields",
  ],
  ["folded with a tab", "9112 5.2", field("A: b\r\n\tc")],
  ["folded length", "9112 5.2", response(["Content-Length:\r\n 2"], "ok")],
  ["folded coding", "9112 5.2", response(["Transfer-Encoding:\r\n chunked"], LAST)],
  ["tab before the colon", "9112 5.1", field("A\t: b")],
  ["length with a space before its colon", "9112 5.1", response(["Content-Length : 2"], "ok")],
  ["bare CR as the empty line", "9112 2.2", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\rX"],
  ["two CR at the end of a line", "9112 2.2", field("A: b\r")],
  ["bare LF after a length", "9112 2.2", "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok"],
  ["bare CR after the status line", "9112 2.2", "HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n"],
  ["HTTP/1.1 without a space", "9112 4", status("HTTP/1.1200 OK")],
  ["HTTP/1.10", "9112 2.3", status("HTTP/1.10 200 OK")],
  ["HTTP/3", "9112 2.3", status("HTTP/3 200 OK")],
  ["status with a sign", "9112 4", status("HTTP/1.1 +20 OK")],
  ["status in hexadecimal", "9112 4", status("HTTP/1.1 0xc OK")],
  ["a dot after the status", "9112 4", status("HTTP/1.1 200.1 OK")],
  ["a comma after the status", "9112 4", status("HTTP/1.1 200, OK")],
  ["a request", "9112 4", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["TLS", "9112 4", "\x15\x03\x03\0\x02\x02\x16\0\0\0\0\0\0\0"],
  ["SMTP", "9112 4", "220 mail.example ESMTP\r\n"],
  ["100, then nonsense", "9110 15.2", "HTTP/1.1 100 X\r\n\r\nnonsense nonsense"],
  [
    "100, then 101",
    "9110 15.2",
    "HTTP/1.1 100 X\r\n\r\nHTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
  ],
  [
    "101 to HEAD",
    "9110 15.2.2",
    "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    undefined,
    "HEAD",
  ],
  [
    "1xx with two lengths",
    "9112 6.3",
    `HTTP/1.1 103 X\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n${OK}`,
  ],
  ["204 with two lengths", "9112 6.3", response(["Content-Length: 1", "Content-Length: 2"], "", "204 X")],
  [
    "304 with a length beside a coding",
    "9112 6.1",
    response(["Content-Length: 1", "Transfer-Encoding: chunked"], "", "304 X"),
  ],
  [
    "to HEAD with a length beside a coding",
    "9112 6.1",
    response(["Content-Length: 1", "Transfer-Encoding: chunked"]),
    undefined,
    "HEAD",
  ],
  [
    "a coding in two fields",
    "9112 6.1",
    response(["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], LAST),
    CHUNKED,
  ],
  [
    "chunked twice in a list",
    "9112 6.1",
    response(["Transfer-Encoding: chunked, chunked"], LAST),
    "a coding is applied once",
  ],
  ["an empty coding", "9112 6.1", response(["Transfer-Encoding:"], "x")],
  ["a coding in quotes", "9112 7", response(['Transfer-Encoding: "chunked"'], "x"), CHUNKED],
  ["chunked with a parameter", "9112 7", response(["Transfer-Encoding: chunked;a=b"], "x"), CHUNKED],
  [
    "a coding with a space after it",
    "9112 6.1",
    response(["Transfer-Encoding: chunked "], LAST),
    "recipients differ in what they trim",
  ],
  [
    "a coding with a tab before it",
    "9112 6.1",
    response(["Transfer-Encoding:\tchunked"], LAST),
    "recipients differ in what they trim",
  ],
  ["chunk size of 2^52", "9112 7.1", chunkedResponse("10000000000000\r\nok"), "the bound of digits"],
  ["chunk data shorter than its size", "9112 7.1", chunkedResponse(`3\r\nok\r\n${LAST}`)],
  ["no line end after chunk data", "9112 7.1", chunkedResponse(`2\r\nok${LAST}`)],
  ["bare CR after a chunk size", "9112 2.2", chunkedResponse(`2\rok\r\n${LAST}`)],
  ["bare LF as the end of chunks", "9112 2.2", chunkedResponse("2\r\nok\r\n0\r\n\n")],
  ["bare CR in a chunk extension", "9112 7.1.1", chunkedResponse(`2;a\rb\r\nok\r\n${LAST}`)],
  ["NUL in a chunk extension", "9112 7.1.1", chunkedResponse(`2;a\0\r\nok\r\n${LAST}`)],
  ["LF in a quoted extension", "9112 7.1.1", chunkedResponse(`2;a="\n"\r\nok\r\n${LAST}`)],
  ["an extension without a name", "9112 7.1.1", chunkedResponse(`2;\r\nok\r\n${LAST}`)],
  [
    "extensions over their bound",
    "9112 7.1.1",
    chunkedResponse(`2;${"a".repeat(5000)}\r\nok\r\n${LAST}`),
    "the bound of extensions",
  ],
  [
    "51 trailers",
    "9112 7.1.2",
    chunkedResponse(`0\r\n${"A: b\r\n".repeat(51)}\r\n`),
    "the bound of trailers",
  ],
  [
    "trailers over their bound",
    "9112 7.1.2",
    chunkedResponse(`0\r\nA: ${"b".repeat(8200)}\r\n\r\n`),
    "the bound of trailers",
  ],
  ["Content-Length in trailers", "9110 6.5.1", chunkedResponse("0\r\nContent-Length: 2\r\n\r\n")],
  [
    "Transfer-Encoding in trailers",
    "9110 6.5.1",
    chunkedResponse("0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "a field of framing",
  ],
  ["a space before the colon of a trailer", "9112 5.1", chunkedResponse("0\r\nA : b\r\n\r\n")],
  ["NUL in a trailer", "9110 5.5", chunkedResponse("0\r\nA: \0\r\n\r\n")],
  [
    "33 Connection options",
    "9110 7.6.1",
    field(`Connection: ${Array(33).fill("a").join(",")}`),
    "each names a field to look for",
  ],
  ["Connection option that is no token", "9110 7.6.1", field("Connection: a b"), "not a token"],
];

const PARTIAL: Refused[] = [
  ["nothing at all", "9112 8", ""],
  ["one octet", "9112 8", "H"],
  ["half a version", "9112 8", "HTTP/1."],
  ["a status line without its end", "9112 8", "HTTP/1.1 200 OK"],
  ["a status line and a CR", "9112 8", "HTTP/1.1 200 OK\r"],
  ["a status line alone", "9112 8", "HTTP/1.1 200 OK\r\n"],
  ["half a name", "9112 8", "HTTP/1.1 200 OK\r\nConte"],
  ["a name and its colon", "9112 8", "HTTP/1.1 200 OK\r\nA:"],
  ["half a value", "9112 8", "HTTP/1.1 200 OK\r\nA: b"],
  ["a CR after a value", "9112 8", "HTTP/1.1 200 OK\r\nA: b\r"],
  ["a CR of the empty line", "9112 8", "HTTP/1.1 200 OK\r\nA: b\r\n\r"],
  ["a body short by one", "9112 8", response(["Content-Length: 100"], "x".repeat(99))],
  ["half a chunk size", "9112 8", chunkedResponse("1")],
  ["a chunk size and a CR", "9112 8", chunkedResponse("1\r")],
  ["a chunk size without data", "9112 8", chunkedResponse("1\r\n")],
  ["half an extension", "9112 8", chunkedResponse('1;a="b')],
  ["chunk data without its line end", "9112 8", chunkedResponse("1\r\na")],
  ["chunk data and a CR", "9112 8", chunkedResponse("1\r\na\r")],
  ["the last chunk's size alone", "9112 8", chunkedResponse("1\r\na\r\n0")],
  ["the last chunk and half of its end", "9112 8", chunkedResponse("1\r\na\r\n0\r\n\r")],
  ["half a trailer", "9112 8", chunkedResponse("0\r\nA: b")],
  ["two 1xx and no answer", "9110 15.2", "HTTP/1.1 100 X\r\n\r\nHTTP/1.1 103 X\r\n\r\n"],
  ["a 1xx and half an answer", "9110 15.2", "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\n"],
];

export const MORE_ACCEPTED_RESPONSES: AcceptedResponse[] = ACCEPTED.map(
  ([name, rule, bytes, body, more]) => ({
    name,
    rule,
    bytes,
    body,
    ...more,
  }),
);

export const MORE_REFUSED_RESPONSES: RefusedResponse[] = [
  ...REFUSED.map((row) => refused(row, "refused")),
  ...PARTIAL.map((row) => refused(row, "partial")),
];

function refused(
  [name, rule, bytes, stricter, method]: Refused,
  end: RefusedResponse["end"],
): RefusedResponse {
  return { name, rule, bytes, end, stricter, method };
}
