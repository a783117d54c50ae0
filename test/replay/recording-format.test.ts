/** The format of exported recordings: what is written is read again, and anything else is refused by its field. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BadRecording,
  type KeptRecording,
  readRecording,
  recordingJson,
} from "../../src/replay/recording.ts";

const RECORDING: KeptRecording = {
  id: "019aab12-0000-7000-8000-000000000001",
  at: 1_700_000_000_000,
  route: { id: "r", name: null },
  service: { id: "s", name: "orders", host: "a" },
  consumer: { id: "c", username: "ann", custom_id: null },
  request: {
    method: "POST",
    scheme: "https",
    host: "a",
    port: 443,
    path: "/",
    query: "a=1",
    clientIp: "192.0.2.1",
    headers: [["X-A", "1"]],
    body: { bytes: new Uint8Array([1, 2, 3]), length: null },
  },
  response: { status: 200, headers: [], body: null },
};

test("a recording that is written as a line is read as it was", () => {
  assert.deepEqual(readRecording(JSON.stringify(recordingJson(RECORDING))), RECORDING);
  const bare = { ...RECORDING, route: null, service: null, consumer: null, response: null };
  assert.deepEqual(readRecording(JSON.parse(JSON.stringify(recordingJson(bare)))), bare);
});

for (const [what, change, message] of [
  ["another format", { recording: 2 }, "recording: 1 is the one format that is known"],
  ["no request", { request: null }, "request: no object"],
  ["a time that is none", { recorded_at: "then" }, "recorded_at: no time"],
  ["a status of text", { response: { status: "200" } }, "response.status: no whole number"],
  ["headers that are an object", { response: { status: 200, headers: {} } }, /response\.headers: no list/],
  [
    "a header without a value",
    { response: { status: 200, headers: [["a"]] } },
    "response.headers[0]: no pair of name and value",
  ],
  [
    "a body that is no base64",
    { response: { status: 200, headers: [], body: "?", body_bytes: 1 } },
    "response.body: no base64",
  ],
  [
    "a body that is longer than it was",
    { response: { status: 200, headers: [], body: "AAAA", body_bytes: 1 } },
    /response\.body_bytes: less than/,
  ],
] as const)
  test(`a recording with ${what} is refused`, () => {
    const value = { ...recordingJson(RECORDING), ...change };
    assert.throws(
      () => readRecording(value),
      (error) => {
        assert.ok(error instanceof BadRecording);
        if (typeof message === "string") assert.equal(error.message, message);
        else assert.match(error.message, message);
        return true;
      },
    );
  });

test("a line that is no JSON is refused", () => {
  assert.throws(() => readRecording("{"), /it is no JSON/);
});
