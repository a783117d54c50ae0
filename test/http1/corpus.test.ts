/**
 * Every message of the corpus: what the codec makes of it, what Node's strict parser makes of it, and that it
 * does not matter in which pieces it arrives.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { disagreement, show } from "./compare.ts";
import {
  ACCEPTED_REQUESTS,
  ACCEPTED_RESPONSES,
  REFUSED_REQUESTS,
  REFUSED_RESPONSES,
} from "./corpus/corpus.ts";
import { type Reading, readRequests, readResponse, settled } from "./harness.ts";
import { nodeRequests, nodeResponses } from "./oracle.ts";
import { dependsOnSplit } from "./splits.ts";

const NEXT = "GET /next HTTP/1.1\r\nHost: n\r\n\r\n";
const latin1 = (text: string) => Buffer.from(text, "latin1");
/** However it arrives, it reads the same. */
const assertIndifferentToPieces = (bytes: Buffer, read: (pieces: Buffer[]) => Reading) =>
  assert.equal(dependsOnSplit(bytes, read), null);
const bodies = (reading: Reading) => reading.messages.map((message) => message.body);

describe("a sound request is read", async () => {
  const alone = await nodeRequests(ACCEPTED_REQUESTS.map(({ bytes }) => latin1(bytes)));
  const followed = await nodeRequests(ACCEPTED_REQUESTS.map(({ bytes }) => latin1(bytes + NEXT)));
  for (const [i, { name, rule, bytes, bodies: expected, closes }] of ACCEPTED_REQUESTS.entries())
    it(`${name} (RFC ${rule})`, () => {
      const reading = readRequests([latin1(bytes)]);
      assert.equal(reading.end, closes ? "closed" : "open", show(reading));
      assert.deepEqual(bodies(reading), expected);
      assert.equal(disagreement(reading, alone[i]!), null);

      const more = readRequests([latin1(bytes + NEXT)]);
      assert.equal(
        more.messages.length,
        expected.length + (closes ? 0 : 1),
        "the next request starts right after",
      );
      assert.equal(disagreement(more, followed[i]!), null);
      assertIndifferentToPieces(latin1(bytes + NEXT), readRequests);
    });
});

describe("a request that could be misread is refused", async () => {
  const answers = await nodeRequests(REFUSED_REQUESTS.map(({ bytes }) => latin1(bytes)));
  for (const [i, { name, rule, bytes, code, after, stricter }] of REFUSED_REQUESTS.entries())
    it(`${name} (RFC ${rule})`, () => {
      const reading = readRequests([latin1(bytes)]);
      assert.deepEqual([reading.end, reading.code], ["refused", code], show(reading));
      assert.equal(reading.messages.length, after);
      const node = answers[i]!;
      assert.equal(disagreement(reading, node), null);
      const nodeRefuses = node.end === "refused" && node.messages.length <= after;
      assert.equal(nodeRefuses, stricter === undefined, `Node: ${node.end} ${node.reason}`);
      // A fault in a line that has not ended may show only with its end.
      assertIndifferentToPieces(latin1(bytes + NEXT), readRequests);
    });
});

describe("a sound response is read", async () => {
  const answers = await nodeResponses(
    ACCEPTED_RESPONSES.map(({ bytes, method }) => ({ bytes: latin1(bytes), method })),
  );
  for (const [i, { name, rule, bytes, body, method, informed = [] }] of ACCEPTED_RESPONSES.entries())
    it(`${name} (RFC ${rule})`, () => {
      const read = (pieces: Buffer[]) => readResponse(pieces, method);
      const reading = read([latin1(bytes)]);
      assert.equal(reading.end, "closed", show(reading));
      const statuses = reading.messages.map((message) => Number.parseInt(message.line, 10));
      assert.deepEqual(statuses.slice(0, -1), informed);
      assert.equal(reading.messages.at(-1)?.body, body);
      assert.equal(disagreement(reading, answers[i]!), null);
      assertIndifferentToPieces(latin1(bytes), read);
    });
});

describe("a response that could be misread is refused, one that is cut short is not complete", async () => {
  const answers = await nodeResponses(
    REFUSED_RESPONSES.map(({ bytes, method }) => ({ bytes: latin1(bytes), method })),
  );
  for (const [i, { name, rule, bytes, method, end, stricter }] of REFUSED_RESPONSES.entries())
    it(`${name} (RFC ${rule})`, () => {
      const read = (pieces: Buffer[]) => readResponse(pieces, method);
      const reading = read([latin1(bytes)]);
      assert.equal(reading.end, end, show(reading));
      const node = answers[i]!;
      assert.equal(disagreement(reading, node), null);
      if (end === "refused")
        assert.equal(node.end === "refused", stricter === undefined, `Node: ${node.end} ${node.reason}`);
      assertIndifferentToPieces(latin1(bytes), (pieces) => settled(read(pieces)));
    });
});

it("no message stands in the corpus twice: 500 requests and 300 responses are that many", () => {
  for (const [least, messages] of [
    [500, [...ACCEPTED_REQUESTS, ...REFUSED_REQUESTS]],
    [300, [...ACCEPTED_RESPONSES, ...REFUSED_RESPONSES]],
  ] as const) {
    const distinct = new Set(
      messages.map((message) => `${"method" in message ? message.method : ""} ${message.bytes}`),
    );
    assert.equal(distinct.size, messages.length);
    assert.ok(distinct.size >= least);
  }
});
