/** Two gateways on one database: a token that one of them revokes is good for nothing on the other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { startGateway } from "../support/gateway.ts";
import { postgresSettings, startPostgres } from "../support/postgres.ts";
import { addTenants, ask, operatorOf, tokenFor } from "./gateway.ts";

test("tokens count on every gateway of a database, and end on all of them; a gateway's own counts there alone", async () => {
  await using server = await startPostgres();
  const options = server.options();
  const settings = { data_threads: "1", ...postgresSettings(options) };
  await migratePostgres(options);
  await using one = await startGateway({ config: null, settings });
  await using other = await startGateway({ config: null, settings });
  await addTenants(one);
  const token = await tokenFor(one, "viewer", "acme");
  const status = async () => (await ask(other, token, "GET", "/acme/services")).status;
  await until(async () => (await status()) === 200);
  assert.equal((await ask(other, operatorOf(one), "GET", "/services")).status, 401);

  const { json } = await ask(one, operatorOf(one), "GET", "/acme/admin-tokens");
  const [made] = json.data;
  const revoked = await ask(other, operatorOf(other), "DELETE", `/admin-tokens/${made?.id}`);
  assert.equal(revoked.status, 204);
  assert.equal(await status(), 401);
  await until(async () => (await ask(one, token, "GET", "/acme/services")).status === 401);
});

/** What is written on one gateway is told to the other. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(20_000);
  while (!(await holds())) assert.ok(!deadline.aborted, "it did not come to be");
}
