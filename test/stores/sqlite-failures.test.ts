/** What an operator is told when the file of a SQLite store cannot be had, and that nothing is lost or overwritten. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { backup, DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import { loadSettings, type Settings } from "../../src/settings.ts";
import { openStore } from "../../src/stores/open-store.ts";
import { SqliteFile } from "../../src/stores/sqlite/sqlite-file.ts";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";
import { type Store, StoreUnavailable } from "../../src/stores/store.ts";
import { requireProgram } from "../support/services.ts";
import { change, put, row } from "./contract.ts";

const FULL_DISK = fileURLToPath(new URL("./full-disk.ts", import.meta.url));
const OPENER = fileURLToPath(new URL("./opener.ts", import.meta.url));

const cleanups: (() => Promise<void>)[] = [];
after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-store-"));
  cleanups.push(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

function settingsOf(prefix: string): Settings {
  const { settings } = loadSettings({ flags: { prefix } });
  assert.ok(settings);
  return settings;
}

const fileIn = (prefix: string) => join(prefix, "store", "configuration.sqlite");

/** Closed at the end, whatever becomes of the test. */
async function open(prefix: string): Promise<Store> {
  const store = await openStore(settingsOf(prefix));
  cleanups.push(() => store.close());
  return store;
}

/** A prefix whose store was closed with rows in it, more than fit a page. */
async function prefixWithRows(): Promise<string> {
  const prefix = await scratch();
  const store = await open(prefix);
  await store.write(
    0,
    Array.from({ length: 200 }, (_, i) => put(`a${i}`, { text: "x".repeat(300) })),
    [],
  );
  await store.close();
  return prefix;
}

async function refusal(opening: Promise<unknown>): Promise<string> {
  let message = "";
  await assert.rejects(opening, (error) => {
    assert.ok(error instanceof StoreUnavailable, String(error));
    message = error.message;
    return true;
  });
  return message;
}

test("without settings of a database the store is a file under the prefix, for its user alone", async () => {
  const prefix = await scratch();
  const store = await open(prefix);
  assert.equal(store.engine, "sqlite");
  await store.write(0, [put("a")], []);
  for (const suffix of ["", "-wal", "-shm"])
    assert.equal(statSync(fileIn(prefix) + suffix).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(fileIn(prefix))).mode & 0o777, 0o700);
});

test("with a declarative configuration the store is memory, and nothing is made under the prefix", async () => {
  const prefix = await scratch();
  const { settings } = loadSettings({ flags: { prefix, declarative_config: "x.yml" } });
  const store = await openStore(settings as Settings);
  assert.equal(store.engine, "memory");
  assert.equal(existsSync(join(prefix, "store")), false);
});

