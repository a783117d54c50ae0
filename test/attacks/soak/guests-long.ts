/**
 * A million calls of good and bad guests through a gateway, and what they leave behind:
 *
 *     npm exec -- node test/attacks/soak/guests-long.ts --calls 1e6
 *
 * Exits with 1 if memory of the gateway or of its cordons grows by more than --limit MiB from the second tenth of the
 * calls to the last one, if a descriptor, a process or a file is left, or if clients, ledger and metrics disagree.
 */
import { readArguments, refuse } from "../../../bench/arguments.ts";
import { soak } from "./guests-soak.ts";
import { faultsOf, growth, MIB } from "./judgement.ts";

const USAGE = `node test/attacks/soak/guests-long.ts [options]
  --calls N        how many (default 1e6)
  --clients N      at once (default 16)
  --kill-every N   calls between two cordons that are killed (default 5000)
  --limit N        MiB that either memory may grow by (default 64)`;

const values = readArguments(USAGE, {
  calls: { type: "string", default: "1e6" },
  clients: { type: "string", default: "16" },
  "kill-every": { type: "string", default: "5000" },
  limit: { type: "string", default: "64" },
});
for (const [name, value] of Object.entries(values))
  if (!(Number(value) >= 1)) refuse(`--${name} takes a number from 1 up`);

const report = await soak({
  calls: Number(values.calls),
  clients: Number(values.clients),
  killEvery: Number(values["kill-every"]),
});
const { seconds, kills, lostCordons, failures, sizes } = report;
const mib = (bytes: number) => `${(bytes / MIB).toFixed(0)} MiB`;
const { early, late } = growth(sizes);
process.stdout.write(
  `${values.calls} calls in ${seconds.toFixed(0)} s (${(Number(values.calls) / seconds).toFixed(0)} a second)\n` +
    `failures: ${JSON.stringify(failures)}; ${kills} cordons killed from outside, ${lostCordons} lost in all\n` +
    `gateway ${mib(early.gatewayBytes)} early, ${mib(late.gatewayBytes)} late; a cordon on average ` +
    `${mib(early.cordonBytes)} early (of ${early.cordons}), ${mib(late.cordonBytes)} late (of ${late.cordons})\n`,
);
const faults = faultsOf(report, Number(values.limit) * MIB);
for (const fault of faults) process.stdout.write(`FAULT ${fault}\n`);
process.stdout.write(faults.length === 0 ? "nothing is left behind\n" : `${faults.length} faults\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
