/**
 * Messages made from the grammar of RFC 9112, each part now and then replaced by one that is not quite in it.
 * Mutation finds what lies near the corpus; this finds combinations that no corpus has.
 */
import fc, { type Arbitrary } from "fast-check";
import { type Side, type Stream, stream } from "./http1-stream.ts";

/** `odd` one time in `1 / share`, `usual` otherwise. */
function mostly(usual: Arbitrary<string>, odd: Arbitrary<string>, share = 12): Arbitrary<string> {
  return fc.oneof({ weight: share, arbitrary: usual }, { weight: 1, arbitrary: odd });
}

const one = (...of: string[]) => fc.constantFrom(...of);
const upTo = (part: Arbitrary<string>, maxLength: number) =>
  fc.array(part, { maxLength }).map((parts) => parts.join(""));

const anyByte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
const tokenChar = one(..."!#$%&'*+-.^_`|~0189azAZ");
const token = fc.array(tokenChar, { minLength: 1, maxLength: 8 }).map((chars) => chars.join(""));
const eol = mostly(fc.constant("\r\n"), one("\n", "\r", "\r\r\n", "\n\r", "", "\r\n\r\n", " \r\n"), 150);
const space = mostly(fc.constant(" "), one("  ", "\t", "", "\r", "\x0b", "\xa0"), 60);
const blanks = upTo(one(" ", "\t"), 3);

const method = mostly(
  one("GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE"),
  one("get", "GE T", "", "PRI", "CONNECT", "X-Y"),
  30,
);
const pathChar = one(..."/abc.~%-_?&=:@!$'()*+,;\"<>\\^`{|}");
const target = mostly(
  upTo(pathChar, 10).map((path) => `/${path}`),
  one("*", "http://b/c", "http://b", "https://u@b/", "b:80", "", "/a#b", "/\xe9", "/a b", "HTTP://[::1]:1/?"),
);
const version = mostly(
  one("HTTP/1.1", "HTTP/1.1", "HTTP/1.0"),
  one("HTTP/1.2", "HTTP/0.9", "http/1.1", "HTTP/1.1 ", ""),
  30,
);

const valueChar = one(..."abc 09\t,;=\"'/()<>@\\:\x80\xff");
const value = mostly(upTo(valueChar, 12), upTo(anyByte, 6), 30);
const number = mostly(
  fc.nat({ max: 12 }).map(String),
  one("", "+1", "-1", "0x1", "1, 1", "007", "1 ", "99999999999999999999", "1e1"),
  8,
);
const coding = mostly(
  fc.constant("chunked"),
  one("Chunked", "gzip, chunked", "chunked, chunked", "identity", "", "chunked;a", "\x0bchunked", "xchunked"),
  8,
);
const options = one(
  "close",
  "keep-alive",
  "Keep-Alive, x",
  "close, x",
  "content-length",
  "transfer-encoding",
  "upgrade",
  ",",
  "a b",
);
const caseOf = (name: string) => one(name, name.toLowerCase(), name.toUpperCase());
const colon = mostly(one(":", ": "), one(" :", "\t: ", "", "::", ":\r\n ", ":\0"), 60);

const field = (name: Arbitrary<string>, content: Arbitrary<string>) =>
  fc.tuple(name, colon, blanks, content, blanks, eol).map((parts) => parts.join(""));

const plainField = field(mostly(token, one("", "A B", "\xe9", "A(", "\tA"), 60), value);
const knownField = fc.oneof(
  { weight: 3, arbitrary: field(caseOf("Content-Length"), number) },
  { weight: 3, arbitrary: field(caseOf("Transfer-Encoding"), coding) },
  { weight: 2, arbitrary: field(caseOf("Connection"), options) },
  { weight: 1, arbitrary: field(caseOf("Expect"), one("100-continue", "x")) },
  { weight: 1, arbitrary: field(caseOf("Upgrade"), one("h2c", "websocket")) },
  { weight: 1, arbitrary: field(caseOf("Trailer"), one("A", "Content-Length")) },
  { weight: 1, arbitrary: field(caseOf("Host"), one("", "b:80", "[::1]", "u@b", "a b")) },
);
const fields = fc
  .array(fc.oneof({ weight: 3, arbitrary: plainField }, { weight: 1, arbitrary: knownField }), {
    maxLength: 4,
  })
  .map((parts) => parts.join(""));

const extension = mostly(
  upTo(one(";a", ";a=b", ';a="b c"', ';a="\\""'), 2),
  one(";", ";=", ";a=", " ;a", ';a="\n"', ";\r", "; a=b", ';"a"'),
  15,
);
const chunk = fc
  .tuple(
    upTo(anyByte, 20),
    one("", "", "", "0", "00"),
    extension,
    mostly(fc.constant("0"), one("1", "-1"), 30).map(Number),
    eol,
    eol,
  )
  .map(([data, zeros, extra, lie, first, second]) => {
    const size = Math.max(0, data.length + lie).toString(16);
    return data === "" ? "" : `${zeros}${size}${extra}${first}${data}${second}`;
  });
const chunks = fc
  .tuple(
    upTo(chunk, 4),
    mostly(one("0", "00"), one("", "0x0", " 0", "0 "), 30),
    extension,
    eol,
    mostly(fc.constant(""), upTo(plainField, 3), 3),
    eol,
  )
  .map((parts) => parts.join(""));

/** Fields of framing and a body to match. */
const framed = fc.oneof(
  { weight: 3, arbitrary: fc.constant("\r\n") },
  {
    weight: 4,
    arbitrary: upTo(anyByte, 30).map((body) => `Content-Length: ${body.length}\r\n\r\n${body}`),
  },
  { weight: 5, arbitrary: chunks.map((body) => `Transfer-Encoding: chunked\r\n\r\n${body}`) },
  { weight: 1, arbitrary: fc.tuple(eol, upTo(anyByte, 10)).map((parts) => parts.join("")) },
);

const request = fc
  .tuple(
    one("", "", "", "", "\r\n"),
    method,
    space,
    target,
    space,
    version,
    eol,
    one("Host: a\r\n", "Host: a\r\n", "Host: a\r\n", ""),
    fields,
    framed,
  )
  .map((parts) => parts.join(""));

const status = mostly(
  one("200 OK", "404 Not Found", "204 X", "304 X", "206", "100 Continue", "103 X", "500 "),
  one("101 X", "99 X", "600 X", "20", "2000", "200\tX", "200 \0"),
  20,
);
const response = fc.tuple(version, space, status, eol, fields, framed).map((parts) => parts.join(""));

/** Connections of one to three messages. */
export function grammatical(side: Side): Arbitrary<Stream> {
  const message = side === "request" ? request : response;
  return fc
    .tuple(fc.array(message, { minLength: 1, maxLength: 3 }), one("GET", "GET", "GET", "HEAD"))
    .map(([messages, asked]) => stream(side, messages.join(""), asked));
}
