/** A store with a whole configuration in it, as if entity after entity had been written. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { rowOf } from "../src/control/rows.ts";
import { loadDeclarative } from "../src/declarative/declarative.ts";
import { emptyConfig } from "../src/declarative/empty-config.ts";
import { ENTITY_NAMES } from "../src/entities/entities.ts";
import type { Entity } from "../src/entities/relations.ts";
import { createCatalogue } from "../src/gateway/catalogue.ts";
import { sqlitePath } from "../src/stores/open-store.ts";
import { SqliteStore } from "../src/stores/sqlite/sqlite-store.ts";

/** @param text a declarative document; its plugins are built in. */
export async function fillStore(prefix: string, text: string): Promise<void> {
  const loaded = loadDeclarative(text, { plugins: createCatalogue({} as never), previous: emptyConfig() });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors[0]));
  const path = sqlitePath({ prefix });
  mkdirSync(dirname(path), { recursive: true });
  const store = await SqliteStore.open({ path });
  const rows = ENTITY_NAMES.flatMap((kind) =>
    (loaded.config[kind] as unknown as Entity[]).map((entity) => ({ put: rowOf(kind, entity) })),
  );
  const { revision } = await store.read();
  await store.write(revision, rows, []);
  await store.close();
}
