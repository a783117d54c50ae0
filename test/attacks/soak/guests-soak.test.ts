/** The soak, short: guests-long.ts goes on for as long as one likes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { soak } from "./guests-soak.ts";
import { faultsOf, MIB } from "./judgement.ts";

test("a thousand calls of good and bad guests, with cordons killed among them, leave nothing behind and add up", async () => {
  const report = await soak({ calls: 1000, clients: 8, killEvery: 200 });
  assert.deepEqual(faultsOf(report, 128 * MIB), []);
  assert.ok(report.kills > 0);
  for (const kind of ["throw", "trap", "fuel", "timeout"])
    assert.ok((report.failures[kind] ?? 0) > 0, JSON.stringify(report.failures));
});
