/**
 * A few seconds of fuzzing the HTTP/1.1 codec with fixed seeds; `node test/fuzz/http1-long.ts` goes on for as long
 * as it is told to.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fuzzGrammar, fuzzMutations } from "./http1-fuzz.ts";

const SEED = 20_260_101;
const STREAMS = 12_000;

for (const side of ["request", "response"] as const)
  describe(`${side}s that nobody thought of are refused or framed as Node's strict parser frames them`, () => {
    it(`${STREAMS} changed messages of the corpus`, async () => {
      assert.equal(await fuzzMutations(side, SEED, STREAMS), null);
    });

    it(`${STREAMS} messages made from the grammar`, async () => {
      assert.equal(await fuzzGrammar(side, SEED, STREAMS), null);
    });
  });
