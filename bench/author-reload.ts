/**
 * How long an author waits: from the save of a source to the first answer of the new version, with `gatehouse plugin dev` as
 * it is. Each save changes what the plugin writes into a header, and requests follow each other until one shows it.
 *
 *     node bench/author-reload.ts [saves]      writes bench/results/author-reload.md
 *
 * The machine should have nothing else to do; what the kernel says of its load stands with the figures.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { request } from "undici";
import { markdownTable } from "../src/cli/markdown-table.ts";

const ROOT = join(import.meta.dirname, "..");
const MAIN = join(ROOT, "src/main.ts");
const SAVES = Number(process.argv[2] ?? 15);
/** Saves before those that count: the first ones pay for a compiler that is loaded. */
const WARMING = 3;
const BETWEEN_MS = 300;

const SUBJECTS = [
  { lang: "ts", shown: "TypeScript", file: "plugin.ts", target: 300 },
  { lang: "as", shown: "AssemblyScript", file: "assembly/index.ts", target: 2000 },
] as const;

interface Line {
  readonly kind: string;
  readonly proxy?: string;
  readonly ms?: number;
  readonly reasons?: readonly string[];
}

async function measure({ lang, file }: (typeof SUBJECTS)[number]) {
  const home = await mkdtemp(join(tmpdir(), "gatehouse-bench-"));
  const dir = join(home, "subject");
  const made = spawn(process.execPath, [MAIN, "plugin", "new", "subject", "--lang", lang, "--dir", dir]);
  await once(made, "exit");
  const source = join(dir, file);
  const template = (await readFile(source, "utf8")).replaceAll("X-Greeting", "X-Greeting-0");
  await writeFile(source, template);
  const dev = spawn(process.execPath, [MAIN, "plugin", "dev", dir, "--port", "0", "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const loaded: number[] = [];
  let proxy = "";
  const up = Promise.withResolvers<void>();
  createInterface({ input: dev.stdout }).on("line", (text) => {
    const line = JSON.parse(text) as Line;
    if (line.proxy !== undefined) proxy = line.proxy;
    if (line.kind === "failed") up.reject(new Error(line.reasons?.join("\n")));
    if (line.kind !== "loaded") return;
    loaded.push(line.ms ?? 0);
    up.resolve();
  });
  await up.promise;
  const answers: number[] = [];
  for (let save = 1; save <= WARMING + SAVES; save++) {
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
    const began = performance.now();
    await writeFile(source, template.replaceAll("X-Greeting-0", `X-Greeting-${save}`));
    for (;;) {
      const { headers, body } = await request(`${proxy}/`);
      await body.dump();
      if (headers[`x-greeting-${save}`] !== undefined) break;
    }
    if (save > WARMING) answers.push(performance.now() - began);
  }
  dev.kill("SIGINT");
  await once(dev, "exit");
  await rm(home, { recursive: true, force: true });
  return { answers, inForce: loaded.slice(-SAVES) };
}

const sorted = (values: readonly number[]) => values.toSorted((a, b) => a - b);
const at = (values: readonly number[], share: number) =>
  Math.round(sorted(values)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0);

const rows: string[][] = [];
const raw: string[] = [];
for (const subject of SUBJECTS) {
  const { answers, inForce } = await measure(subject);
  rows.push([
    subject.shown,
    `${at(answers, 0.5)} ms`,
    `${at(answers, 1)} ms`,
    `${at(inForce, 0.5)} ms`,
    `${subject.target} ms`,
  ]);
  raw.push(`${subject.shown}: ${answers.map(Math.round).join(" ")}`);
}
const text = `# How long an author waits

From a save to the first answer of the new version, with \`gatehouse plugin dev\`: \`node bench/author-reload.ts ${SAVES}\`,
${SAVES} saves of each template after ${WARMING} others. ${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), load
${loadavg()[0]?.toFixed(1)} at the end, ${new Date().toISOString().slice(0, 10)}.

${markdownTable(["source", "median", "longest", "in force, as `dev` tells it", "to be below"], rows)}
Each save, in ms:

${raw.map((line) => `    ${line}`).join("\n")}
`;
await writeFile(join(ROOT, "bench/results/author-reload.md"), text);
console.log(text);
