/** Bare LF and bare CR: line ends for one recipient, characters for the other one (RFC 9112 section 2.2). */
import { describe, it } from "node:test";
import { request } from "../../support/between.ts";
import { Attack, SMUGGLED } from "./attack.ts";

const attack = new Attack();
const HOST = "Host: client.test\r\n";

describe("bare line ends", () => {
  for (const [name, end] of [
    ["LF", "\n"],
    ["CR", "\r"],
    ["LF CR", "\n\r"],
    ["CR CR LF", "\r\r\n"],
  ] as const) {
    for (const [where, bytes] of [
      ["after the request line", `GET / HTTP/1.1${end}${HOST}\r\n${SMUGGLED}`],
      ["after a field", `GET / HTTP/1.1\r\n${HOST}A: b${end}Content-Length: 5\r\n\r\n${SMUGGLED}`],
      ["in a value", request("GET", "/", [`A: b${end}X-Smuggled: 1`])],
      ["in a name", request("GET", "/", [`A${end}B: c`])],
      ["in the target", `GET /a${end}b HTTP/1.1\r\n${HOST}\r\n`],
      [
        "after a chunk size",
        request("POST", "/", ["Transfer-Encoding: chunked"], `1${end}a\r\n0\r\n\r\n${SMUGGLED}`),
      ],
      [
        "after chunk data",
        request("POST", "/", ["Transfer-Encoding: chunked"], `1\r\na${end}0\r\n\r\n${SMUGGLED}`),
      ],
      [
        "after the last chunk",
        request("POST", "/", ["Transfer-Encoding: chunked"], `0${end}\r\n${SMUGGLED}`),
      ],
      [
        "in a chunk extension",
        request("POST", "/", ["Transfer-Encoding: chunked"], `1;a${end}b\r\nx\r\n0\r\n\r\n${SMUGGLED}`),
      ],
      [
        "in a trailer",
        request("POST", "/", ["Transfer-Encoding: chunked"], `0\r\nA: b${end}C: d\r\n\r\n${SMUGGLED}`),
      ],
    ] as const)
      it(`${name} ${where} (400)`, () => attack.bounces(bytes, 400));
  }

  it("LF as the empty line before a body (400)", () =>
    attack.bounces(`POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\nabcde${SMUGGLED}`, 400));

  it("LF everywhere, as HTTP's elders allowed (400)", () =>
    attack.bounces(`GET / HTTP/1.1\nHost: client.test\n\n${SMUGGLED}`, 400));
});
