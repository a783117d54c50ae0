/** Replies of plugins: their form, and the statuses that cannot end an exchange. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { errorReply, reply } from "@gatehouse/sdk";
import { HeaderList } from "../../src/http1/headers.ts";

describe("reply", () => {
  it("an object becomes JSON with its content type; text and bytes stay as they are", () => {
    assert.deepEqual(reply(200, { ok: true }, { "X-A": "1" }), {
      kind: "reply",
      status: 200,
      headers: [
        ["Content-Type", "application/json; charset=utf-8"],
        ["X-A", "1"],
      ],
      body: '{"ok":true}',
    });
    assert.deepEqual(reply(599, "text"), { kind: "reply", status: 599, headers: [], body: "text" });
    assert.deepEqual(reply(204), { kind: "reply", status: 204, headers: [], body: "" });
  });

  for (const status of [0, 99, 100, 101, 103, 199, 600, 200.5, Number.NaN]) {
    it(`the status ${status} is refused, in a refusal's form too`, () => {
      const said = { name: "RangeError", message: /between 200 and 599/ };
      assert.throws(() => reply(status), said);
      const request = { id: "0123456789abcdef0123456789abcdef", headers: new HeaderList() };
      assert.throws(() => errorReply(request, status, "no"), said);
    });
  }
});
