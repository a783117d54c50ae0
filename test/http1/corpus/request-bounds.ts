/**
 * Requests at their bounds, on either side of each, and requests in a row: what stands behind one message is the
 * next one, wherever the first one ended.
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

const line = (start: string) => lines(start, "Host: a.example", "", "");
const host = (value: string) => lines("GET / HTTP/1.1", `Host: ${value}`, "", "");
const SMALL = line("GET / HTTP/1.1");
const LAST = "0\r\n\r\n";
const fieldsOf = (count: number) => Array.from({ length: count }, () => "A: b");
/** A request whose head is exactly so long. */
const headOf = (bytes: number) => withFields([`A: ${"b".repeat(bytes - withFields(["A: "]).length)}`]);
const BOUND = "the bound of a head";

export const ACCEPTED_BOUNDS: AcceptedRequests[] = (
  [
    ["method of one character that Node does not name", "9110 9.1", line("M / HTTP/1.1")],
    ["method of 32 characters", "9112 3", line(`${"A".repeat(32)} / HTTP/1.1`)],
    ["method of every mark", "9110 5.6.2", line("!#$%&'*+-.^_`|~ / HTTP/1.1")],
    ["method in small letters", "9110 9.1", line("get / HTTP/1.1")],
    ["target of 8,192 bytes", "9112 3", line(`GET /${"a".repeat(8191)} HTTP/1.1`)],
    ["head of 16,384 bytes", "9110 5.4", headOf(16_384)],
    ["100 fields, the last empty", "9110 5.4", withFields([...fieldsOf(98), "Z:"])],
    ["port 0", "3986 3.2.3", host("a:0")],
    ["port 65535", "3986 3.2.3", host("a:65535")],
    ["port with leading zeros", "3986 3.2.3", host("a:00080")],
    ["Host of one dot", "3986 3.2.2", host(".")],
    ["Host of 255 characters", "3986 3.2.2", host("a".repeat(255))],
    ["IPv6 literal with an empty port", "3986 3.2.2", host("[::]:")],
    ["32 Connection options", "9110 7.6.1", withFields([`Connection: ${Array(32).fill("a").join(",")}`])],
    ["Connection options with tabs around them", "9110 5.6.1", withFields(["Connection: \ta\t,\tb\t"])],
    ["close twice", "9112 9.6", withFields(["Connection: close, close"]), [""], true],
    [
      "close before keep-alive",
      "9112 9.3",
      withFields(["Connection: close", "Connection: keep-alive"]),
      [""],
      true,
    ],
    [
      "close in HTTP/1.0 beside keep-alive",
      "9112 9.3",
      withFields(["Connection: keep-alive, close"], "", "GET", "1.0"),
      [""],
      true,
    ],
    [
      "an option that only begins like close",
      "9112 9.6",
      withFields(["Connection: closed"]) + SMALL,
      ["", ""],
    ],
    [
      "Keep-Alive with parameters",
      "9112 C.2.2",
      withFields(["Connection: keep-alive", "Keep-Alive: timeout=5, max=1"]),
    ],
    ["two equal expectations", "9110 10.1.1", withFields(["Expect: 100-continue", "Expect: 100-continue"])],
    [
      "expectation in HTTP/1.0",
      "9110 10.1.1",
      withFields(["Expect: 100-continue"], "", "GET", "1.0"),
      [""],
      true,
    ],
    [
      "empty absolute path before a fragment-like query",
      "3986 3.4",
      line("GET http://b.example?/?:@ HTTP/1.1"),
    ],
    ["absolute target of an IPv4 address", "9112 3.2.2", line("GET http://127.0.0.1/ HTTP/1.1")],
    ["absolute target with an empty port", "3986 3.2.3", line("GET http://b.example:/ HTTP/1.1")],
    ["absolute target beside an empty Host", "9112 3.2.2", lines("GET http://b/ HTTP/1.1", "Host:", "", "")],
    ["absolute target in HTTP/1.0 without Host", "9112 3.2.2", "GET http://b/ HTTP/1.0\r\n\r\n", [""], true],
    ["OPTIONS * in HTTP/1.0", "9112 3.2.4", line("OPTIONS * HTTP/1.0"), [""], true],
    ["OPTIONS with a body", "9110 9.3.7", withFields(["Content-Length: 1"], "a", "OPTIONS"), ["a"]],
    [
      "length of 16 digits with zeros before it",
      "9110 8.6",
      withFields(["Content-Length: 0000000000000001"], "a"),
      ["a"],
    ],
    [
      "length of 1 in HTTP/1.0 with keep-alive",
      "9112 9.3",
      withFields(["Content-Length: 1", "Connection: keep-alive"], "a", "POST", "1.0") + SMALL,
      ["a", ""],
    ],
    ["chunk size of 13 digits", "9112 7.1", chunkedRequest(`0000000000003\r\nabc\r\n${LAST}`), ["abc"]],
    ["last chunk of 13 zeros", "9112 7.1", chunkedRequest("0000000000000\r\n\r\n")],
    [
      "chunks of one byte",
      "9112 7.1",
      chunkedRequest(`${"1\r\nx\r\n".repeat(100)}${LAST}`),
      ["x".repeat(100)],
    ],
    [
      "chunk of 65,536 bytes",
      "9112 7.1",
      chunkedRequest(`10000\r\n${"x".repeat(65_536)}\r\n${LAST}`),
      ["x".repeat(65_536)],
    ],
    ["chunk that is CR LF", "9112 7.1", chunkedRequest(`2\r\n\r\n\r\n${LAST}`), ["\r\n"]],
    ["chunk that ends in CR", "9112 7.1", chunkedRequest(`2\r\na\r\r\n${LAST}`), ["a\r"]],
    [
      "extensions of 4,096 bytes in all",
      "9112 7.1.1",
      chunkedRequest(`1;${"a".repeat(4094)}\r\nx\r\n${LAST}`),
      ["x"],
    ],
    ["50 trailers", "9112 7.1.2", chunkedRequest(`0\r\n${"A: b\r\n".repeat(50)}\r\n`)],
    ["trailers of 8,192 bytes", "9112 7.1.2", chunkedRequest(`0\r\nA: ${"b".repeat(8192 - 7)}\r\n\r\n`)],
    [
      "body after 'Expect' in the same read",
      "9110 10.1.1",
      withFields(["Expect: 100-continue", "Content-Length: 1"], "a", "PUT") + SMALL,
      ["a", ""],
    ],
    ["a chunked message, CR LF, another", "9112 2.2", `${chunkedRequest(LAST)}\r\n${SMALL}`, ["", ""]],
    ["trailers, then another request", "9112 7.1.2", chunkedRequest("0\r\nA: b\r\n\r\n") + SMALL, ["", ""]],
    [
      "chunked after chunked",
      "9112 9.3.2",
      chunkedRequest(`1\r\na\r\n${LAST}`) + chunkedRequest(`1\r\nb\r\n${LAST}`),
      ["a", "b"],
    ],
    ["HEAD, then GET", "9112 9.3.2", line("HEAD / HTTP/1.1") + SMALL, ["", ""]],
    ["HTTP/1.1, then HTTP/1.0", "9112 9.3", SMALL + line("GET / HTTP/1.0"), ["", ""], true],
    [
      "a close in the second of three",
      "9112 9.6",
      SMALL + withFields(["Connection: close"]) + SMALL,
      ["", ""],
      true,
    ],
    ["empty lines between every request", "9112 2.2", `\r\n${SMALL}`.repeat(4), ["", "", "", ""]],
  ] as AcceptedRow[]
).map(acceptedRow);

