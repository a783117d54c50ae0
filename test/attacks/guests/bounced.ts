/** What every hostile guest must leave behind. */
import assert from "node:assert/strict";
import type { Answer } from "../../support/client.ts";
import type { Outcome } from "./arena.ts";
import type { Attack } from "./attacks.ts";

const MAX_RSS = 256 * 1024 * 1024;
/** What a guest can allocate between two looks at its memory. */
const OVERSHOOT = 96 * 1024 * 1024;

/**
 * Asserts that an attack came to nothing: well-formed answers, failures of the right kind in metric and log, nothing
 * through to the upstream, no failed call of the neighbour, the gateway's process alive, memory under the cap, and the
 * same plugin's next good call.
 */
export function assertBounced(attack: Attack, outcome: Outcome): void {
  const { shots, failures, lines, next, reached, alive, peakBytes, neighbour } = outcome;
  if (attack.kinds.length === 0) {
    for (const { answer } of shots) assert.deepEqual([answer.status, answer.body], [200, "[]"]);
    assert.deepEqual(failures, {});
  } else {
    for (const { answer } of shots) assertErrorAnswer(answer);
    assertCounted(attack, failures, shots.length);
    const line = lines.find(({ kind }) => (attack.kinds as readonly unknown[]).includes(kind));
    assert.equal(line?.plugin, "hostile", JSON.stringify(lines));
    assert.equal(line.phase, "access");
    assert.match(String(line.request_id), /^[0-9a-f]{32}$/);
  }
  assert.equal(reached, 0, "no attack has reached the upstream");
  assert.equal(next.status, 200, "the next good call works");
  const { headers } = next.json() as { headers: [string, string][] };
  assert.ok(headers.some(([name, value]) => name.toLowerCase() === "x-good" && value === "yes"));
  assert.deepEqual(neighbour.bad, []);
  assert.ok(neighbour.latencies.length > 0);
  assert.ok(peakBytes < MAX_RSS + OVERSHOOT, `${peakBytes} bytes`);
  assert.ok(alive, "the gateway is the process that was started");
}

function assertErrorAnswer(answer: Answer): void {
  assert.equal(answer.status, 500, answer.body);
  assert.match(String(answer.header("content-type")), /^application\/json/);
  const requestId = answer.header("x-kong-request-id");
  assert.match(String(requestId), /^[0-9a-f]{32}$/);
  assert.deepEqual(answer.json(), { message: "An unexpected error occurred", request_id: requestId });
}

function assertCounted(attack: Attack, failures: Readonly<Record<string, number>>, times: number): void {
  for (const kind of Object.keys(failures))
    assert.ok((attack.kinds as readonly string[]).includes(kind), `counted were ${JSON.stringify(failures)}`);
  const counted = Object.values(failures).reduce((sum, count) => sum + count, 0);
  assert.equal(counted, times, `counted were ${JSON.stringify(failures)}`);
}
