/**
 * How long a data thread that hangs or dies is missed: ms from its last instruction to the line of the log that
 * says that it is lost, and to the one that says that another serves in its place. Medians, then every value.
 *
 *     node bench/threads.ts [rounds]
 */
import { loadavg } from "node:os";
import { ready, startInspected } from "../test/gateway/inspected.ts";
import { evaluateInThread, inspectorUrl } from "../test/gateway/inspector.ts";

/** The thread's last instruction but one tells when: straight to the descriptor, as it will never turn again. */
const TELL = "process.getBuiltinModule('node:fs').writeSync(2, 'struck at ' + Date.now() + '\\n')";
const DOWNFALLS = {
  "endless loop": `setTimeout(() => { ${TELL}; for (;;); }, Math.random() * 200), 0`,
  "blocked in the kernel": `setTimeout(() => { ${TELL}; Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); }, Math.random() * 200), 0`,
  "uncaught error": `setTimeout(() => { ${TELL}; throw new Error("out of the blue"); }, Math.random() * 200), 0`,
};

const rounds = Number(process.argv[2] ?? 5);
const config = {
  _format_version: "3.0",
  services: [{ name: "s", url: "http://127.0.0.1:1", routes: [{ name: "r", paths: ["/"] }] }],
};

await using gateway = await startInspected(config);
console.log(`load of the machine: ${loadavg()[0]?.toFixed(1)}`);
for (const [name, expression] of Object.entries(DOWNFALLS)) {
  const found: number[] = [];
  const replaced: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await ready(gateway);
    // A thread that is lost in its first second is replaced after a pause.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const from = gateway.logs.length;
    await evaluateInThread(inspectorUrl(gateway.output()), "data-0", expression);
    const isNew = (line: unknown) => gateway.logs.indexOf(line as never) >= from;
    const lost = await gateway.log((line) => isNew(line) && line.reason !== undefined);
    const taken = await gateway.log((line) => isNew(line) && /has taken the place/.test(String(line.msg)));
    const struck = Number([...gateway.output().matchAll(/^struck at (\d+)$/gm)].at(-1)?.[1]);
    found.push(Date.parse(String(lost.time)) - struck);
    replaced.push(Date.parse(String(taken.time)) - struck);
  }
  console.log(`${name}: found ${summary(found)}; replaced ${summary(replaced)}`);
}

function summary(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  return `${sorted[sorted.length >> 1]} (${sorted.join(" ")})`;
}
