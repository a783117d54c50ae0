/**
 * A process that fills its disk, for a test of that: it writes to a store in a small file system until that is full,
 * makes room, goes on, and prints what happened as JSON.
 *
 *     full-disk.ts DIRECTORY
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";

const directory = process.argv[2] as string;
const ballast = join(directory, "ballast");
writeFileSync(ballast, Buffer.alloc(2 << 20, 1));
const path = join(directory, "store", "configuration.sqlite");
const store = await SqliteStore.open({ path });
let revision = 0;
const write = async () => {
  const row = { kind: "services", id: `a${revision}`, workspace: "", body: { text: "x".repeat(50_000) } };
  revision = await store.write(revision, [{ put: row }], []);
};

let error: unknown;
while (error === undefined) await write().catch((reason: unknown) => (error = reason));
const acknowledged = revision;
const readable = (await store.read()).rows.length;
rmSync(ballast);
await write();
const { name, message } = error as Error;
const rows = (await store.read()).rows.length;
await store.close();
console.log(JSON.stringify({ name, message, acknowledged, readable, revision, rows, path }));
