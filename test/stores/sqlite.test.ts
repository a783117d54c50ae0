import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";
import { describeStore } from "./contract.ts";

describeStore("sqlite", async (options = {}) => {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-sqlite-"));
  const path = join(directory, "store", "configuration.sqlite");
  const stores: SqliteStore[] = [];
  return {
    async open() {
      const store = await SqliteStore.open({ path, ...options });
      stores.push(store);
      return store;
    },
    async [Symbol.asyncDispose]() {
      for (const store of stores) await store.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
});
