/** What was acknowledged outlives the process that wrote it, and the server that keeps it; no write is there in part. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { PostgresOptions } from "../../src/stores/postgres/connections.ts";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { PostgresStore } from "../../src/stores/postgres/postgres-store.ts";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";
import { StaleRevision, type Store, StoreUnavailable } from "../../src/stores/store.ts";
import { PASSWORD, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { change, put } from "./contract.ts";

const WRITER = fileURLToPath(new URL("./writer.ts", import.meta.url));
/** Of each engine; the moments are random. */
const KILLS = 6;

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
/** Stores that a test leaves open, also where it fails. */
const closing: Store[] = [];
after(async () => {
  for (const store of closing) await store.close();
  await server[Symbol.asyncDispose]();
});

class Writer {
  readonly #child: ChildProcess;
  #printed = "";
  #error = "";

  constructor(engine: string, place: string) {
    this.#child = spawn(process.execPath, [WRITER, engine, place], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#error += text;
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#printed += text;
    });
  }

  /** Waits until it has acknowledged so many writes. */
  async reached(writes: number): Promise<void> {
    while (this.#printed.split("\n").length <= writes) {
      if (this.#child.exitCode !== null) throw new Error(`the writer has ended: ${this.#error}`);
      await setTimeout(2);
    }
  }

  /** Kills it now; the last revision that it acknowledged. */
  async kill(): Promise<number> {
    const gone = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await gone;
    // A line that was cut off was not acknowledged in full.
    return Number(this.#printed.split("\n").at(-2) ?? 0);
  }
}

async function assertWhole(store: Store, acknowledged: number): Promise<void> {
  const { revision, rows } = await store.read();
  assert.ok(revision >= acknowledged, `${acknowledged} was acknowledged, and ${revision} is there`);
  const torn = rows.filter(({ kind }) => kind === "torn").map(({ body }) => body.number);
  assert.deepEqual(torn, [revision, revision, revision]);
  const kept = rows.filter(({ kind }) => kind === "kept").map(({ id }) => Number(id));
  assert.deepEqual(
    kept.sort((a, b) => a - b),
    Array.from({ length: revision }, (_, i) => i + 1),
  );
  assert.equal((await store.audit(null, 1, null)).entries[0]?.at, revision);
}

/** `ended` waits until nothing is at work any more on what a killed writer had asked for. */
async function killsWriters(
  engine: string,
  place: string,
  open: () => Promise<Store>,
  ended = async () => {},
): Promise<void> {
  for (let i = 0; i < KILLS; i++) {
    const writer = new Writer(engine, place);
    await writer.reached(3 + i);
    await setTimeout(Math.random() * 30);
    const acknowledged = await writer.kill();
    await ended();
    const store = await open();
    await assertWhole(store, acknowledged);
    await store.close();
  }
}

test("kill -9 of a process that writes to SQLite, at any moment", async () => {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-crash-"));
  const path = join(directory, "configuration.sqlite");
  await killsWriters("sqlite", path, () => SqliteStore.open({ path }));
  await rm(directory, { recursive: true, force: true });
});

async function postgres(): Promise<PostgresOptions> {
  const options = server.options({ timeoutMs: 10_000 });
  await migratePostgres(options);
  return options;
}

const placeOf = (options: PostgresOptions) => JSON.stringify({ ...options, password: PASSWORD });

/** PostgreSQL finishes a transaction whose end it was told of, also when whoever told it is gone. */
async function othersGone(): Promise<void> {
  for (;;) {
    const others = await server.query(
      "select 1 from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
    );
    if (others.length === 0) return;
    await setTimeout(5);
  }
}

test("kill -9 of a process that writes to PostgreSQL, at any moment", async () => {
  const options = await postgres();
  await killsWriters("postgres", placeOf(options), async () => new PostgresStore(options), othersGone);
});

/** One write of the kind that `assertWhole` looks for. */
function writeNext(store: Store, revision: number): Promise<number> {
  const body = { number: revision + 1 };
  const rows = ["a", "b", "c"].map((id) => put(id, body, "torn"));
  const own = put(String(revision + 1), {}, "kept");
  return store.write(revision, [...rows, own], [{ at: revision + 1, workspace: "", body: {} }]);
}

/** Writes until something fails; what was acknowledged last. */
async function writeUntilItFails(store: Store, from: number): Promise<number> {
  let revision = from;
  for (;;) {
    try {
      revision = await writeNext(store, revision);
    } catch (error) {
      assert.ok(error instanceof StoreUnavailable, String(error));
      assert.doesNotMatch(error.message, new RegExp(PASSWORD));
      return revision;
    }
  }
}

/** Asks until the store answers: its recovery is nobody's task. */
async function untilWell(store: Store): Promise<void> {
  while (!(await store.health()).ok) await setTimeout(20);
}

for (const [what, crash] of [
  ["of PostgreSQL's process for a connection", (pid: number) => process.kill(pid, "SIGKILL")],
  [
    "of the whole of PostgreSQL",
    async () => {
      await server.kill();
      await server.start();
    },
  ],
] as const)
  test(`kill -9 ${what} loses nothing that was acknowledged, and the store comes back by itself`, async () => {
    const options = await postgres();
    const [store, other] = [new PostgresStore(options), new PostgresStore(options)];
    closing.push(store, other);
    for (let i = 0; i < 2; i++) {
      const heard = change(other);
      const revision = await writeNext(store, (await store.read()).revision);
      await heard;
      const told = [change(store), change(other)];
      const writing = writeUntilItFails(store, revision);
      await setTimeout(Math.random() * 200);
      const [connection] = await server.query(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'gatehouse' LIMIT 1",
      );
      await crash(connection?.pid as number);
      const acknowledged = await writing;
      await server.answers();
      // There may have been changes while it was away.
      await Promise.all([...told, untilWell(store), untilWell(other)]);
      await assertWhole(store, acknowledged);
      await other.read();
    }
  });

test("a write whose answer was lost is found out by the watch, and no later one is refused for ever", async () => {
  const options = await postgres();
  const store = new PostgresStore(options);
  closing.push(store);
  let { revision } = await store.read();
  const told = change(store);
  const ended = () =>
    server.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gatehouse'",
    );
  let lost = false;
  while (!lost) {
    const writing = store.write(revision, [put("a", { revision })], []);
    await Promise.all([
      ended(),
      writing.then(
        (next) => {
          revision = next;
        },
        (error) => {
          assert.ok(error instanceof StoreUnavailable || error instanceof StaleRevision, String(error));
          lost = true;
        },
      ),
    ]);
  }
  await told;
  await untilWell(store);
  revision = (await store.changesSince(revision))?.revision ?? -1;
  assert.equal(await store.write(revision, [put("b")], []), revision + 1);
});
