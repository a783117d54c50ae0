/** Requests that are sound, however odd, and the bodies that they carry. */
import { type AcceptedRequests, chunkedRequest, lines, withFields } from "./cases.ts";

type Row = readonly [name: string, rule: string, bytes: string, bodies?: readonly string[], closes?: true];

const line = (start: string) => lines(start, "Host: a.example", "", "");
const host = (value: string) => lines("GET / HTTP/1.1", `Host: ${value}`, "", "");
const SMALL = line("GET / HTTP/1.1");

const REQUEST_LINES: Row[] = [
  ["GET", "9112 3", SMALL],
  ["HEAD", "9110 9.3.2", line("HEAD / HTTP/1.1")],
  ["POST without a body", "9112 6.3", line("POST / HTTP/1.1")],
  ["PUT without a body", "9112 6.3", line("PUT / HTTP/1.1")],
  ["DELETE", "9110 9.3.5", line("DELETE /a/1 HTTP/1.1")],
  ["PATCH", "5789 2", line("PATCH /a HTTP/1.1")],
  ["OPTIONS with a path", "9110 9.3.7", line("OPTIONS /a HTTP/1.1")],
  ["OPTIONS *", "9112 3.2.4", line("OPTIONS * HTTP/1.1")],
  ["TRACE", "9110 9.3.8", line("TRACE / HTTP/1.1")],
  ["a WebDAV method", "4918 9.1", line("PROPFIND /a HTTP/1.1")],
  ["a method with a hyphen", "9110 9.1", line("M-SEARCH /a HTTP/1.1")],
  ["query", "9112 3.2.1", line("GET /a?b=c&d HTTP/1.1")],
  ["empty query", "9112 3.2.1", line("GET /a? HTTP/1.1")],
  ["two question marks", "3986 3.4", line("GET /a?b?c HTTP/1.1")],
  ["double slash", "3986 3.3", line("GET //a//b HTTP/1.1")],
  ["dot segments stay as they are", "3986 5.2.4", line("GET /a/../b/./c HTTP/1.1")],
  ["percent-encoding stays as it is", "3986 2.1", line("GET /%2e%2E/%00%zz HTTP/1.1")],
  ["path with a colon and an at sign", "3986 3.3", line("GET /a:b@c HTTP/1.1")],
  ["path with characters that URIs exclude", "3986 2", line('GET /a|b^c`{}"<>\\ HTTP/1.1')],
  ["long path", "9112 3", line(`GET /${"a".repeat(4000)} HTTP/1.1`)],
  ["absolute target", "9112 3.2.2", line("GET http://b.example/c?d HTTP/1.1")],
  ["absolute target without a path", "9112 3.2.2", line("GET http://b.example HTTP/1.1")],
  ["absolute target with a query only", "9112 3.2.2", line("GET http://b.example?c HTTP/1.1")],
  ["OPTIONS of an authority alone", "9112 3.2.4", line("OPTIONS http://b.example HTTP/1.1")],
  ["OPTIONS of an authority with a query", "9112 3.2.4", line("OPTIONS http://b.example?c HTTP/1.1")],
  ["absolute target with a port", "9112 3.2.2", line("GET http://b.example:8080/c HTTP/1.1")],
  ["absolute target with https", "9112 3.2.2", line("GET https://b.example/c HTTP/1.1")],
  ["absolute target in capitals", "3986 3.1", line("GET HTTP://B.EXAMPLE/c HTTP/1.1")],
  ["absolute target with an IPv6 literal", "3986 3.2.2", line("GET http://[::1]:80/c HTTP/1.1")],
  ["empty line before the request", "9112 2.2", `\r\n${SMALL}`],
  ["empty line between requests", "9112 2.2", `${SMALL}\r\n${SMALL}`, ["", ""]],
  ["HTTP/1.0", "9112 9.3", line("GET / HTTP/1.0"), [""], true],
  ["HTTP/1.0 without Host", "9112 3.2", "GET / HTTP/1.0\r\n\r\n", [""], true],
  ["HTTP/1.0 with a body", "9112 6.3", withFields(["Content-Length: 2"], "ab", "POST", "1.0"), ["ab"], true],
  [
    "HTTP/1.0 that keeps the connection",
    "9112 9.3",
    withFields(["Connection: keep-alive"], "", "GET", "1.0") + SMALL,
    ["", ""],
  ],
];

