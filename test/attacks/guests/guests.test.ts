/**
 * Every hostile guest of attacks.ts in a real gateway, with a neighbour in another workspace that is called all
 * the while. Asserted for each: a well-formed answer, a failure of the right kind in metric and log, nothing
 * through to the upstream, no failed call of the neighbour, the gateway's process alive, memory under the cap,
 * and the same plugin's next good call.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Answer } from "../../support/client.ts";
import { Arena } from "./arena.ts";
import { ATTACKS, type Attack } from "./attacks.ts";

const TIMES = 2;
const MAX_RSS = 256 * 1024 * 1024;
/** What a guest can allocate between two looks at its memory. */
const OVERSHOOT = 96 * 1024 * 1024;

let arena: Arena;

before(async () => {
  arena = await Arena.open(ATTACKS);
});

after(() => arena[Symbol.asyncDispose]());

for (const attack of ATTACKS.filter(({ kinds }) => kinds !== "upload"))
  test(`${attack.runtime}: ${attack.name} harms nobody but its own request`, async () => {
    const { shots, failures, lines, next, reached, alive, peakBytes, neighbour } = await arena.run(
      attack,
      TIMES,
    );
    if (attack.kinds.length === 0) {
      for (const { answer } of shots) assert.deepEqual([answer.status, answer.json()], [200, []]);
      assert.deepEqual(failures, {});
    } else {
      for (const { answer } of shots) assertErrorAnswer(answer);
      assertCounted(attack, failures);
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
  });

function assertErrorAnswer(answer: Answer): void {
  assert.equal(answer.status, 500, answer.body);
  assert.match(String(answer.header("content-type")), /^application\/json/);
  const requestId = answer.header("x-kong-request-id");
  assert.match(String(requestId), /^[0-9a-f]{32}$/);
  assert.deepEqual(answer.json(), { message: "An unexpected error occurred", request_id: requestId });
}

function assertCounted({ kinds }: Attack, failures: Readonly<Record<string, number>>): void {
  for (const kind of Object.keys(failures))
    assert.ok((kinds as readonly string[]).includes(kind), `counted were ${JSON.stringify(failures)}`);
  const counted = Object.values(failures).reduce((sum, count) => sum + count, 0);
  assert.equal(counted, TIMES, `counted were ${JSON.stringify(failures)}`);
}
