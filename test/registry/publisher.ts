/**
 * A process that publishes, moves, yanks and deletes until it is killed, and prints each thing once it is acknowledged:
 * `published VERSION`, `moved VERSION`, `deleted VERSION`.
 */
import { join } from "node:path";
import { Artifacts } from "../../src/registry/artifacts.ts";
import { Registry } from "../../src/registry/registry.ts";
import { SharedArtifacts } from "../../src/registry/shared-artifacts.ts";
import { PostgresArtifacts } from "../../src/stores/postgres/artifact-table.ts";
import { PostgresStore } from "../../src/stores/postgres/postgres-store.ts";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";
import { LINE, nextPackage } from "./published.ts";

const [dir = "", postgres] = process.argv.slice(2);

async function open(): Promise<Registry> {
  const forge = async ({ artifact }: { artifact: Uint8Array }) =>
    ({ ok: true, emitted: Buffer.concat([artifact, Buffer.from("// metered")]), report: {} }) as const;
  const parts = { dir, forge, log: () => {} };
  if (postgres === undefined)
    return Registry.open({ ...parts, store: await SqliteStore.open({ path: join(dir, "registry.db") }) });
  const { password, ...given } = JSON.parse(postgres);
  const options = { ...given, password: async () => password };
  return Registry.open({
    ...parts,
    store: new PostgresStore({ ...options, tables: "registry_" }),
    bytes: new SharedArtifacts(new PostgresArtifacts(options), await Artifacts.open(join(dir, "sha256"))),
  });
}

const tell = (what: string) => process.stdout.write(`${what}\n`);

const registry = await open();
const first = registry.list(LINE.workspace).length;
const started = Date.now();
for (let i = 0; ; i++) {
  const version = `1.${started}.${first + i}`;
  const put = await registry.put(LINE.workspace, await nextPackage(version));
  if (put.kind !== "created") throw new Error(put.kind);
  tell(`published ${version}`);
  await registry.desk.moveChannel(LINE, "stable", version, null, "");
  tell(`moved ${version}`);
  const [old] = registry.list(LINE.workspace).filter(({ manifest }) => manifest.version !== version);
  if (old === undefined || i % 3 !== 0) continue;
  await registry.delete(old);
  tell(`deleted ${old.manifest.version}`);
}