const HOSTS: Row[] = [
  ["Host with a port", "9110 7.2", host("a.example:8080")],
  ["Host with an empty port", "3986 3.2.3", host("a.example:")],
  ["empty Host", "9112 3.2", host("")],
  ["Host of white space", "9112 5.1", host("  ")],
  ["Host that is an IPv4 address", "3986 3.2.2", host("127.0.0.1:80")],
  ["Host that is an IPv6 literal", "3986 3.2.2", host("[2001:db8::1]")],
  ["Host that is an IPv6 literal with a port", "3986 3.2.2", host("[::1]:8080")],
  ["Host with an IPv4 part in its IPv6 literal", "3986 3.2.2", host("[::ffff:127.0.0.1]")],
  ["Host in capitals", "3986 3.2.2", host("A.EXAMPLE")],
  ["Host with a trailing dot", "3986 3.2.2", host("a.example.")],
  ["Host with an underscore", "3986 3.2.2", host("a_b.example")],
  ["Host with percent-encoding", "3986 3.2.2", host("a%20b")],
  ["Host as the last field", "9112 3.2", lines("GET / HTTP/1.1", "A: b", "Host: a", "", "")],
  ["Host in small letters", "9110 5.1", lines("GET / HTTP/1.1", "host: a", "", "")],
  ["Host without a space", "9112 5", lines("GET / HTTP/1.1", "Host:a", "", "")],
];

const FIELDS: Row[] = [
  ["empty value", "9110 5.5", withFields(["A:"])],
  ["value of white space", "9112 5.1", withFields(["A: \t "])],
  ["white space around a value", "9112 5.1", withFields(["A: \t b c \t "])],
  ["tab in a value", "9110 5.5", withFields(["A: b\tc"])],
  ["bytes above 127 in a value", "9110 5.5", withFields(["A: \x80\xff\u00e9"])],
  ["colons in a value", "9112 5", withFields(["A: :b:c:"])],
  ["every token character in a name", "9110 5.6.2", withFields(["!#$%&'*+-.^_`|~09azAZ: b"])],
  ["name of one character", "9110 5.6.2", withFields(["_: b"])],
  ["repeated field", "9110 5.3", withFields(["A: 1", "a: 2", "A: 3"])],
  ["name like an Object property", "9110 5.1", withFields(["__proto__: a", "constructor: b", "toString: c"])],
  ["100 fields", "9110 5.4", withFields(Array.from({ length: 99 }, (_, i) => `A${i}: ${i}`))],
  ["value of 8,000 bytes", "9110 5.4", withFields([`A: ${"b".repeat(8000)}`])],
  ["quoted string", "9110 5.6.4", withFields(['A: "b, \\"c\\""'])],
  [
    "Expect: 100-continue",
    "9110 10.1.1",
    withFields(["Expect: 100-continue", "Content-Length: 1"], "a"),
    ["a"],
  ],
  ["Expect in capitals", "9110 10.1.1", withFields(["Expect: 100-CONTINUE"])],
  ["Upgrade", "9110 7.8", withFields(["Connection: Upgrade", "Upgrade: h2c"]) + SMALL, ["", ""]],
  ["TE", "9110 10.1.4", withFields(["Connection: TE", "TE: trailers"])],
  ["Trailer without trailers", "9110 6.6.2", withFields(["Trailer: a"])],
  ["Cookie", "6265 4.2", withFields(["Cookie: a=b; c=d", "Cookie: e=f"])],
];

