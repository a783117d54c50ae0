/**
 * What the registry costs with 1,000 plugins of ten versions each, in one workspace, on SQLite: to open it, to list and
 * search it as the Admin API does, to find what a name means, to publish one more and to move a channel.
 *
 *     node bench/registry.ts            prints the table
 *     node bench/registry.ts --write    and writes bench/results/registry.md
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { lineJson, matching, packageJson } from "../src/admin/package-view.ts";
import { pageOf } from "../src/admin/page.ts";
import type { AdminPort } from "../src/admin/port.ts";
import { markdownTable } from "../src/cli/markdown-table.ts";
import { EntityIndex } from "../src/entities/entity-index.ts";
import { pack } from "../src/registry/archive.ts";
import { moved, rowOfChannel } from "../src/registry/channels.ts";
import { checkManifest, type Manifest } from "../src/registry/manifest.ts";
import { digestOf } from "../src/registry/package.ts";
import { Registry } from "../src/registry/registry.ts";
import { rowOfPackage } from "../src/registry/stored-package.ts";
import { DEFAULT_LIMITS } from "../src/sandbox/limits.ts";
import { SqliteStore } from "../src/stores/sqlite/sqlite-store.ts";
import type { Edit } from "../src/stores/store.ts";

const PLUGINS = 1000;
const VERSIONS = 10;
const ROUNDS = 5;
const CALLS = 200;
const LINE = { workspace: "acme", workspaceId: "a" };

const manifestJson = (plugin: number, version: number) => ({
  manifest: 1,
  name: `plugin-${plugin}`,
  version: `1.${version}.0`,
  runtime: "isolate",
  entry: "plugin.js",
  phases: ["access", "header_filter"],
  schema: {
    fields: [
      { header: { type: "string", default: "x-stamp", description: "Name of the header to set." } },
      { values: { type: "array", elements: { type: "string", match: "^[a-z]+$" } } },
      { limit: { type: "integer", between: [0, 100], default: 10 } },
    ],
  },
  grants: { request_headers: ["*"], http_hosts: ["api.example.com"], log: true },
});

const directory = await mkdtemp(join(tmpdir(), "gatehouse-bench-registry-"));
const path = join(directory, "registry.db");
const open = async () =>
  Registry.open({
    dir: directory,
    store: await SqliteStore.open({ path }),
    forge: async ({ artifact }) => ({ ok: true, emitted: artifact, report: {} }),
    limitsOf: () => ({ ...DEFAULT_LIMITS, packages: 100_000 }),
    log: () => {},
  });

async function fill(): Promise<void> {
  const edits: Edit[] = [];
  for (let plugin = 0; plugin < PLUGINS; plugin++) {
    for (let version = 0; version < VERSIONS; version++) {
      const { manifest } = checkManifest(manifestJson(plugin, version));
      const id = digestOf(Buffer.from(`${plugin} ${version}`));
      const report = { bytes_in: 4096, bytes_out: 4096, imports: [], exports: ["default"], notes: [] };
      const stored = {
        id,
        emitted: id,
        report,
        bytes: 8192,
        createdAt: version,
        signatures: [],
        yanked: null,
      };
      edits.push({ put: rowOfPackage({ ...LINE, ...stored, manifest: manifest as Manifest }) });
    }
    const place = { ...LINE, name: `plugin-${plugin}`, channel: "stable" };
    edits.push({
      put: rowOfChannel(moved(undefined, place, { version: "1.8.0", at: 0, by: null, why: "" })),
    });
  }
  const store = await SqliteStore.open({ path });
  await store.write(0, edits, []);
  await store.close();
}

/** Milliseconds that one call takes: the median of rounds. */
async function cost(call: (i: number) => unknown, calls = CALLS): Promise<number> {
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    for (let i = 0; i < calls; i++) await call(round * calls + i);
    rounds.push((performance.now() - began) / calls);
  }
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1] as number;
}

await fill();
const before = process.cpuUsage();
const registry = await open();
const { user, system } = process.cpuUsage(before);
const openMs = (user + system) / 1000;
const port = { entities: () => EntityIndex.empty, pluginUsage: async () => [] } as unknown as AdminPort;
const list = (query: Record<string, string>) => {
  const page = pageOf(matching(registry, "acme", query), query, "/acme/plugin-packages");
  return JSON.stringify({ ...page, data: page.data.map(packageJson) });
};
const some = (i: number) => (i * 7919) % PLUGINS;
const config = { header: "x-stamp", values: null, limit: 10 };
const publish = async (i: number) => {
  const files = {
    "plugin.yaml": JSON.stringify(manifestJson(PLUGINS, i)),
    "plugin.js": `export default ${i};`,
  };
  const bytes = await pack(new Map(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)])));
  const { kind } = await registry.put("acme", bytes);
  if (kind !== "created") throw new Error(kind);
};
const rows: [string, number][] = [
  ["open the registry, once when the gateway starts (CPU time of both threads)", openMs],
  ["first page of 100 packages, as JSON", await cost(() => list({}))],
  ["page of 1000 packages, as JSON", await cost(() => list({ size: "1000" }), 20)],
  [
    "packages with a part of their name (`search=-77`, 110 found)",
    await cost(() => list({ search: "-77", size: "1000" }), 50),
  ],
  ["all versions of a plugin (`name=`)", await cost((i) => list({ name: `plugin-${some(i)}` }))],
  ["what `channel=stable` points to, 100 of 1000", await cost(() => list({ channel: "stable" }), 100)],
  [
    "a plugin with its versions, channels and users",
    await cost((i) => lineJson(port, registry, { ...LINE, name: `plugin-${some(i)}` }, "acme", false)),
  ],
  ["what `plugin@1.5.0` means", await cost((i) => registry.find(`plugin-${some(i)}@1.5.0`, "acme"))],
  [
    "what `plugin@^1.2` means for a config",
    await cost((i) => registry.fit(`plugin-${some(i)}@^1.2`, "acme", config)),
  ],
  [
    "what `plugin@stable` means for a config",
    await cost((i) => registry.fit(`plugin-${some(i)}@stable`, "acme", config)),
  ],
  ["publish one more (three syncs to the disk)", await cost(publish, 20)],
  [
    "move a channel (one sync)",
    await cost(
      (i) => registry.desk.moveChannel({ ...LINE, name: "plugin-7" }, "stable", `1.${i % 2}.0`, null, ""),
      20,
    ),
  ],
];
await registry.close();
await rm(directory, { recursive: true });

const text = `# Registry with ${PLUGINS} plugins of ${VERSIONS} versions

\`node bench/registry.ts\`: medians of ${ROUNDS} rounds, milliseconds of one call, all in one workspace on SQLite.
${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.

${markdownTable(
  ["what", "ms"],
  rows.map(([what, ms]) => [what, ms.toFixed(ms < 1 ? 3 : 1)]),
)}`;
console.log(text);
if (process.argv.includes("--write"))
  await writeFile(fileURLToPath(new URL("./results/registry.md", import.meta.url)), text);
