/**
 * Fuzzes the forge for as long as it is told to:
 *
 *     npm exec -- node test/fuzz/forge-long.ts --changes 1e5 --seed 7
 *     npm exec -- node test/fuzz/forge-long.ts --guest request-signature
 *
 * Without --changes it goes on until it is stopped. Exits with 1 at the first fault, and prints the guest and the
 * seed that find it again.
 */
import { readArguments, refuse } from "../../bench/arguments.ts";
import { fuzzForge, seedlings } from "./forge-fuzz.ts";

const USAGE = "npm exec -- node test/fuzz/forge-long.ts [--changes N] [--seed N] [--guest NAME]";
const values = readArguments(USAGE, {
  changes: { type: "string", default: "Infinity" },
  seed: { type: "string", default: "1" },
  guest: { type: "string" },
});
const changes = Number(values.changes);
let seed = Number(values.seed);
if (!(changes > 0) || !Number.isSafeInteger(seed))
  refuse("--changes takes a number above 0, --seed an integer");
const chosen = (await seedlings()).filter(({ name }) => values.guest === undefined || name === values.guest);
if (chosen.length === 0) refuse(`no guest is called '${values.guest}'`);

const BLOCK = 50;
let tried = 0;
let admitted = 0;
while (tried < changes) {
  for (const seedling of chosen) {
    const result = await fuzzForge(seedling, seed, BLOCK);
    if (typeof result === "string") {
      process.stdout.write(`${result}\n`);
      process.exit(1);
    }
    tried += BLOCK;
    admitted += result;
  }
  seed += BLOCK;
  process.stdout.write(`${tried} changes, ${admitted} admitted, the next seed is ${seed}\n`);
}