const CONNECTIONS: Row[] = [
  ["Connection: close", "9112 9.6", withFields(["Connection: close"]), [""], true],
  ["Connection: Close", "9112 9.6", withFields(["Connection: Close"]), [""], true],
  ["close among other options", "9112 9.6", withFields(["Connection: x, close , y"]), [""], true],
  ["close in the second field", "9112 9.6", withFields(["Connection: x", "Connection: close"]), [""], true],
  ["close beside keep-alive", "9112 9.3", withFields(["Connection: keep-alive, close"]), [""], true],
  [
    "what follows a close is not read",
    "9112 9.6",
    `${withFields(["Connection: close"])}\0nonsense`,
    [""],
    true,
  ],
  ["Connection: keep-alive", "9112 9.3", withFields(["Connection: keep-alive"])],
  ["Connection that names Host", "9110 7.6.1", withFields(["Connection: host"])],
  [
    "Connection that names Content-Length",
    "9110 7.6.1",
    withFields(["Connection: content-length", "Content-Length: 1"], "a", "POST"),
    ["a"],
  ],
  [
    "Connection that names Transfer-Encoding",
    "9110 7.6.1",
    withFields(
      ["Connection: transfer-encoding", "Transfer-Encoding: chunked"],
      "1\r\na\r\n0\r\n\r\n",
      "POST",
    ),
    ["a"],
  ],
  ["empty Connection", "9110 5.6.1", withFields(["Connection:"])],
  ["empty elements in Connection", "9110 5.6.1", withFields(["Connection: ,, x ,"])],
  ["Proxy-Connection means nothing", "9112 C.2.2", withFields(["Proxy-Connection: close"])],
];

const LENGTHS: Row[] = [
  ["body", "9112 6.2", withFields(["Content-Length: 3"], "abc", "POST"), ["abc"]],
  ["empty body", "9112 6.2", withFields(["Content-Length: 0"], "", "POST")],
  ["body of a GET", "9110 9.3.1", withFields(["Content-Length: 3"], "abc"), ["abc"]],
  ["body of a HEAD", "9110 9.3.2", withFields(["Content-Length: 3"], "abc", "HEAD"), ["abc"]],
  ["length with leading zeros", "9110 8.6", withFields(["Content-Length: 003"], "abc", "POST"), ["abc"]],
  [
    "length with white space around it",
    "9112 5.1",
    withFields(["Content-Length: \t3 "], "abc", "POST"),
    ["abc"],
  ],
  ["length in small letters", "9110 5.1", withFields(["content-length: 3"], "abc", "POST"), ["abc"]],
  ["body of NULs", "9112 6", withFields(["Content-Length: 3"], "\0\0\0", "POST"), ["\0\0\0"]],
  [
    "body that looks like a request",
    "9112 6",
    withFields([`Content-Length: ${SMALL.length}`], SMALL + SMALL, "POST"),
    [SMALL, ""],
  ],
  [
    "CL.0: the body of a GET is not the next request",
    "9112 6.3",
    withFields([`Content-Length: ${SMALL.length}`], SMALL),
    [SMALL],
  ],
  [
    "body that ends in CR LF",
    "9112 2.2",
    withFields(["Content-Length: 3"], "a\r\n", "POST") + SMALL,
    ["a\r\n", ""],
  ],
  [
    "surplus CR LF after a body",
    "9112 2.2",
    `${withFields(["Content-Length: 1"], "a", "POST")}\r\n${SMALL}`,
    ["a", ""],
  ],
  [
    "body of 10,000 bytes",
    "9112 6.2",
    withFields(["Content-Length: 10000"], "x".repeat(10000)),
    ["x".repeat(10000)],
  ],
];

