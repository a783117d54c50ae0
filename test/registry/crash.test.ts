/** `kill -9` of a process that publishes, moves and deletes: what it acknowledged is so, and what is there is whole. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import SemVer from "semver/classes/semver.js";
import { Artifacts } from "../../src/registry/artifacts.ts";
import { ORPHAN_MS } from "../../src/registry/kept-bytes.ts";
import { digestOf } from "../../src/registry/package.ts";
import { Registry } from "../../src/registry/registry.ts";
import { SharedArtifacts } from "../../src/registry/shared-artifacts.ts";
import { PostgresArtifacts } from "../../src/stores/postgres/artifact-table.ts";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { PostgresStore } from "../../src/stores/postgres/postgres-store.ts";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";
import { PASSWORD, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { admit, packageOf, scratch } from "./packages.ts";
import { LINE } from "./published.ts";

const PUBLISHER = fileURLToPath(new URL("./publisher.ts", import.meta.url));
/** Of each engine; the moments are random. */
const KILLS = 4;

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
after(() => server[Symbol.asyncDispose]());

/** Runs it until it has told so much, and kills it a moment later. @returns what it told. */
async function killed(args: readonly string[], lines: number): Promise<string[]> {
  const child: ChildProcess = spawn(process.execPath, [PUBLISHER, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let told = "";
  const { promise: reached, resolve } = Promise.withResolvers<void>();
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    told += text;
    if (told.split("\n").length > lines) resolve();
  });
  const gone = once(child, "close");
  await Promise.race([reached, gone]);
  setTimeout(() => child.kill("SIGKILL"), Math.random() * 30);
  await gone;
  assert.equal(child.signalCode, "SIGKILL");
  // A line that was cut off was not acknowledged in full.
  return told.split("\n").slice(0, -1);
}

async function assertWhole(registry: Registry, told: readonly string[]): Promise<void> {
  const versions = (verb: string) =>
    told.filter((line) => line.startsWith(verb)).map((line) => line.split(" ")[1] as string);
  const there = registry.list(LINE.workspace).map(({ manifest }) => manifest.version);
  const deleted = new Set(versions("deleted"));
  // The deletion that was under way may be done or not.
  const lost = versions("published").filter((one) => !there.includes(one) && !deleted.has(one));
  assert.ok(lost.length <= 1, `acknowledged and gone: ${lost.join(", ")}`);
  assert.deepEqual(
    versions("deleted").filter((one) => there.includes(one)),
    [],
  );
  for (const stored of registry.list(LINE.workspace)) {
    const code = await registry.load(stored);
    assert.match(Buffer.from(code).toString(), new RegExp(`"${stored.manifest.version}"`));
    assert.equal(digestOf(code), stored.emitted);
  }
  const found = registry.find(`${LINE.name}@stable`, LINE.workspace);
  assert.ok(!("missing" in found), "the channel leads to a package that is there");
  const last = versions("moved").at(-1) as string;
  assert.ok(new SemVer(found.manifest.version).compare(new SemVer(last)) >= 0);
}

async function kills(args: readonly string[], open: () => Promise<Registry>): Promise<void> {
  for (let i = 0; i < KILLS; i++) {
    const told = await killed(args, 4 + 3 * i);
    const registry = await open();
    await assertWhole(registry, told);
    await registry.close();
  }
}

const quiet = { forge: admit, log: () => {} };

test("kill -9 at any moment leaves a registry on SQLite consistent", async () => {
  const dir = scratch();
  await kills([dir], async () =>
    Registry.open({ ...quiet, dir, store: await SqliteStore.open({ path: join(dir, "registry.db") }) }),
  );
});

test("kill -9 at any moment leaves a registry on PostgreSQL consistent, as another gateway sees it", async () => {
  const options = server.options();
  await migratePostgres(options);
  const connection = JSON.stringify({ ...options, password: PASSWORD });
  await kills([scratch(), connection], async () => {
    const dir = scratch();
    return Registry.open({
      ...quiet,
      dir,
      store: new PostgresStore({ ...options, tables: "registry_" }),
      bytes: new SharedArtifacts(new PostgresArtifacts(options), await Artifacts.open(join(dir, "sha256"))),
    });
  });
});

test("bytes whose row was never written go once nobody can be about to write it", async () => {
  const dir = scratch();
  const path = join(dir, "registry.db");
  const open = async () => Registry.open({ ...quiet, dir, store: await SqliteStore.open({ path }) });
  const registry = await open();
  const put = await registry.put("acme", await packageOf());
  assert.equal(put.kind, "created");
  await registry.close();
  const file = (name: string) => join(dir, "sha256", name);
  for (const name of ["a", "b"]) writeFileSync(file(name.repeat(64)), "left");
  const longAgo = (Date.now() - ORPHAN_MS - 1000) / 1000;
  for (const name of readdirSync(join(dir, "sha256")))
    if (!name.startsWith("b")) utimesSync(file(name), longAgo, longAgo);
  await (await open()).close();
  const { stored } = put as { stored: { id: string; emitted: string } };
  const kept = [stored.id, stored.emitted].map((digest) => digest.slice("sha256:".length));
  assert.deepEqual(readdirSync(join(dir, "sha256")).sort(), [...kept, "b".repeat(64)].sort());
});