const REFUSED: RefusedRow[] = [
  ["head of 16,385 bytes", "9110 5.4", "head_too_large", headOf(16_385), BOUND],
  [
    "target of 8,193 bytes that does not end",
    "9112 3",
    "url_too_long",
    `GET /${"a".repeat(8192)}`,
    "the bound of a URL",
  ],
  ["method that does not end", "9112 3", "method_unknown", "A".repeat(40)],
  ["port 65536", "3986 3.2.3", "bad_host", host("a:65536"), "not a port"],
  ["port of six zeros", "3986 3.2.3", "bad_host", host("a:000000"), "not a port"],
  ["IPv6 literal that is empty", "3986 3.2.2", "bad_host", host("[]"), "not an address"],
  ["IPv6 literal twice", "3986 3.2.2", "bad_host", host("[::1][::2]"), "not an address"],
  ["IPv6 literal with a port of letters", "3986 3.2.3", "bad_host", host("[::1]:a"), "not a port"],
  [
    "33 Connection options over two fields",
    "9110 7.6.1",
    "bad_header",
    withFields([`Connection: ${Array(32).fill("a").join(",")}`, "Connection: b"]),
    "each names a field to look for",
  ],
  [
    "Connection option with a no-break space",
    "9110 5.6.1",
    "bad_header",
    withFields(["Connection: \xa0close"]),
    "no blank, and not a token",
  ],
  [
    "coding with a no-break space",
    "9112 6.1",
    "transfer_coding",
    withFields(["Transfer-Encoding: \xa0, chunked"], LAST),
    "no blank, and no coding that is known",
  ],
  [
    "expectation, then another",
    "9110 10.1.1",
    "expectation_failed",
    withFields(["Expect: 100-continue", "Expect: x"]),
    "answered with 417",
  ],
  [
    "TRACE with a length",
    "9110 9.3.8",
    "bad_framing",
    withFields(["Content-Length: 1"], "a", "TRACE"),
    "TRACE has no content",
  ],
  [
    "TRACE with chunks",
    "9110 9.3.8",
    "bad_framing",
    withFields(["Transfer-Encoding: chunked"], LAST, "TRACE"),
    "TRACE has no content",
  ],
  [
    "OPTIONS of an authority with a bad port",
    "3986 3.2.3",
    "bad_request_line",
    line("OPTIONS http://a:b HTTP/1.1"),
    "not a port",
  ],
  [
    "absolute target with a space in its authority",
    "9112 3.2",
    "bad_request_line",
    line("GET http://a b/ HTTP/1.1"),
  ],
  ["absolute target with one slash", "3986 3", "bad_request_line", line("GET http:/a/b HTTP/1.1")],
  ["absolute target without slashes", "3986 3", "bad_request_line", line("GET http:a HTTP/1.1")],
  ["two asterisks", "9112 3.2.4", "bad_request_line", line("OPTIONS ** HTTP/1.1"), "neither '*' nor a path"],
  [
    "asterisk and a query",
    "9112 3.2.4",
    "bad_request_line",
    line("OPTIONS *?a HTTP/1.1"),
    "neither '*' nor a path",
  ],
  ["HTTP/1.1 without its last digit", "9112 2.3", "bad_request_line", line("GET / HTTP/1.")],
  ["HTTP/11.1", "9112 2.3", "bad_request_line", line("GET / HTTP/11.1")],
  ["HTTP/a.b", "9112 2.3", "bad_request_line", line("GET / HTTP/a.b")],
  ["HTTP/-1.1", "9112 2.3", "bad_request_line", line("GET / HTTP/-1.1")],
  ["two requests on one line", "9112 3", "bad_request_line", line("GET / HTTP/1.1 GET / HTTP/1.1")],
  [
    "extensions of 4,097 bytes in all",
    "9112 7.1.1",
    "bad_chunk",
    chunkedRequest(`1;${"a".repeat(4096)}\r\nx\r\n${LAST}`),
    "the bound of extensions",
  ],
  [
    "trailers of 8,193 bytes",
    "9112 7.1.2",
    "bad_chunk",
    chunkedRequest(`0\r\nA: ${"b".repeat(8193 - 7)}\r\n\r\n`),
    "the bound of trailers",
  ],
  [
    "chunk size of 14 digits that do not end",
    "9112 7.1",
    "bad_chunk",
    chunkedRequest("00000000000001"),
    "the bound of digits",
  ],
  [
    "length, coding, length",
    "9112 6.3",
    "bad_framing",
    withFields(["Content-Length: 1", "Transfer-Encoding: chunked", "Content-Length: 1"], LAST),
  ],
  [
    "coding in HTTP/1.0 with keep-alive",
    "9112 6.1",
    "bad_framing",
    withFields(["Transfer-Encoding: chunked", "Connection: keep-alive"], LAST, "POST", "1.0"),
    "HTTP/1.0 has no transfer codings",
  ],
];

