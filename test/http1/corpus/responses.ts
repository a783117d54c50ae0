/**
 * Responses, sound and not. An upstream is trusted more than a client, but one that was broken into must not be
 * able to slip a response into another client's connection.
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

const status = (line: string) => lines(line, "Content-Length: 0", "", "");
const field = (text: string) => response([text, "Content-Length: 0"]);
const OK = response(["Content-Length: 2"], "ok");
const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
const HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
const HEAD = { method: "HEAD" };

const ACCEPTED: Accepted[] = [
  ["response", "9112 4", OK, "ok"],
  ["no body", "9112 6.3", response(["Content-Length: 0"]), ""],
  [
    "body of 100,000 bytes",
    "9112 6.2",
    response(["Content-Length: 100000"], "x".repeat(100_000)),
    "x".repeat(100_000),
  ],
  ["body that looks like a response", "9112 6.2", response([`Content-Length: ${OK.length}`], OK), OK],
  ["length with leading zeros", "9110 8.6", response(["Content-Length: 002"], "ok"), "ok"],
  ["status without a reason", "9112 4", status("HTTP/1.1 200 "), ""],
  ["status without a reason and its space", "9112 4", status("HTTP/1.1 200"), ""],
  ["reason of several words", "9112 4", status("HTTP/1.1 404 Not Found At All"), ""],
  ["reason with a tab", "9112 4", status("HTTP/1.1 200 A\tB"), ""],
  ["reason with bytes above 127", "9112 4", status("HTTP/1.1 200 D\xe9j\xe0"), ""],
  ["reason with a colon", "9112 4", status("HTTP/1.1 200 OK: fine"), ""],
  ["status 299", "9110 15", status("HTTP/1.1 299 X"), ""],
  ["status 418", "9110 15.5.19", status("HTTP/1.1 418 X"), ""],
  ["status 451", "7725 3", status("HTTP/1.1 451 X"), ""],
  ["status 599", "9110 15", status("HTTP/1.1 599 X"), ""],
  ["HTTP/1.0", "9112 9.3", response(["Content-Length: 2"], "ok", "200 OK", "1.0"), "ok"],
  ["HTTP/1.0 until the end", "9112 6.3", response([], "ok", "200 OK", "1.0"), "ok"],
  [
    "HTTP/1.0 that keeps the connection",
    "9112 9.3",
    response(["Connection: keep-alive", "Content-Length: 2"], "ok", "200 OK", "1.0"),
    "ok",
  ],
  ["body until the end", "9112 6.3", response([], "a\r\nb\0c"), "a\r\nb\0c"],
  ["empty body until the end", "9112 6.3", response([]), ""],
  [
    "body until the end beside Connection: keep-alive",
    "9112 6.3",
    response(["Connection: keep-alive"], "ok"),
    "ok",
  ],
  ["204", "9112 6.3", response([], "", "204 No Content"), ""],
  ["204 with a length", "9110 8.6", response(["Content-Length: 5"], "", "204 No Content"), ""],
  ["204 with a coding", "9112 6.1", response(["Transfer-Encoding: chunked"], "", "204 No Content"), ""],
  ["304 with a length", "9110 8.6", response(["Content-Length: 5"], "", "304 Not Modified"), ""],
  ["304 with a coding", "9112 6.1", response(["Transfer-Encoding: chunked"], "", "304 Not Modified"), ""],
  ["205 with a length", "9110 15.3.6", response(["Content-Length: 0"], "", "205 Reset Content"), ""],
  ["to HEAD with a length", "9110 8.6", response(["Content-Length: 5"]), "", HEAD],
  ["to HEAD with a coding", "9112 6.1", response(["Transfer-Encoding: chunked"]), "", HEAD],
  ["to HEAD without either", "9112 6.3", response([]), "", HEAD],
  ["to HEAD with 404", "9112 6.3", response(["Content-Length: 9"], "", "404 Not Found"), "", HEAD],
  ["100, then the answer", "9110 15.2", CONTINUE + OK, "ok", { informed: [100] }],
  ["103, then the answer", "8297 2", HINTS + OK, "ok", { informed: [103] }],
  [
    "102 and 103, then the answer",
    "9110 15.2",
    `HTTP/1.1 102 Processing\r\n\r\n${HINTS}${OK}`,
    "ok",
    { informed: [102, 103] },
  ],
  ["199, then the answer", "9110 15.2", `HTTP/1.1 199 X\r\n\r\n${OK}`, "ok", { informed: [199] }],
  [
    "1xx with a length has no body",
    "9110 8.6",
    `HTTP/1.1 103 X\r\nContent-Length: 3\r\n\r\n${OK}`,
    "ok",
    { informed: [103] },
  ],
  ["chunks", "9112 7.1", chunkedResponse("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), "abcde"],
  ["no chunk but the last", "9112 7.1", chunkedResponse("0\r\n\r\n"), ""],
  ["chunk size in capitals", "9112 7.1", chunkedResponse("A\r\n0123456789\r\n0\r\n\r\n"), "0123456789"],
  ["chunk size with leading zeros", "9112 7.1", chunkedResponse("00003\r\nabc\r\n0\r\n\r\n"), "abc"],
  ["chunk extension", "9112 7.1.1", chunkedResponse('3;a=b;c="d"\r\nabc\r\n0\r\n\r\n'), "abc"],
  ["trailers", "9112 7.1.2", chunkedResponse("3\r\nabc\r\n0\r\nDigest: x\r\nA:\r\n\r\n"), "abc"],
  ["coding in capitals", "9112 7", response(["Transfer-Encoding: Chunked"], "1\r\na\r\n0\r\n\r\n"), "a"],
  ["Connection: close", "9112 9.6", response(["Connection: close", "Content-Length: 2"], "ok"), "ok"],
  [
    "repeated Set-Cookie",
    "6265 3",
    response(["Set-Cookie: a=b", "Set-Cookie: c=d", "Content-Length: 0"]),
    "",
  ],
  ["empty value", "9110 5.5", field("A:"), ""],
  ["white space around a value", "9112 5.1", field("A: \t b \t"), ""],
  ["bytes above 127 in a value", "9110 5.5", field("A: \xe9"), ""],
  [
    "two Hosts mean nothing in a response",
    "9110 7.2",
    response(["Host: a", "Host: b", "Content-Length: 0"]),
    "",
  ],
  ["Expect means nothing in a response", "9110 10.1.1", field("Expect: x"), ""],
  ["what follows the response", "9112 9.2", OK + OK, "ok"],
  ["nonsense after the response", "9112 9.2", `${OK}\0\0`, "ok"],
  ["bytes after the last chunk", "9112 9.2", chunkedResponse("0\r\n\r\nsurplus"), ""],
];

const REFUSED: Refused[] = [
  ["nothing before the version", "9112 4", status(" HTTP/1.1 200 OK")],
  ["empty line before the response", "9112 2.2", `\r\n${OK}`, "the tolerance is for requests"],
  ["bare LF before the response", "9112 2.2", `\n${OK}`, "the tolerance is for requests"],
  ["version in small letters", "9112 2.3", status("http/1.1 200 OK")],
  ["HTTP/0.9", "9112 2.3", "hello, this is HTTP/0.9"],
  ["named HTTP/0.9", "9112 2.3", status("HTTP/0.9 200 OK"), "not a version that is spoken"],
  ["HTTP/1.2", "9112 2.3", status("HTTP/1.2 200 OK")],
  ["HTTP/2.0", "9112 2.3", status("HTTP/2.0 200 OK"), "not a version that this codec reads"],
  ["HTTP/2's settings", "9113 3.4", "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80"],
  ["ICY", "9112 2.3", status("ICY 200 OK")],
  ["another protocol", "9112 2.3", status("RTSP/1.0 200 OK"), "not a protocol that is spoken"],
  ["two spaces before the status", "9112 4", status("HTTP/1.1  200 OK")],
  ["tab before the status", "9112 4", status("HTTP/1.1\t200 OK")],
  ["status of two digits", "9112 4", status("HTTP/1.1 20 OK")],
  ["status of four digits", "9112 4", status("HTTP/1.1 2000 OK")],
  ["status with letters", "9112 4", status("HTTP/1.1 2xx OK")],
  ["negative status", "9112 4", status("HTTP/1.1 -20 OK")],
  ["status 000", "9110 15", status("HTTP/1.1 000 X"), "not a status"],
  ["status 099", "9110 15", status("HTTP/1.1 099 X"), "not a status"],
  ["status 600", "9110 15", status("HTTP/1.1 600 X"), "not a status"],
  ["status 999", "9110 15", status("HTTP/1.1 999 X"), "not a status"],
  ["no status", "9112 4", status("HTTP/1.1 ")],
  ["tab after the status", "9112 4", status("HTTP/1.1 200\tOK")],
  [
    "101 that nobody asked for",
    "9110 15.2.2",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
  ],
  ["NUL in the reason", "9112 4", status("HTTP/1.1 200 O\0K"), "not text"],
  ["escape in the reason", "9112 4", status("HTTP/1.1 200 \x1b[2J"), "not text"],
  ["bare CR in the reason", "9112 4", status("HTTP/1.1 200 O\rK")],
  ["bare LF after the status line", "9112 2.2", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"],
  ["bare LF everywhere", "9112 2.2", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
  ["two CR after the status line", "9112 2.2", "HTTP/1.1 200 OK\r\r\nContent-Length: 0\r\n\r\n"],
  ["bare LF in a value", "9112 2.2", field("A: b\nc: d")],
  ["bare CR in a value", "9112 2.2", field("A: b\rc")],
  ["bare LF as the empty line", "9112 2.2", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n"],
  ["NUL in a value", "9110 5.5", field("A: b\0")],
  ["DEL in a value", "9110 5.5", field("A: \x7f")],
  ["space before the colon", "9112 5.1", field("A : b")],
  ["space in a name", "9112 5.1", field("A b: c")],
  ["empty name", "9112 5", field(": a")],
  ["line without a colon", "9112 5", field("abc")],
  ["byte above 127 in a name", "9110 5.6.2", field("\xe9: b")],
  ["folded line", "9112 5.2", field("A: b\r\n c")],
  ["white space before the first field", "9112 2.2", lines("HTTP/1.1 200 OK", " A: b", "", "")],
  ["101 fields", "9110 5.4", response(Array.from({ length: 101 }, () => "A: b")), "the bound of fields"],
  ["head over its bound", "9110 5.4", field(`A: ${"b".repeat(16_384)}`), "the bound of a head"],
  ["reason that never ends", "9110 5.4", `HTTP/1.1 200 ${"b".repeat(20_000)}`, "the bound of a head"],
  ["two differing lengths", "9112 6.3", response(["Content-Length: 2", "Content-Length: 3"], "abc")],
  ["two equal lengths", "9112 6.3", response(["Content-Length: 2", "Content-Length: 2"], "ab")],
  ["list of equal lengths", "9110 8.6", response(["Content-Length: 2, 2"], "ab")],
  ["empty length", "9110 8.6", response(["Content-Length:"], "ab")],
  ["negative length", "9110 8.6", response(["Content-Length: -1"], "ab")],
  ["length with a plus sign", "9110 8.6", response(["Content-Length: +2"], "ab")],
  ["length in hexadecimal", "9110 8.6", response(["Content-Length: 0x2"], "ab")],
  ["length of 2^64", "9110 8.6", response(["Content-Length: 18446744073709551616"], "ab")],
  [
    "length of 2^53",
    "9110 8.6",
    response(["Content-Length: 9007199254740992"], "ab"),
    "not exact as a number",
  ],
  [
    "length beside a coding",
    "9112 6.1",
    response(["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
  ],
  [
    "coding beside a length",
    "9112 6.1",
    response(["Transfer-Encoding: chunked", "Content-Length: 5"], "0\r\n\r\n"),
  ],
  [
    "coding in HTTP/1.0",
    "9112 6.1",
    response(["Transfer-Encoding: chunked"], "0\r\n\r\n", "200 OK", "1.0"),
    "HTTP/1.0 has no transfer codings",
  ],
  [
    "coding twice",
    "9112 6.1",
    response(["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], "0\r\n\r\n"),
    "a coding is applied once",
  ],
  [
    "coding with a tab after it",
    "9112 6.1",
    response(["Transfer-Encoding: chunked\t"], "0\r\n\r\n"),
    "Node does not trim the tab and reads until the end",
  ],
  ["gzip", "9112 6.1", response(["Transfer-Encoding: gzip"], "x"), "only chunked is supported"],
  [
    "gzip, chunked",
    "9112 6.1",
    response(["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"),
    "only chunked is supported",
  ],
  [
    "chunked, gzip",
    "9112 6.1",
    response(["Transfer-Encoding: chunked, gzip"], "x"),
    "only chunked is supported",
  ],
  ["identity", "9112 7", response(["Transfer-Encoding: identity"], "x"), "only chunked is supported"],
  ["coding with a vertical tab", "9110 5.5", response(["Transfer-Encoding: \x0bchunked"], "0\r\n\r\n")],
  ["bad length to HEAD", "9110 8.6", response(["Content-Length: x"]), undefined, "HEAD"],
  ["chunk size with a prefix", "9112 7.1", chunkedResponse("0x1\r\na\r\n0\r\n\r\n")],
  ["chunk size with a sign", "9112 7.1", chunkedResponse("+1\r\na\r\n0\r\n\r\n")],
  ["space after a chunk size", "9112 7.1", chunkedResponse("1 \r\na\r\n0\r\n\r\n")],
  ["chunk size of 2^64", "9112 7.1", chunkedResponse("10000000000000000\r\na\r\n0\r\n\r\n")],
  ["bare LF after a chunk size", "9112 2.2", chunkedResponse("1\na\r\n0\r\n\r\n")],
  ["bare LF after chunk data", "9112 2.2", chunkedResponse("1\r\na\n0\r\n\r\n")],
  ["chunk data longer than its size", "9112 7.1", chunkedResponse("1\r\nab\r\n0\r\n\r\n")],
  ["folded trailer", "9112 7.1.2", chunkedResponse("0\r\nA: b\r\n c\r\n\r\n")],
  ["bare LF in a chunk extension", "9112 7.1.1", chunkedResponse("1;a\na\r\n0\r\n\r\n")],
];

/** Connections that end too early. What is missing must never be taken for an end. */
const PARTIAL: Refused[] = [
  ["nothing but a 100", "9110 15.2", CONTINUE],
  ["half a status line", "9112 8", "HTTP/1.1 200"],
  ["half a head", "9112 8", "HTTP/1.1 200 OK\r\nA: b\r\n"],
  ["half a body", "9112 8", response(["Content-Length: 3"], "ab")],
  ["no body at all", "9112 8", response(["Content-Length: 3"])],
  ["half a chunk", "9112 8", chunkedResponse("3\r\nab")],
  ["chunks without the last", "9112 8", chunkedResponse("3\r\nabc\r\n")],
  ["last chunk without the empty line", "9112 8", chunkedResponse("3\r\nabc\r\n0\r\n")],
  ["half a trailer section", "9112 8", chunkedResponse("0\r\nA: b\r\n")],
];

export const ACCEPTED_RESPONSES: AcceptedResponse[] = ACCEPTED.map(([name, rule, bytes, body, more]) => ({
  name,
  rule,
  bytes,
  body,
  ...more,
}));

export const REFUSED_RESPONSES: RefusedResponse[] = [
  ...REFUSED.map((row) => refused(row, "refused")),
  ...PARTIAL.map((row) => refused(row, "partial")),
];

function refused(
  [name, rule, bytes, stricter, method]: Refused,
  end: RefusedResponse["end"],
): RefusedResponse {
  return { name, rule, bytes, end, stricter, method };
}
