/** A second or two of what taken-over cordons may write, with fixed seeds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzzCordons } from "./cordon-frames.ts";

const CORDONS = 150;

for (const seed of [1, 20_260_704])
  test(`whatever ${CORDONS} cordons write (seed ${seed}), every call comes to one end, and the thread goes on`, async () => {
    const { calls, good, failed, condemned } = await fuzzCordons(seed, CORDONS);
    assert.equal(good + failed, calls);
    assert.ok(good > 0 && failed > 0, `${good} good and ${failed} failed calls`);
    assert.ok(condemned > 0 && condemned < CORDONS, `${condemned} were found out`);
  });
