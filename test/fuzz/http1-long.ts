/**
 * Fuzzes the HTTP/1.1 codec against Node's strict parser for as long as it is told to:
 *
 *     npm exec -- node test/fuzz/http1-long.ts --streams 1000000 --seed 7
 *
 * Without --streams it goes on until it is stopped. Exits with 1 at the first disagreement, and prints the seed
 * that finds it again, the bytes, and what both parsers made of them.
 */
import { parseArgs } from "node:util";
import { fuzzGrammar, fuzzMutations } from "./http1-fuzz.ts";

const { values } = parseArgs({
  options: { streams: { type: "string", default: "Infinity" }, seed: { type: "string" } },
});
const streams = Number(values.streams);
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
if (!(streams > 0) || !Number.isInteger(seed)) {
  process.stderr.write("--streams takes a number above 0, --seed an integer\n");
  process.exit(2);
}

const ROUND = 20_000;
const started = performance.now();
let done = 0;
for (let round = seed; done < streams; round = (round + ROUND) % 2 ** 31) {
  for (const side of ["request", "response"] as const)
    for (const fuzz of [fuzzMutations, fuzzGrammar]) {
      const count = Math.min(ROUND / 4, streams - done);
      const fault = await fuzz(side, round, count);
      if (fault !== null) {
        process.stdout.write(`${fault}\nafter ${done} streams from seed ${seed}\n`);
        process.exit(1);
      }
      done += count;
    }
  const seconds = (performance.now() - started) / 1000;
  process.stdout.write(`${done} streams, ${Math.round(done / seconds)}/s, no disagreement\n`);
}
