/** Forms of a refusal, by what the client accepts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { errorReply, type Headers } from "@gatehouse/sdk";
import { HeaderList } from "../../src/http1/headers.ts";

const ID = "0123456789abcdef0123456789abcdef";
const JSON_START = '{\n  "message":"no <b>",\n  "request_id":"';

function request(fields: Record<string, string>): { id: string; headers: Headers } {
  const headers = new HeaderList();
  for (const [name, value] of Object.entries(fields)) headers.add(name, value);
  return { id: ID, headers };
}

const FORMS: readonly [accept: string | undefined, type: string][] = [
  [undefined, "application/json"],
  ["*/*", "application/json"],
  ["application/*", "application/json"],
  ["image/png", "application/json"],
  ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"],
  ["application/xml", "application/xml"],
  ["text/xml", "application/xml"],
  ["text/plain;q=0.5, application/json;q=0.4", "text/plain"],
  ["text/plain;q=0, application/json;q=0.1", "application/json"],
  ["TEXT/PLAIN", "text/plain"],
];

describe("errorReply", () => {
  for (const [accept, type] of FORMS) {
    it(`Accept: ${accept ?? "(none)"} is answered with ${type}`, () => {
      const reply = errorReply(request(accept === undefined ? {} : { Accept: accept }), 401, "no <b>", {
        A: "b",
      });
      assert.equal(reply.status, 401);
      assert.deepEqual(reply.headers, [
        ["Content-Type", `${type}; charset=utf-8`],
        ["A", "b"],
      ]);
      const body = String(reply.body);
      assert.ok(body.includes(ID));
      if (type === "application/json") assert.ok(body.startsWith(JSON_START), body);
      if (/html|xml/.test(type)) assert.ok(body.includes("no &lt;b&gt;") && !body.includes("<b>"));
    });
  }

  it("a gRPC client gets its status in the headers", () => {
    const reply = errorReply(request({ "Content-Type": "application/grpc+proto" }), 429, "50% ü");
    assert.equal(reply.status, 200);
    assert.deepEqual(reply.headers, [
      ["grpc-status", "14"],
      ["grpc-message", "50%25 %C3%BC"],
    ]);
  });
});
