/** Two gateways' roll-outs on one PostgreSQL: what one begins the other goes by, and of two who end one the first counts. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Workspace } from "../../src/entities/entities.ts";
import { EntityIndex } from "../../src/entities/entity-index.ts";
import { Artifacts } from "../../src/registry/artifacts.ts";
import { type Line, RegistryRefusal } from "../../src/registry/desk.ts";
import { Registry, type StoredPackage } from "../../src/registry/registry.ts";
import { SharedArtifacts } from "../../src/registry/shared-artifacts.ts";
import type { Rollout } from "../../src/rollout/rollout.ts";
import { Rollouts, rolloutTable } from "../../src/rollout/rollouts.ts";
import { Tally } from "../../src/rollout/tally.ts";
import { PostgresArtifacts } from "../../src/stores/postgres/artifact-table.ts";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { PostgresStore } from "../../src/stores/postgres/postgres-store.ts";
import { admit, MANIFEST, packageOf, scratch } from "../registry/packages.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";

const LINE: Line = { workspace: "acme", workspaceId: "a", name: "header-stamp" };
const ACME = { id: "a", name: "acme" } as unknown as Workspace;
const NOBODY = { actor: null };
const ANN = { actor: "ann" };
const PLUGIN = { name: "header-stamp@stable", config: {} };

interface One {
  readonly registry: Registry;
  readonly rollouts: Rollouts;
  /** Ends of roll-outs that it has told the log of, by itself. */
  readonly logged: { message: string; fields: Record<string, unknown> }[];
  /** Resolves once it has heard of something that fits. */
  heard(fits: () => boolean): Promise<void>;
}

let server: PostgresServer;
const held = new AsyncDisposableStack();
before(async () => {
  server = held.use(await startPostgres());
});
after(() => held.disposeAsync());

async function gateways(): Promise<{ one: One; other: One; running: StoredPackage }> {
  const options = server.options();
  await migratePostgres(options);
  const open = async (): Promise<One> => {
    const dir = scratch();
    const table = rolloutTable(() => assert.fail("a row is not sound"));
    const registry = await Registry.open({
      ...{ dir, forge: admit, log: () => {}, tables: [table] },
      store: new PostgresStore({ ...options, tables: "registry_" }),
      bytes: new SharedArtifacts(new PostgresArtifacts(options), await Artifacts.open(`${dir}/sha256`)),
    });
    const logged: One["logged"] = [];
    const rollouts = new Rollouts({
      ...{ registry, table, index: () => EntityIndex.empty, ledger: () => [] },
      deploy: async () => {},
      note: async () => {},
      log: (_level, message, fields) => logged.push({ message, fields: { ...fields } }),
    });
    rollouts.start();
    held.defer(async () => {
      rollouts.close();
      await registry.close();
    });
    const heard = async (fits: () => boolean) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = () => void (fits() && resolve());
      const end = registry.records.onChange(look);
      look();
      await promise;
      end();
    };
    return { registry, rollouts, logged, heard };
  };
  const [one, other] = [await open(), await open()];
  const versions: [string, object][] = [
    ["1.0.0", MANIFEST],
    ["1.1.0", MANIFEST],
    ["2.0.0", { ...MANIFEST, grants: { log: true } }],
  ];
  for (const [version, manifest] of versions)
    await one.registry.put("acme", await packageOf({ ...manifest, version }));
  const running = one.registry.get("acme", "header-stamp@1.0.0") as StoredPackage;
  await one.registry.desk.giveConsent({ workspace: "acme", workspaceId: "a" }, running);
  await one.rollouts.begin(LINE, { version: "1.0.0", channel: "stable", split: null, watch: null }, ANN);
  await other.heard(() => other.registry.desk.channel("acme", "header-stamp", "stable") !== undefined);
  return { one, other, running };
}

const begin = ({ rollouts }: One, version = "1.1.0", weight = 0.25): Promise<Rollout> =>
  rollouts.begin(LINE, { version, channel: "stable", split: { weight }, watch: null }, ANN);