test("each commit is on the disk before it is acknowledged", async () => {
  using file = new SqliteFile({ path: fileIn(await scratch()) });
  const pragma = (name: string) =>
    file.exclusively((db) => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
  assert.equal(pragma("journal_mode"), "wal");
  assert.equal(pragma("synchronous"), 2); // FULL
});

test("a second gateway on the same prefix is told who has it, and gets it when that one ends", async () => {
  const prefix = await scratch();
  const first = await open(prefix);
  const message = await refusal(openStore(settingsOf(prefix)));
  assert.equal(
    message,
    `another gateway (process ${process.pid}) uses ${prefix}/store: end it, or give this one a \`prefix\` of its own`,
  );
  assert.equal(await first.write(0, [put("a")], []), 1);
  await first.close();
  assert.deepEqual((await (await open(prefix)).read()).rows, [row("a")]);
});

test("a gateway that was killed leaves its prefix to the next", async () => {
  const prefix = await scratch();
  const child = spawn(process.execPath, [OPENER, prefix], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  assert.match(await refusal(openStore(settingsOf(prefix))), new RegExp(`\\(process ${child.pid}\\)`));
  const gone = once(child, "close");
  child.kill("SIGKILL");
  await gone;
  assert.equal((await (await open(prefix)).read()).revision, 0);
});

test("a full disk refuses writes in words, keeps what was acknowledged, and takes more once there is room", async () => {
  const mount = await scratch();
  const out = execFileSync(
    requireProgram("bwrap"),
    [
      "--dev-bind",
      "/",
      "/",
      "--size",
      String(5 << 20),
      "--tmpfs",
      mount,
      "--",
      process.execPath,
      FULL_DISK,
      mount,
    ],
    { encoding: "utf8" },
  );
  const { name, message, acknowledged, readable, revision, rows, path } = JSON.parse(out);
  assert.equal(name, "StoreUnavailable");
  assert.match(
    message,
    new RegExp(`^there is no room for ${path}: its disk .* is full.*no restart is needed$`),
  );
  assert.ok(acknowledged > 0);
  assert.equal(readable, acknowledged);
  assert.equal(revision, acknowledged + 1);
  assert.equal(rows, revision);
});

test("a file at its bound refuses writes in words, and takes them again after something was removed", async () => {
  const path = fileIn(await scratch());
  const store = await SqliteStore.open({ path, maxBytes: 300_000 });
  cleanups.push(() => store.close());
  let revision = 0;
  const fill = async () => {
    for (;;) revision = await store.write(revision, [put(`a${revision}`, { text: "x".repeat(20_000) })], []);
  };
  assert.match(
    await refusal(fill()),
    /^there is no room for .*the file has reached its bound; nothing was written/,
  );
  assert.equal((await store.read()).revision, revision);
  assert.equal((await store.health()).ok, true);
  revision = await store.write(revision, [{ remove: { kind: "services", id: "a0" } }], []);
  assert.equal(await store.write(revision, [put("b", { text: "x".repeat(10_000) })], []), revision + 1);
});

test("a prefix on a read-only file system is refused in words", async () => {
  const prefix = await prefixWithRows();
  const bytes = readFileSync(fileIn(prefix));
  const out = execFileSync(
    requireProgram("bwrap"),
    ["--dev-bind", "/", "/", "--ro-bind", prefix, prefix, "--", process.execPath, OPENER, prefix],
    { encoding: "utf8" },
  );
  assert.match(
    out,
    new RegExp(`^StoreUnavailable: ${prefix}/store.* (cannot be|may not be) .*writ.*another \`prefix\``),
  );
  assert.deepEqual(readFileSync(fileIn(prefix)), bytes);
});

test("a prefix whose place is taken by a file is refused in words", async () => {
  const prefix = await scratch();
  writeFileSync(join(prefix, "store"), "");
  assert.match(
    await refusal(openStore(settingsOf(prefix))),
    /configuration\.sqlite cannot be opened.*another `prefix`/,
  );
});

function overwrite(file: string, at: number, bytes: Uint8Array): void {
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, bytes, 0, bytes.length, at);
  closeSync(descriptor);
}

const DAMAGES: readonly (readonly [string, (file: string) => void])[] = [
  ["of text", (file) => writeFileSync(file, "not a database at all\n".repeat(1000))],
  ["with another header", (file) => overwrite(file, 0, Buffer.alloc(100, 7))],
  ["emptied", (file) => truncateSync(file, 0)],
  ["cut off in the middle", (file) => truncateSync(file, 4096 * 5)],
  [
    "with pages of noise",
    (file) => overwrite(file, 4096 * 2, Buffer.alloc(statSync(file).size - 4096 * 2, 0xa7)),
  ],
];

for (const [what, damage] of DAMAGES)
  test(`a file ${what} is called damaged, with what to do, and is left as it is`, async () => {
    const prefix = await prefixWithRows();
    const file = fileIn(prefix);
    damage(file);
    const bytes = readFileSync(file);
    const message = await refusal(
      openStore(settingsOf(prefix)).then((store) => store.read().finally(() => store.close())),
    );
    assert.match(
      message,
      new RegExp(`^${file} is damaged .*It was left as it is\\. Stop the gateway.*put a backup in its place`),
    );
    assert.ok(readFileSync(file).equals(bytes));
  });

test("a row that something else has broken is named", async () => {
  const prefix = await prefixWithRows();
  const db = new DatabaseSync(fileIn(prefix));
  db.exec(`UPDATE entity SET body = '{"text":' WHERE id = 'a7'`);
  db.close();
  assert.match(await refusal((await open(prefix)).read()), /the row services a7 is damaged in the store/);
});

test("another program's database is refused, and not touched", async () => {
  const prefix = await scratch();
  await (await open(prefix)).close();
  for (const suffix of ["", "-wal", "-shm"]) rmSync(fileIn(prefix) + suffix, { force: true });
  const db = new DatabaseSync(fileIn(prefix));
  db.exec("CREATE TABLE theirs (a)");
  db.close();
  const bytes = readFileSync(fileIn(prefix));
  assert.match(
    await refusal(openStore(settingsOf(prefix))),
    /is a database of another program; move it away/,
  );
  assert.ok(readFileSync(fileIn(prefix)).equals(bytes));
});

test("a program that holds the file for long is told of, and the write goes through after it", async () => {
  const prefix = await scratch();
  const store = await open(prefix);
  const other = new DatabaseSync(fileIn(prefix));
  other.exec("BEGIN IMMEDIATE");
  assert.match(await refusal(store.write(0, [put("a")], [])), /is held by another program for too long/);
  // It was away for this write; who looks after it finds out what there is now.
  const back = change(store);
  assert.equal((await store.read()).revision, 0);
  await back;
  other.exec("ROLLBACK");
  other.close();
  assert.equal(await store.write(0, [put("a")], []), 1);
});

test("a thread of the store that ends is replaced, and whoever watches is told to look", async () => {
  const prefix = await scratch();
  const threads: Worker[] = [];
  const add = (message: unknown) => threads.push((message as { worker: Worker }).worker);
  subscribe("worker_threads", add);
  const store = await open(prefix);
  unsubscribe("worker_threads", add);
  assert.equal(await store.write(0, [put("a")], []), 1);
  const back = change(store);
  const writing = refusal(
    (async () => {
      for (let revision = 1; ; revision++) await store.write(revision, [put("b", { revision })], []);
    })(),
  );
  await threads[0]?.terminate();
  assert.match(await writing, /the thread of .*configuration\.sqlite has ended/);
  await back;
  const { revision } = await store.read();
  assert.ok(revision >= 1);
  assert.equal(await store.write(revision, [put("c")], []), revision + 1);
});

test("what a workspace had is not found in the files after it was deleted", async () => {
  const prefix = await scratch();
  const store = await open(prefix);
  const secret = "very-recognizable-value";
  const body = { secret, padding: "y".repeat(2000) };
  const rows = Array.from({ length: 50 }, (_, i) => put(`a${i}`, body, "services", "gone"));
  await store.write(0, [...rows, put("b")], [{ at: 1, workspace: "gone", body: { after: body } }]);
  await store.write(
    1,
    rows.map((_, i) => ({ remove: { kind: "services", id: `a${i}` } })),
    [],
  );
  await store.forgetWorkspace("gone");
  for (const suffix of ["", "-wal"]) {
    const bytes = readFileSync(fileIn(prefix) + suffix);
    assert.equal(bytes.includes(secret), false, `found in the file ${suffix}`);
  }
  assert.deepEqual((await store.read()).rows, [row("b")]);
});

/** Ways of docs/stores.md to copy the store of a gateway that runs. */
const BACKUPS: readonly (readonly [string, (file: string, copy: string) => unknown])[] = [
  [
    "VACUUM INTO",
    (file, copy) => {
      const db = new DatabaseSync(file, { readOnly: true });
      db.exec(`VACUUM INTO '${copy}'`);
      db.close();
    },
  ],
  [
    "SQLite's backup",
    async (file, copy) => {
      const db = new DatabaseSync(file, { readOnly: true });
      await backup(db, copy);
      db.close();
    },
  ],
];

for (const [name, copyTo] of BACKUPS)
  test(`a backup by ${name} while the gateway writes is one state of it, and a gateway starts from it`, async () => {
    const [prefix, restored] = [await scratch(), await scratch()];
    const store = await open(prefix);
    let revision = await store.write(
      0,
      ["a", "b"].map((id) => put(id, { number: 1 })),
      [],
    );
    let writing = true;
    const writes = (async () => {
      while (writing)
        revision = await store.write(
          revision,
          ["a", "b"].map((id) => put(id, { number: revision + 1 })),
          [],
        );
    })();
    const copy = join(await scratch(), "copy.sqlite");
    await copyTo(fileIn(prefix), copy);
    writing = false;
    await writes;
    // A gateway has run there before: its newer files must not be mixed with the backup.
    const earlier = await open(restored);
    await earlier.write(0, [put("z")], []);
    await earlier.close();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(fileIn(restored) + suffix, { force: true });
    cpSync(copy, fileIn(restored));
    chmodSync(fileIn(restored), 0o644);
    const found = await (await open(restored)).read();
    assert.ok(found.revision >= 1 && found.revision <= revision);
    assert.deepEqual(found.rows.map(({ id, body }) => [id, body.number]).sort(), [
      ["a", found.revision],
      ["b", found.revision],
    ]);
    assert.equal(statSync(fileIn(restored)).mode & 0o777, 0o600);
  });

test("the prefix of a gateway that was stopped may be copied as it is", async () => {
  const [prefix, elsewhere] = [await prefixWithRows(), await scratch()];
  cpSync(prefix, elsewhere, { recursive: true });
  const store = await open(elsewhere);
  assert.equal((await store.read()).rows.length, 200);
  assert.equal(await store.write(1, [put("b")], []), 2);
});
