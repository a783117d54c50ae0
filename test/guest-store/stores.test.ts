/** One contract for both stores of plugins' values: the local one, and a real Redis. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Redis } from "ioredis";
import {
  KEY_COST,
  type KeyValueStore,
  type Operation,
  type Quota,
  REMOVED_AT_ONCE,
  type Scope,
} from "../../src/guest-store/key-value-store.ts";
import { RedisStore } from "../../src/guest-store/redis-store.ts";
import { SqliteStore } from "../../src/guest-store/sqlite-store.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";

const MIB = 1 << 20;
const QUOTA: Quota = { bytes: MIB, keys: 1000, workspaceBytes: 16 * MIB };

const scope = (workspace: string, plugin = "p", owner = workspace): Scope => ({ workspace, owner, plugin });
const get = (of: Scope, key: string): Operation => ({ op: "get", scope: of, key });
const set = (
  of: Scope,
  key: string,
  value: string | Uint8Array,
  rest: Partial<Operation & { op: "set" }> = {},
) =>
  ({ op: "set", scope: of, key, value: Buffer.from(value), ttlMs: null, quota: QUOTA, ...rest }) as Operation;
const remove = (of: Scope, key: string): Operation => ({ op: "delete", scope: of, key });

/** Outcomes as text, null or the fault. */
async function run(store: KeyValueStore, ...operations: Operation[]): Promise<(string | null)[]> {
  const outcomes = await store.run(operations);
  return outcomes.map((one) =>
    "fault" in one ? one.fault : one.value === null ? null : Buffer.from(one.value).toString("latin1"),
  );
}

/** Until the clock of the store, which may be another process's, has passed `ms` from now. */
async function pass(store: KeyValueStore, ms: number): Promise<void> {
  const end = Date.now() + ms;
  while (Date.now() <= end) await run(store, get(scope("nobody"), "x"));
}

