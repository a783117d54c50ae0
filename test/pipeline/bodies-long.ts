/**
 * Bodies as long as one likes through a gateway, both ways, and what its memory does meanwhile:
 *
 *     npm exec -- node test/pipeline/bodies-long.ts --gigabytes 10
 *
 * Every byte is checked on the far side. Exits with 1 if something else arrives, or if the memory grows by more than
 * --limit MiB (32) over what a warm gateway has without work.
 */
import { readArguments, refuse } from "../../bench/arguments.ts";
import { startGateway } from "../support/gateway.ts";
import { forgetPeak, memoryOf, type Stream, StreamOrigin, stream } from "./streams.ts";

const MIB = 1 << 20;
const WARM_BYTES = 256 * MIB;

const USAGE = `node test/pipeline/bodies-long.ts [options]
  --gigabytes N     length of each body (default 10)
  --limit N         MiB that the memory may grow by (default 32)
  --threads N       data threads (default 1)`;

const values = readArguments(USAGE, {
  gigabytes: { type: "string", default: "10" },
  limit: { type: "string", default: "32" },
  threads: { type: "string", default: "1" },
});
for (const name of ["gigabytes", "limit", "threads"] as const)
  if (!(Number(values[name]) > 0 && Number.isFinite(Number(values[name]))))
    refuse(`--${name} takes a number above 0`);
const bytes = Math.round(Number(values.gigabytes) * 1e9);
const limit = Number(values.limit) * MIB;

const STREAMS: readonly Stream[] = [
  { way: "down", framing: "length", restAfter: null },
  { way: "up", framing: "length", restAfter: null },
  { way: "down", framing: "chunked", restAfter: null },
  { way: "up", framing: "chunked", restAfter: null },
  { way: "down", framing: "close", restAfter: null },
];

const mib = (count: number) => `${(count / MIB).toFixed(1)} MiB`;

await using origin = await StreamOrigin.start();
await using gateway = await startGateway({
  config: {
    _format_version: "3.0",
    services: [{ name: "s", url: origin.url, routes: [{ name: "r", paths: ["/"], strip_path: false }] }],
  },
  settings: { data_threads: values.threads },
});
for (const each of STREAMS) await stream(gateway.ports.proxy, each, WARM_BYTES);
const idle = (await memoryOf(gateway.pid)).now;
process.stdout.write(`idle ${mib(idle)}\n`);
for (const each of STREAMS) {
  await forgetPeak(gateway.pid);
  const started = performance.now();
  const arrived = await stream(gateway.ports.proxy, each, bytes);
  const seconds = (performance.now() - started) / 1000;
  const { now, peak } = await memoryOf(gateway.pid);
  const growth = peak - idle;
  process.stdout.write(
    `${each.way} ${each.framing}: ${arrived} bytes in ${seconds.toFixed(1)} s, ${Math.round(arrived / seconds / 1e6)} MB/s, ` +
      `memory ${mib(now)}, peak ${mib(peak)}, ${mib(growth)} over idle\n`,
  );
  if (arrived !== bytes || growth > limit) process.exitCode = 1;
}
