/**
 * Every message of the corpus: what the codec makes of it, what Node's strict parser makes of it, and that it
 * does not matter in which pieces it arrives.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { disagreement, same, show } from "./compare.ts";
import { ACCEPTED_REQUESTS } from "./corpus/accepted-requests.ts";
import { REFUSED_FRAMING } from "./corpus/refused-framing.ts";
import { REFUSED_HEADS } from "./corpus/refused-heads.ts";
import { ACCEPTED_RESPONSES, REFUSED_RESPONSES } from "./corpus/responses.ts";
import { cut, everyByte, type Reading, readRequests, readResponse } from "./harness.ts";
import { nodeRequests, nodeResponses } from "./oracle.ts";
import { Random } from "./random.ts";

const NEXT = "GET /next HTTP/1.1\r\nHost: n\r\n\r\n";
/** Two-piece splits tried for one message; short messages are split everywhere. */
const MAX_SPLITS = 600;
const THREE_PIECES = 40;

const REFUSED_REQUESTS = [...REFUSED_HEADS, ...REFUSED_FRAMING];

const latin1 = (text: string) => Buffer.from(text, "latin1");
const bodies = (reading: Reading) => reading.messages.map((message) => message.body);

/** The same bytes in two pieces, in three, and one by one must read the same as at once. */
function assertIndifferentToPieces(bytes: Buffer, read: (pieces: Buffer[]) => Reading) {
  const whole = read([bytes]);
  const check = (pieces: Buffer[]) => {
    const reading = read(pieces);
    if (same(reading, whole)) return;
    const sizes = pieces.length > 3 ? "single bytes" : pieces.map((piece) => piece.length).join(" + ");
    assert.fail(`as ${sizes}: ${show(reading)}\nat once: ${show(whole)}`);
  };
  const step = Math.max(1, Math.ceil(bytes.length / MAX_SPLITS));
  for (let at = 1; at < bytes.length; at += step) check(cut(bytes, at));
  const random = new Random(bytes.length);
  for (let i = 0; i < THREE_PIECES; i++) {
    const first = 1 + random.below(bytes.length);
    check(cut(bytes, first, first + random.below(bytes.length - first + 1)));
  }
  check(everyByte(bytes));
}

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
      assertIndifferentToPieces(latin1(bytes), readRequests);
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
      assertIndifferentToPieces(latin1(bytes), read);
    });
});