let directory: string;
let redis: RedisServer;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-store-"));
  redis = await startRedis();
});
after(async () => {
  await redis[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const server = () => ({
  host: "127.0.0.1",
  port: redis.port,
  username: null,
  password: null,
  database: 0,
  ssl: false,
});
const fail = (reason: string): never => assert.fail(reason);
const local = (path: string, maxBytes = 64 * MIB) =>
  new SqliteStore({ path, maxBytes, onDamaged: fail, onFailure: () => {} });

const STORES: Record<string, () => KeyValueStore> = {
  local: () => local(join(directory, "contract", "values.sqlite")),
  redis: () => new RedisStore({ server: server(), onFailure: fail }),
};

for (const [name, open] of Object.entries(STORES))
  describe(`the ${name} store`, () => {
    let store: KeyValueStore;
    before(() => {
      store = open();
    });
    after(() => store.close());

    test("keeps bytes of every value, and the last write wins", async () => {
      const own = scope("bytes");
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      assert.deepEqual(
        await run(store, get(own, "k"), set(own, "k", "old"), set(own, "k", bytes), get(own, "k")),
        [null, null, null, bytes.toString("latin1")],
      );
      assert.deepEqual(
        await run(store, set(own, "empty", ""), get(own, "empty"), remove(own, "k"), get(own, "k")),
        [null, "", null, null],
      );
    });

    test("tells keys apart that differ in any byte", async () => {
      const own = scope("keys");
      const keys = ["a", "A", "a ", "a\u0000", "a\u0000b", "ä", "a\u0308", "😀", "'", '"', "*", "{a}", ":"];
      await run(store, ...keys.map((key) => set(own, key, `value of ${Buffer.from(key).toString("hex")}`)));
      assert.deepEqual(
        await run(store, ...keys.map((key) => get(own, key))),
        keys.map((key) => `value of ${Buffer.from(key).toString("hex")}`),
      );
    });

    test("keeps workspaces, owners and plugins apart, however their names are put together", async () => {
      const scopes = [
        scope("a", "b-c", "a"),
        scope("a-b", "c", "a"),
        scope("a", "c", "a-b"),
        scope("a", "c", ""),
        scope("a/", "c", "b"),
        scope("a", "c", "/b"),
        scope("a", "b/c", ""),
        scope("a}", "c", "b"),
        scope("a:values", "c", "b"),
        scope("a", "values:c", "b"),
        scope("a%2F", "c", "b"),
      ];
      await run(store, ...scopes.map((one, i) => set(one, "k", String(i))));
      assert.deepEqual(
        await run(store, ...scopes.map((one) => get(one, "k"))),
        scopes.map((_, i) => String(i)),
      );
    });

    test("takes what the quota allows to the byte, and nothing beyond", async () => {
      const own = scope("quota");
      const quota = { ...QUOTA, bytes: 2 * (KEY_COST + 3) + 100, workspaceBytes: MIB };
      const size = (length: number) => new Uint8Array(length);
      assert.deepEqual(
        await run(
          store,
          set(own, "one", size(60), { quota }),
          set(own, "two", size(41), { quota }),
          set(own, "two", size(40), { quota }),
          set(own, "one", size(61), { quota }),
          set(own, "one", size(59), { quota }),
          set(own, "two", size(41), { quota }),
          set(own, "three", "", { quota }),
          remove(own, "two"),
          set(own, "tri", size(41), { quota }),
        ),
        [null, "quota", null, "quota", null, null, "quota", null, null],
      );
      assert.deepEqual(await run(store, get(own, "two")), [null]);
    });

    test("lets a plugin whose quota was lowered write less than it holds, and no more", async () => {
      const own = scope("lowered");
      await run(store, set(own, "a", new Uint8Array(500)), set(own, "b", new Uint8Array(500)));
      const quota = { ...QUOTA, bytes: 300, workspaceBytes: 300 };
      assert.deepEqual(
        await run(
          store,
          set(own, "a", new Uint8Array(501), { quota }),
          set(own, "a", new Uint8Array(500), { quota }),
          set(own, "a", new Uint8Array(10), { quota }),
          set(own, "c", "", { quota }),
          remove(own, "b"),
          set(own, "c", "", { quota }),
        ),
        ["quota", null, null, "quota", null, null],
      );
    });

    test("bounds what all plugins of a workspace keep together, and leaves the others alone", async () => {
      const quota = { ...QUOTA, bytes: 1000, workspaceBytes: 1500 };
      const write = (plugin: string) => set(scope("shared", plugin), "k", new Uint8Array(900), { quota });
      assert.deepEqual(await run(store, write("one"), write("two"), write("one")), [
        null,
        "workspace_quota",
        null,
      ]);
      assert.deepEqual(await run(store, set(scope("other"), "k", new Uint8Array(900), { quota })), [null]);
    });

    test("forgets a value when its time is over, and gives its room back", async () => {
      const own = scope("time");
      const quota = { ...QUOTA, bytes: KEY_COST + 101, workspaceBytes: MIB };
      const value = new Uint8Array(100);
      await run(store, set(own, "a", value, { ttlMs: 30, quota }));
      assert.deepEqual(await run(store, set(own, "b", value, { quota })), ["quota"]);
      await pass(store, 30);
      assert.deepEqual(await run(store, get(own, "a"), set(own, "b", value, { quota })), [null, null]);
      await run(store, set(own, "b", "kept", { ttlMs: 30, quota }), set(own, "b", "kept", { quota }));
      await pass(store, 30);
      assert.deepEqual(await run(store, get(own, "b")), ["kept"]);
    });

    test("has room for a bounded number of keys", async () => {
      const own = scope("many");
      const quota = { ...QUOTA, keys: 3 };
      const writes = ["a", "b", "c", "d", "a"].map((key) => set(own, key, key, { quota }));
      assert.deepEqual(await run(store, ...writes), [null, null, null, "keys", null]);
      assert.deepEqual(await run(store, remove(own, "a"), set(own, "d", "d", { quota })), [null, null]);
    });

    test("removes of very many values that are over so many at a time, for others wait", async () => {
      const of = scope("leaves much behind");
      const quota = { ...QUOTA, keys: 2 * REMOVED_AT_ONCE };
      const keys = Array.from({ length: REMOVED_AT_ONCE + 1 }, (_, i) => `k${i}`);
      await run(store, ...keys.map((key) => set(of, key, "v", { ttlMs: 1, quota })));
      await pass(store, 1);
      const one = set(of, "new", "v", { quota: { ...QUOTA, keys: 1 } });
      assert.deepEqual(await run(store, one, one), ["keys", null]);
    });

    test("forgets a published plugin in every workspace, and no other", async () => {
      const gone = [scope("one", "p", "maker"), scope("two", "p", "maker"), scope("maker", "p", "maker")];
      const kept = [scope("one", "p", "other"), scope("one", "pp", "maker"), scope("one", "q", "maker")];
      await run(store, ...[...gone, ...kept].map((one) => set(one, "k", "v")));
      await run(store, { op: "forget", owner: "maker", plugin: "p" });
      assert.deepEqual(await run(store, ...[...gone, ...kept].map((one) => get(one, "k"))), [
        null,
        null,
        null,
        "v",
        "v",
        "v",
      ]);
      const quota = { ...QUOTA, bytes: MIB, workspaceBytes: 4 * (KEY_COST + 2) };
      assert.deepEqual(await run(store, set(gone[1] as Scope, "k", "v", { quota })), [null]);
      assert.deepEqual(await run(store, set(gone[0] as Scope, "k", "v", { quota })), [null]);
      assert.deepEqual(await run(store, set(gone[0] as Scope, "l", "v", { quota })), ["workspace_quota"]);
    });

    test("never takes more than the quota from writers at the same time", async () => {
      const own = scope("writers");
      const quota = { ...QUOTA, bytes: 10 * (KEY_COST + 10), workspaceBytes: MIB };
      const other = open();
      const writes = await Promise.all(
        Array.from({ length: 40 }, (_, i) =>
          run(i % 2 === 0 ? store : other, set(own, `k${i}`.padEnd(4), "123456", { quota })),
        ),
      );
      await other.close();
      assert.equal(writes.flat().filter((outcome) => outcome === null).length, 10);
    });
  });

test("the local store loses no batch that it answered when its process is killed", async () => {
  const path = join(directory, "killed", "values.sqlite");
  const script = `
    const { SqliteStore } = await import(${JSON.stringify(import.meta.resolve("../../src/guest-store/sqlite-store.ts"))});
    const store = new SqliteStore({ path: ${JSON.stringify(path)}, maxBytes: 1 << 24, onDamaged() {}, onFailure() {} });
    const quota = { bytes: 1 << 20, workspaceBytes: 1 << 20, keys: 1000 };
    const scope = { workspace: "w", owner: "w", plugin: "p" };
    for (let i = 0; i < 100; i++)
      await store.run([{ op: "set", scope, key: "k" + i, value: Buffer.from(String(i)), ttlMs: null, quota }]);
    process.kill(process.pid, "SIGKILL");`;
  const { signal } = spawnSync(process.execPath, ["--input-type=module", "-e", script]);
  assert.equal(signal, "SIGKILL");
  const store = local(path);
  const own = scope("w");
  assert.deepEqual(
    await run(store, ...Array.from({ length: 100 }, (_, i) => get(own, `k${i}`))),
    Array.from({ length: 100 }, (_, i) => String(i)),
  );
  await store.close();
});

test("a file that is no store is put aside, and plugins begin without values", async () => {
  const path = join(directory, "damaged.sqlite");
  await writeFile(path, "this is no database".repeat(1000));
  const told: string[] = [];
  const store = new SqliteStore({
    path,
    maxBytes: MIB,
    onDamaged: (aside) => told.push(aside),
    onFailure: fail,
  });
  assert.deepEqual(await run(store, set(scope("w"), "k", "v"), get(scope("w"), "k")), [null, "v"]);
  await store.close();
  assert.equal(told.length, 1);
  assert.ok((await readdir(directory)).some((name) => told[0]?.endsWith(name)));
});

test("the local store says when its file is full, and goes on once there is room", async () => {
  const store = local(join(directory, "full.sqlite"), MIB);
  const own = scope("w");
  const quota = { ...QUOTA, bytes: 64 * MIB, workspaceBytes: 64 * MIB };
  const seen: (string | null)[] = [];
  for (let i = 0; i < 32; i++)
    seen.push(...(await run(store, set(own, `k${i}`, new Uint8Array(65_536), { quota }))));
  assert.equal(seen[0], null);
  assert.equal(seen.at(-1), "full");
  await run(store, ...Array.from({ length: 32 }, (_, i) => remove(own, `k${i}`)));
  assert.deepEqual(await run(store, set(own, "again", "v", { quota }), get(own, "again")), [null, "v"]);
  await store.close();
});

test("a Redis that cannot be reached is a fault of each operation, and none once it answers again", async () => {
  const own = await startRedis();
  const reasons: string[] = [];
  const store = new RedisStore({
    server: { ...server(), port: own.port },
    onFailure: (why) => reasons.push(why),
  });
  assert.deepEqual(await run(store, set(scope("w"), "k", "v")), [null]);
  await own[Symbol.asyncDispose]();
  assert.deepEqual(await run(store, get(scope("w"), "k"), set(scope("w"), "k", "v")), [
    "unavailable",
    "unavailable",
  ]);
  assert.ok(reasons.length > 0);
  await store.close();
});

test("a Redis that has no memory left is a full store", async () => {
  await using own = await startRedis(["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
  const store = new RedisStore({ server: { ...server(), port: own.port }, onFailure: () => {} });
  assert.deepEqual(await run(store, set(scope("w"), "k", "v")), ["full"]);
  await store.close();
});

test("a Redis that asks for a password gets it, and no failure tells it", async () => {
  await using own = await startRedis(["--requirepass", "pa55word"]);
  const reasons: string[] = [];
  const at = { ...server(), port: own.port };
  const refused = new RedisStore({
    server: { ...at, password: "wr0ng" },
    onFailure: (why) => reasons.push(why),
  });
  assert.deepEqual(await run(refused, get(scope("w"), "k")), ["unavailable"]);
  await refused.close();
  assert.ok(reasons.length > 0 && !reasons.join().includes("wr0ng"));
  const store = new RedisStore({ server: { ...at, password: "pa55word" }, onFailure: fail });
  assert.deepEqual(await run(store, set(scope("w"), "k", "v"), get(scope("w"), "k")), [null, "v"]);
  await store.close();
  const client = new Redis({ port: own.port, password: "pa55word" });
  const keys = await client.keys("*");
  client.disconnect();
  assert.ok(keys.every((key) => key.startsWith("gatehouse:kv:{w}:")));
});