test("a roll-out that one gateway begins is tried on the other, with the weight that either gives it", async () => {
  const { one, other, running } = await gateways();
  assert.equal(other.rollouts.tried(PLUGIN, ACME, running), null);
  const { id } = await begin(one);
  await other.heard(() => other.rollouts.open().length === 1);
  const tried = other.rollouts.tried(PLUGIN, ACME, running);
  assert.deepEqual([tried?.rollout.id, tried?.stored.manifest.version], [id, "1.1.0"]);
  assert.equal(new Tally(tried?.tally as SharedArrayBuffer).weight, 0.25);
  for (const name of ["header-stamp@1.0.0", "header-stamp@^1", "header-stamp@latest", "header-stamp@beta"])
    assert.equal(other.rollouts.tried({ ...PLUGIN, name }, ACME, running), null);
  const own = new Tally(one.rollouts.tried(PLUGIN, ACME, running)?.tally as SharedArrayBuffer);
  await other.rollouts.weigh(id, 0.75, NOBODY);
  await one.heard(() => own.weight === 0.75);
  assert.equal(new Tally(tried?.tally as SharedArrayBuffer).weight, 0.75);
});

test("of two gateways that end a roll-out at once one does, and both go by what it said", async () => {
  const { one, other, running } = await gateways();
  for (let round = 0; round < 5; round++) {
    const { id } = await begin(one);
    await other.heard(() => other.rollouts.open().some((rollout) => rollout.id === id));
    const ends = await Promise.allSettled([
      one.rollouts.promote(id, ANN),
      other.rollouts.rollBack(id, NOBODY),
    ]);
    const [done, ...more] = ends.flatMap((end) => (end.status === "fulfilled" ? [end.value] : []));
    assert.deepEqual([more.length, done?.id], [0, id]);
    const refused = ends.find((end) => end.status === "rejected");
    assert.ok(refused?.reason instanceof RegistryRefusal && refused.reason.kind === "conflict");
    const version = done?.state === "promoted" ? "1.1.0" : "1.0.0";
    for (const each of [one, other]) {
      await each.heard(() => each.rollouts.open().length === 0);
      assert.equal(each.registry.desk.channel("acme", "header-stamp", "stable")?.version, version);
      assert.equal(each.rollouts.tried(PLUGIN, ACME, running), null);
    }
    if (version === "1.1.0") await one.rollouts.moveBack(LINE, "stable", ANN);
    await other.heard(
      () => other.registry.desk.channel("acme", "header-stamp", "stable")?.version === "1.0.0",
    );
  }
});

test("consent that is given on one gateway begins what waits, once", async () => {
  const { one, other } = await gateways();
  const { id, state } = await begin(one, "2.0.0");
  assert.equal(state, "waiting_consent");
  await other.heard(() => other.rollouts.open().length === 1);
  assert.deepEqual(
    other.rollouts.open().flatMap((rollout) => other.rollouts.excess(rollout)),
    [{ grant: "log", asked: true, consented: false }],
  );
  const stored = other.registry.get("acme", "header-stamp@2.0.0") as StoredPackage;
  await other.registry.desk.giveConsent({ workspace: "acme", workspaceId: "a" }, stored);
  const runs = (each: One) =>
    each.rollouts.open().some((rollout) => rollout.id === id && rollout.state === "running");
  await Promise.all([one.heard(() => runs(one)), other.heard(() => runs(other))]);
  await Promise.all([one.rollouts.settled(), other.rollouts.settled()]);
  const told = [...one.logged, ...other.logged].filter(
    ({ message, fields }) => message === "a roll-out runs" && fields.rollout === id,
  );
  assert.equal(told.length, 1);
});

test("what is known of a workspace's roll-outs goes with it, on every gateway", async () => {
  const { one, other } = await gateways();
  await begin(one);
  await other.heard(() => other.rollouts.open().length === 1);
  await one.rollouts.forgetWorkspace({ id: "b", name: "acme" });
  assert.equal(one.rollouts.list(LINE).length, 2);
  await one.rollouts.forgetWorkspace({ id: "a", name: "acme" });
  await other.heard(() => other.rollouts.list(LINE).length === 0);
  assert.deepEqual([one.rollouts.list(LINE), one.rollouts.open(), other.rollouts.open()], [[], [], []]);
});
