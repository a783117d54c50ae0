/** Two gateways' registries on one PostgreSQL: one knows what the other does, and has its bytes. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Artifacts } from "../../src/registry/artifacts.ts";
import type { Line } from "../../src/registry/desk.ts";
import { Registry, type RegistryOptions, type StoredPackage } from "../../src/registry/registry.ts";
import { SharedArtifacts } from "../../src/registry/shared-artifacts.ts";
import { PostgresArtifacts } from "../../src/stores/postgres/artifact-table.ts";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { PostgresStore } from "../../src/stores/postgres/postgres-store.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { admit, MANIFEST, packageOf, SOURCE, scratch } from "./packages.ts";

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
const opened: Registry[] = [];
after(async () => {
  for (const registry of opened) await registry.close();
  await server[Symbol.asyncDispose]();
});

const LINE: Line = { workspace: "acme", workspaceId: "a", name: "header-stamp" };

interface Gateways {
  readonly one: Registry;
  readonly other: Registry;
  /** Where each has its copies. */
  readonly dirs: readonly [string, string];
  readonly schema: string;
  /** Resolves when the other has heard of a change. */
  readonly heard: () => Promise<void>;
}

async function twoGateways(): Promise<Gateways> {
  const options = server.options();
  await migratePostgres(options);
  let hear = () => {};
  const open = async (dir: string, more: Partial<RegistryOptions> = {}) => {
    const registry = await Registry.open({
      dir,
      forge: admit,
      log: () => {},
      store: new PostgresStore({ ...options, tables: "registry_" }),
      bytes: new SharedArtifacts(new PostgresArtifacts(options), await Artifacts.open(join(dir, "sha256"))),
      ...more,
    });
    opened.push(registry);
    return registry;
  };
  const dirs = [scratch(), scratch()] as const;
  return {
    one: await open(dirs[0]),
    other: await open(dirs[1], { onMoved: () => hear() }),
    dirs,
    schema: options.schema,
    heard: () => new Promise((resolve) => (hear = resolve)),
  };
}

async function publish(registry: Registry, version = "1.2.0", source = SOURCE): Promise<StoredPackage> {
  const put = await registry.put("acme", await packageOf({ ...MANIFEST, version }, source));
  assert.equal(put.kind, "created");
  return (put as { stored: StoredPackage }).stored;
}

test("what one publishes and moves the other hears of, and loads from the database", async () => {
  const { one, other, heard, dirs } = await twoGateways();
  let told = heard();
  const stored = await publish(one);
  await told;
  assert.deepEqual(other.get("acme", "header-stamp@1.2.0"), stored);
  assert.equal(Buffer.from(await other.load(stored)).toString(), SOURCE);
  told = heard();
  await one.desk.moveChannel(LINE, "stable", "1.2.0", null, "");
  await told;
  assert.deepEqual(other.find("header-stamp@stable", "acme"), stored);
  // A copy that somebody has changed is not run, and made anew.
  const copy = join(dirs[1], "sha256", stored.emitted.slice("sha256:".length));
  writeFileSync(copy, "evil");
  assert.equal(Buffer.from(await other.load(stored)).toString(), SOURCE);
});

test("without waiting for news, who is asked to catch up knows all that was acknowledged", async () => {
  const { one, other } = await twoGateways();
  await publish(one);
  await other.catchUp();
  assert.ok(other.get("acme", "header-stamp@1.2.0"));
});

test("bytes that were changed in the database are not loaded", async () => {
  const { one, other, schema } = await twoGateways();
  const stored = await publish(one);
  await server.query("UPDATE registry_artifact SET bytes = 'evil'", schema);
  await assert.rejects(other.load(stored), /holds other bytes in the database than were admitted/);
  await server.query("DELETE FROM registry_artifact", schema);
  await assert.rejects(other.load(stored), /is not in the database/);
});

test("of two that publish one version at once one is published, and the other is told of it", async () => {
  const { one, other } = await twoGateways();
  const kinds = await Promise.all([
    one.put("acme", await packageOf(MANIFEST, "export default 1;")).then(({ kind }) => kind),
    other.put("acme", await packageOf(MANIFEST, "export default 2;")).then(({ kind }) => kind),
  ]);
  assert.deepEqual(kinds.sort(), ["conflict", "created"]);
});

test("while one deletes a package the other may publish the same bytes, and has them", async () => {
  const { one, other, schema } = await twoGateways();
  for (let i = 0; i < 10; i++) {
    const stored = await publish(one);
    await other.catchUp();
    // The same bytes in another workspace: of its own row, and of the same artifacts.
    const [, put] = await Promise.all([one.delete(stored), other.put("other", await packageOf())]);
    assert.equal(put.kind, "created");
    const kept = (put as { stored: StoredPackage }).stored;
    await one.catchUp();
    const rows = await server.query("SELECT digest FROM registry_artifact", schema);
    const digests = rows.map(({ digest }) => String(digest));
    assert.deepEqual(new Set(digests), new Set([kept.id, kept.emitted]));
    await other.delete(kept);
    await one.catchUp();
  }
});

test("a package that one deletes is on no disk and in no table any more", async () => {
  const { one, other, dirs, schema } = await twoGateways();
  const stored = await publish(one);
  await other.catchUp();
  await other.load(stored);
  await one.delete(stored);
  await other.catchUp();
  // Behind what the change has started.
  await other.records.alone(async () => {});
  for (const dir of dirs) assert.deepEqual(readdirSync(join(dir, "sha256")), []);
  assert.deepEqual(await server.query("SELECT digest FROM registry_artifact", schema), []);
});
