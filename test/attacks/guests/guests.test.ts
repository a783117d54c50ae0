/**
 * Every hostile guest of attacks.ts in a real gateway, with a neighbour in another workspace that is called all
 * the while. What is asserted for each stands in bounced.ts.
 */
import { after, before, test } from "node:test";
import { Arena } from "./arena.ts";
import { ATTACKS } from "./attacks.ts";
import { assertBounced } from "./bounced.ts";

const TIMES = 2;

let arena: Arena;

before(async () => {
  arena = await Arena.open(ATTACKS);
});

after(() => arena[Symbol.asyncDispose]());

for (const attack of ATTACKS.filter(({ kinds }) => kinds !== "upload"))
  test(`${attack.runtime}: ${attack.name} harms nobody but its own request`, async () => {
    assertBounced(attack, await arena.run(attack, TIMES));
  });