const SECOND: RefusedRow[] = [
  [
    "two empty lines between requests",
    "9112 2.2",
    "bad_request_line",
    `${SMALL}\r\n\r\n${SMALL}`,
    "one is robustness, more is padding",
  ],
  ["a body of a request that declared none", "9112 6.3", "bad_request_line", `${SMALL}\x01`],
  ["a space before the second request", "9112 3", "bad_request_line", `${SMALL} ${SMALL}`],
  [
    "a second request without Host",
    "9112 3.2",
    "bad_host",
    `${SMALL}GET / HTTP/1.1\r\n\r\n`,
    "Node checks Host above its parser",
  ],
  [
    "a second request that is a tunnel",
    "9110 9.3.6",
    "method_refused",
    `${SMALL}${line("CONNECT a:1 HTTP/1.1")}`,
    "a gateway is no tunnel",
  ],
  ["chunks that break after a sound message", "9112 7.1", "bad_chunk", SMALL + chunkedRequest("x\r\n")],
  [
    "a length that does not match the second message",
    "9112 6.3",
    "bad_framing",
    SMALL + withFields(["Content-Length: 1, 1"], "a"),
  ],
  [
    "a bare LF between requests",
    "9112 2.2",
    "bad_request_line",
    `${SMALL}\n${SMALL}`,
    "only CR LF may come before a request",
  ],
  ["a NUL after a chunked message", "9112 7.1", "bad_request_line", `${chunkedRequest(LAST)}\0`],
];

export const REFUSED_BOUNDS = [
  ...REFUSED.map((row) => refusedRow(row)),
  ...SECOND.map((row) => refusedRow(row, 1)),
];
