/** The store's thread between the main thread and data threads: by real threads and ports, on a real file. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { GuestStore } from "../../src/guest-store/guest-store.ts";
import type { Quota, Scope } from "../../src/guest-store/key-value-store.ts";
import { StoreClient } from "../../src/guest-store/store-client.ts";
import { HostCallError } from "../../src/sandbox/calls/host-call-error.ts";

const MIB = 1 << 20;
const QUOTA: Quota = { bytes: MIB, keys: 1000, workspaceBytes: MIB };
const own: Scope = { workspace: "w", owner: "w", plugin: "p" };

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-store-"));
});
after(() => rm(directory, { recursive: true, force: true }));

interface Told {
  readonly level: string;
  readonly message: string;
}

function open(name: string, told: Told[] = []): GuestStore {
  const path = join(directory, name, "values.sqlite");
  return new GuestStore({
    store: { kind: "local", path, maxBytes: 64 * MIB },
    log: (level, message) => told.push({ level, message }),
  });
}

/** A data thread's client, connected in a later turn of the loop as over a thread's messages. */
function clientOf(store: GuestStore): StoreClient {
  const client: StoreClient = new StoreClient(() => setImmediate(() => client.connect(store.connect())));
  return client;
}

const text = (bytes: Uint8Array | null) => bytes && Buffer.from(bytes).toString();
const says = (pattern: RegExp) => (error: Error) =>
  error instanceof HostCallError && pattern.test(error.message);

test("what one data thread keeps, another sees, in the order of the answers", async () => {
  const store = open("shared");
  const [one, two] = [clientOf(store).values(own, QUOTA), clientOf(store).values(own, QUOTA)];
  for (let i = 0; i < 20; i++) {
    await one.set("k", `${i}`);
    assert.equal(text(await two.get("k")), `${i}`);
    await two.delete("k");
    assert.equal(await one.get("k"), null);
  }
  await store.close();
});

test("operations that are asked for together happen in their order", async () => {
  const store = open("order");
  const values = clientOf(store).values(own, QUOTA);
  const outcomes = await Promise.all([
    values.set("k", "one"),
    values.get("k"),
    values.set("k", "two"),
    values.get("k"),
    values.delete("k"),
    values.get("k"),
  ]);
  assert.deepEqual(
    [outcomes[1], outcomes[3], outcomes[5]].map((value) => text(value ?? null)),
    ["one", "two", null],
  );
  await store.close();
});

for (const [title, run, wrong] of [
  ["an empty key", (values) => values.set("", "v"), /1 to 256 bytes/],
  ["a key of 257 bytes", (values) => values.set("k".repeat(257), "v"), /1 to 256 bytes/],
  ["a key of 129 two-byte characters", (values) => values.get("\u00fc".repeat(129)), /1 to 256 bytes/],
  ["a value of 64 KiB and one", (values) => values.set("k", new Uint8Array(65_537)), /at most 65536 bytes/],
  ["a time of none", (values) => values.set("k", "v", { ttlMs: 0 }), /whole number from 1/],
  ["a time of half a millisecond", (values) => values.set("k", "v", { ttlMs: 0.5 }), /whole number from 1/],
  ["a time beyond the longest", (values) => values.set("k", "v", { ttlMs: 1e12 }), /whole number from 1/],
] as const satisfies [string, (values: ReturnType<StoreClient["values"]>) => unknown, RegExp][])
  test(`${title} is refused without asking the store`, async () => {
    const client = new StoreClient(() => assert.fail("the store is asked"));
    await assert.rejects(async () => run(client.values(own, QUOTA)), says(wrong));
  });

test("one workspace may have so many operations waiting, and another's go on", async () => {
  const client = new StoreClient(() => {});
  const waiting = Array.from({ length: 256 }, () => client.values(own, QUOTA).get("k"));
  await assert.rejects(async () => client.values(own, QUOTA).get("k"), says(/too many operations/));
  const other = client.values({ ...own, workspace: "other" }, QUOTA).get("k");
  const store = open("waiting");
  client.connect(store.connect());
  assert.deepEqual(await Promise.all([...waiting, other]), Array(257).fill(null));
  assert.equal(await client.values(own, QUOTA).get("k"), null);
  await store.close();
});

test("a store that cannot be opened is a refusal that names no path, and serves once it can be", async () => {
  await mkdir(join(directory, "blocked", "values.sqlite"), { recursive: true });
  const told: Told[] = [];
  const store = open("blocked", told);
  const values = clientOf(store).values(own, QUOTA);
  await assert.rejects(async () => values.set("k", "v"), says(/^the store cannot be reached$/));
  await rm(join(directory, "blocked"), { recursive: true });
  let kept = false;
  while (!kept)
    kept = await Promise.resolve(values.set("k", "v")).then(
      () => true,
      () => false,
    );
  assert.equal(text(await values.get("k")), "v");
  assert.ok(told.length >= 1 && told.every(({ level }) => level === "error"));
  await store.close();
});

test("what was answered is there when the store is opened again, and nothing is answered in between", async () => {
  const store = open("end");
  const values = clientOf(store).values(own, QUOTA);
  await values.set("k", "last");
  await store.close();
  await assert.rejects(async () => values.get("k"), says(/cannot be reached/));
  const again = open("end");
  assert.equal(text(await clientOf(again).values(own, QUOTA).get("k")), "last");
  await again.close();
});
