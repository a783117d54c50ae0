/** The JSON between the gateway and an Extism guest, in and out. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Phase } from "@gatehouse/sdk";
import type { Verdict } from "../../../src/sandbox/protocol/engine.ts";
import { parseOutput, renderInput } from "../../../src/sandbox/wasm/exchange.ts";
import { hookCall, LIMITS } from "./guests.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("a guest's input", () => {
  it("holds the request, the config and the vars of an access call", () => {
    const call = hookCall("access", {
      vars: { tier: "gold" },
      consumer: { id: "c1", username: "ann", custom_id: "7" },
    });
    call.request.body = bytes("hi");
    assert.deepEqual(JSON.parse(renderInput(call, '{"limit":5}')), {
      v: 1,
      phase: "access",
      id: "0123456789abcdef0123456789abcdef",
      config: { limit: 5 },
      request: {
        method: "GET",
        scheme: "http",
        host: "example.org",
        path: "/admin/users",
        query: "a=1",
        client_ip: "192.0.2.7",
        headers: [["Accept", "*/*"]],
        body: "aGk=",
      },
      consumer: { id: "c1", username: "ann" },
      vars: { tier: "gold" },
    });
  });

  it("holds the response and the chunk where there is one", () => {
    const input = JSON.parse(renderInput(hookCall("body_filter"), "{}")) as Record<string, unknown>;
    assert.deepEqual(input.response, { status: 200, headers: [["Content-Type", "text/plain"]] });
    assert.deepEqual(input.chunk, { data: "Y2h1bms=", last: false });
  });
});

describe("a guest's answer", () => {
  const good: [what: string, phase: Phase, json: string, verdict: Verdict][] = [
    ["nothing", "log", "", {}],
    ["an empty object", "log", "{}", {}],
    [
      "header edits in their order",
      "access",
      '{"request":{"headers":[["set","A","1"],["remove","b"],["add","A","2"]],"method":"PUT","path":"/x","query":""}}',
      {
        request: {
          headers: [
            ["set", "A", "1"],
            ["remove", "b"],
            ["add", "A", "2"],
          ],
          method: "PUT",
          path: "/x",
          query: "",
        },
      },
    ],
    [
      "a reply",
      "rewrite",
      '{"reply":{"status":418,"headers":[["X","y"]],"body":"aGk="}}',
      { reply: { status: 418, headers: [["X", "y"]], body: bytes("hi") } },
    ],
    [
      "a reply without body",
      "response",
      '{"reply":{"status":204}}',
      { reply: { status: 204, headers: [], body: bytes("") } },
    ],
    [
      "a new body",
      "response",
      '{"response":{"status":201,"body":"aGk="}}',
      { response: { status: 201, body: bytes("hi") } },
    ],
    ["a chunk", "body_filter", '{"chunk":""}', { chunk: bytes("") }],
    ["vars", "header_filter", '{"vars":{"a":[1],"b":null}}', { vars: { a: [1], b: null } }],
  ];
  for (const [what, phase, json, verdict] of good) {
    it(`may be ${what} in ${phase}`, () => {
      assert.deepEqual(parseOutput(bytes(json), phase, LIMITS), verdict);
    });
  }

  const bad: [what: string, phase: Phase, json: string, message: RegExp][] = [
    ["is no JSON", "access", "{", /not JSON/],
    ["is a list", "access", "[]", /must be an object/],
    ["is null", "access", "null", /must be an object/],
    ["has an unknown key", "access", '{"requests":{}}', /"requests" is no key of an answer/],
    [
      "has an unknown key in an edit",
      "access",
      '{"request":{"host":"evil"}}',
      /"request.host" is not allowed/,
    ],
    [
      "edits the response in access",
      "access",
      '{"response":{"status":200}}',
      /"response" is not allowed in access/,
    ],
    [
      "edits the request in header_filter",
      "header_filter",
      '{"request":{}}',
      /"request" is not allowed in header_filter/,
    ],
    [
      "replaces the body in header_filter",
      "header_filter",
      '{"response":{"body":""}}',
      /"response.body" is not allowed/,
    ],
    ["replies in header_filter", "header_filter", '{"reply":{"status":200}}', /"reply" is not allowed/],
    ["replies in body_filter", "body_filter", '{"reply":{"status":200}}', /"reply" is not allowed/],
    ["sends a chunk in access", "access", '{"chunk":""}', /"chunk" is not allowed/],
    ["edits anything in log", "log", '{"vars":{}}', /"vars" is not allowed in log/],
    ["sets a status on a request", "access", '{"request":{"status":200}}', /"request.status" is not allowed/],
    ["has a status that is text", "access", '{"reply":{"status":"200"}}', /must be an integer/],
    ["has a fractional status", "access", '{"reply":{"status":200.5}}', /must be an integer/],
    ["replies without status", "access", '{"reply":{}}', /"reply.status" is missing/],
    [
      "has an unknown key in a reply",
      "access",
      '{"reply":{"status":200,"reason":"x"}}',
      /"reply.reason" is no key/,
    ],
    [
      "has an unknown header edit",
      "access",
      '{"request":{"headers":[["append","A","1"]]}}',
      /is no header edit/,
    ],
    [
      "has a header edit without value",
      "access",
      '{"request":{"headers":[["set","A"]]}}',
      /is no header edit/,
    ],
    [
      "removes a header with a value",
      "access",
      '{"request":{"headers":[["remove","A","1"]]}}',
      /is no header edit/,
    ],
    [
      "has a header value that is a number",
      "access",
      '{"request":{"headers":[["set","A",1]]}}',
      /must hold strings/,
    ],
    ["has headers as an object", "access", '{"request":{"headers":{"A":"1"}}}', /must be a list/],
    ["has a body that is not base64", "access", '{"request":{"body":"%%"}}', /is not base64/],
    ["has a body that is an object", "access", '{"request":{"body":{}}}', /must be a base64 string/],
    ["sets a var named __proto__", "access", '{"vars":{"__proto__":{"polluted":1}}}', /not a name/],
    [
      "nests a var without end",
      "access",
      `{"vars":{"a":${"[".repeat(30_000)}${"]".repeat(30_000)}}}`,
      /nested deeper than 32 levels/,
    ],
    [
      "has too many headers",
      "access",
      JSON.stringify({ request: { headers: Array(11).fill(["set", "a", "b"]) } }),
      /one header too many/,
    ],
    [
      "has too large headers",
      "access",
      JSON.stringify({ request: { headers: [["set", "a", "x".repeat(4096)]] } }),
      /bytes of headers/,
    ],
    [
      "has a too large body",
      "access",
      JSON.stringify({ request: { body: "A".repeat(87_384) } }),
      /bytes that an answer may carry/,
    ],
    [
      "has too large vars",
      "access",
      JSON.stringify({ vars: { a: "x".repeat(70_000) } }),
      /bytes that an answer may carry/,
    ],
    ["is too large as a whole", "access", `{"vars":{}}${" ".repeat(300_000)}`, /bytes; at most/],
  ];
  for (const [what, phase, json, message] of bad) {
    it(`that ${what} is a violation`, () => {
      assert.throws(() => parseOutput(bytes(json), phase, LIMITS), { failure: "violation", message });
    });
  }

  it("that is not UTF-8 is a violation", () => {
    assert.throws(() => parseOutput(Uint8Array.of(0x22, 0xff, 0x22), "access", LIMITS), {
      failure: "violation",
    });
  });
});
