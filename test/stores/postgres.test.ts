import { after, before } from "node:test";
import type { PostgresOptions } from "../../src/stores/postgres/connections.ts";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { PostgresStore } from "../../src/stores/postgres/postgres-store.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { describeStore } from "./contract.ts";

let server: PostgresServer;
let connection: PostgresOptions;
before(async () => {
  server = await startPostgres();
  connection = server.options();
  await migratePostgres(connection);
});
after(() => server[Symbol.asyncDispose]());

// Each case finds the tables empty: making them takes longer than a case.
describeStore("postgres", async (options = {}) => {
  await server.query(
    `DELETE FROM entity; DELETE FROM removed; DELETE FROM audit;
     UPDATE state SET revision = 0, forgotten = 0, writer = NULL`,
    connection.schema,
  );
  const stores: PostgresStore[] = [];
  return {
    async open() {
      const store = new PostgresStore({ ...connection, ...options });
      stores.push(store);
      return store;
    },
    async [Symbol.asyncDispose]() {
      for (const store of stores) await store.close();
    },
  };
});