const CHUNKS: Row[] = [
  ["chunks", "9112 7.1", chunkedRequest("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), ["abcde"]],
  ["no chunk but the last", "9112 7.1", chunkedRequest("0\r\n\r\n")],
  ["size in small letters", "9112 7.1", chunkedRequest("a\r\n0123456789\r\n0\r\n\r\n"), ["0123456789"]],
  ["size in capitals", "9112 7.1", chunkedRequest("A\r\n0123456789\r\n0\r\n\r\n"), ["0123456789"]],
  ["size with leading zeros", "9112 7.1", chunkedRequest("0003\r\nabc\r\n0\r\n\r\n"), ["abc"]],
  ["last chunk of several zeros", "9112 7.1", chunkedRequest("3\r\nabc\r\n000\r\n\r\n"), ["abc"]],
  ["chunk that looks like the end", "9112 7.1", chunkedRequest("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), ["0\r\n\r\n"]],
  ["coding in capitals", "9112 7", withFields(["Transfer-Encoding: CHUNKED"], "1\r\na\r\n0\r\n\r\n"), ["a"]],
  ["coding after several spaces", "9112 5.1", withFields(["Transfer-Encoding:   chunked"], "0\r\n\r\n")],
  ["coding after no space", "9112 5.1", withFields(["Transfer-Encoding:chunked"], "0\r\n\r\n")],
  ["extension", "9112 7.1.1", chunkedRequest("1;a\r\nx\r\n0\r\n\r\n"), ["x"]],
  ["extension with a value", "9112 7.1.1", chunkedRequest("1;a=b\r\nx\r\n0\r\n\r\n"), ["x"]],
  ["quoted extension", "9112 7.1.1", chunkedRequest('1;a="b c;d"\r\nx\r\n0\r\n\r\n'), ["x"]],
  ["quoted extension with escapes", "9112 7.1.1", chunkedRequest('1;a="b\\"c"\r\nx\r\n0\r\n\r\n'), ["x"]],
  ["several extensions", "9112 7.1.1", chunkedRequest('1;a;b=c;d="e";f\r\nx\r\n0;g\r\n\r\n'), ["x"]],
  [
    "extensions of 4,000 bytes",
    "9112 7.1.1",
    chunkedRequest(`1;${"a".repeat(4000)}\r\nx\r\n0\r\n\r\n`),
    ["x"],
  ],
  ["trailer", "9112 7.1.2", chunkedRequest("1\r\nx\r\n0\r\nA: b\r\n\r\n"), ["x"]],
  ["trailers", "9112 7.1.2", chunkedRequest("1\r\nx\r\n0\r\nA: b\r\nc:d\r\nA:\r\n\r\n"), ["x"]],
  [
    "trailers that name framing change nothing",
    "9110 6.5.1",
    chunkedRequest("1\r\nx\r\n0\r\nHost: b\r\nConnection: close\r\nExpect: z\r\n\r\n") + SMALL,
    ["x", ""],
  ],
  ["chunked, then another request", "9112 7.1", chunkedRequest("1\r\nx\r\n0\r\n\r\n") + SMALL, ["x", ""]],
  ["chunked GET", "9110 9.3.1", withFields(["Transfer-Encoding: chunked"], "1\r\nx\r\n0\r\n\r\n"), ["x"]],
];

const PIPELINES: Row[] = [
  ["three requests", "9112 9.3.2", SMALL.repeat(3), ["", "", ""]],
  [
    "requests with and without bodies",
    "9112 9.3.2",
    withFields(["Content-Length: 2"], "ab", "POST") + SMALL + chunkedRequest("1\r\nc\r\n0\r\n\r\n") + SMALL,
    ["ab", "", "c", ""],
  ],
  ["fifty requests", "9112 9.3.2", SMALL.repeat(50), Array.from({ length: 50 }, () => "")],
];

export const ACCEPTED_REQUESTS: AcceptedRequests[] = [
  ...REQUEST_LINES,
  ...HOSTS,
  ...FIELDS,
  ...CONNECTIONS,
  ...LENGTHS,
  ...CHUNKS,
  ...PIPELINES,
].map(([name, rule, bytes, bodies = [""], closes]) => ({ name, rule, bytes, bodies, closes }));
