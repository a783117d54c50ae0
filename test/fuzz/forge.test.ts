/**
 * Some seconds of fuzzing the forge with fixed seeds; `node test/fuzz/forge-long.ts` goes on for as long as it is
 * told to.
 */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { faultOf, fuzzForge, type Seedling, seedlings } from "./forge-fuzz.ts";

const SEED = 20_260_704;
/** Checked bytes of one guest: large ones are tried less often. */
const BYTES = 60 << 20;
const MOST = 3000;
/** Of languages that a machine may lack. */
const TOOLCHAIN_GUESTS = ["ip-allow-list", "request-signature", "security-headers"];

describe("guests with changed bytes get a verdict each, and what is admitted is valid, metered and limited", () => {
  let all: Seedling[];
  before(async () => {
    all = await seedlings();
  });

  const names = [
    "answering",
    "everything",
    "claims-to-headers",
    "graphql-depth",
    "header-stamp",
    "path-guard",
  ];
  for (const name of [...names, ...TOOLCHAIN_GUESTS])
    it(name, async () => {
      const seedling = all.find((one) => one.name === name);
      assert.ok(seedling, `${name} could not be built here`);
      assert.equal(await faultOf(seedling.bytes, seedling.phases), "admitted");
      const times = Math.min(MOST, Math.ceil(BYTES / seedling.bytes.length));
      const admitted = await fuzzForge(seedling, SEED, times);
      assert.equal(typeof admitted, "number", String(admitted));
      assert.ok(Number(admitted) > 0 || times < 100, "some changes are harmless and must pass");
      // The forge is as good as new afterwards.
      assert.equal(await faultOf(seedling.bytes, seedling.phases), "admitted");
    });

  it("covers every guest that could be built", () => {
    assert.deepEqual(
      all.map(({ name }) => name).filter((name) => !names.includes(name)),
      TOOLCHAIN_GUESTS,
    );
  });
});
