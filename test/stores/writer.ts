/**
 * A process that writes until it is killed, for tests of that: each write is three rows that belong together, and its
 * number is printed once it was acknowledged.
 *
 *     writer.ts sqlite PATH
 *     writer.ts postgres OPTIONS (JSON, with `password` in plain)
 */
import { writeSync } from "node:fs";
import { PostgresStore } from "../../src/stores/postgres/postgres-store.ts";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";
import type { Store } from "../../src/stores/store.ts";

const [engine, place = ""] = process.argv.slice(2);

async function open(): Promise<Store> {
  if (engine === "sqlite") return SqliteStore.open({ path: place });
  const options = JSON.parse(place);
  return new PostgresStore({ ...options, password: async () => options.password });
}

const store = await open();
let { revision } = await store.read();
for (;;) {
  const body = { number: revision + 1, padding: "x".repeat(2000) };
  const rows = ["a", "b", "c"].map((id) => ({ put: { kind: "torn", id, workspace: "", body } }));
  const own = { put: { kind: "kept", id: String(revision + 1), workspace: "", body: {} } };
  revision = await store.write(revision, [...rows, own], [{ at: revision + 1, workspace: "", body: {} }]);
  writeSync(1, `${revision}\n`);
}
