/** A store that is opened when it is used: nothing is made to read nothing, and what was written is there again. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { OnDemandStore } from "../../src/stores/on-demand-store.ts";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";
import { StaleRevision, StoreUnavailable } from "../../src/stores/store.ts";
import { put, row } from "./contract.ts";

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-on-demand-"));
  after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, "a.sqlite");
}

interface Counted {
  readonly store: OnDemandStore;
  readonly path: string;
  /** Times that it was opened and closed. */
  readonly times: { opened: number; closed: number };
}

async function onDemand(idleMs?: number): Promise<Counted> {
  const path = await scratch();
  const times = { opened: 0, closed: 0 };
  const store = new OnDemandStore({
    engine: "sqlite",
    isThere: () => existsSync(path),
    async open() {
      times.opened++;
      const file = await SqliteStore.open({ path });
      const close = file.close.bind(file);
      file.close = async () => {
        await close();
        times.closed++;
      };
      return file;
    },
    ...(idleMs === undefined ? {} : { idleMs }),
  });
  return { store, path, times };
}

test("nothing is opened or made to read what was never written", async () => {
  const { store, path, times } = await onDemand();
  assert.deepEqual(await store.read(), { revision: 0, rows: [] });
  assert.deepEqual(await store.changesSince(0), { revision: 0, edits: [] });
  assert.deepEqual(await store.health(), { ok: true });
  await store.close();
  assert.deepEqual([times.opened, existsSync(path)], [0, false]);
});

test("what is used at the same time is opened once, let go when idle, and opened again with what was written", async () => {
  const { store, times } = await onDemand(0);
  const writes = await Promise.allSettled([store.write(0, [put("a")], []), store.write(0, [put("b")], [])]);
  assert.deepEqual(writes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  assert.ok(writes.some((one) => one.status === "rejected" && one.reason instanceof StaleRevision));
  assert.equal(times.opened, 1);
  const deadline = AbortSignal.timeout(20_000);
  while (times.closed === 0) {
    assert.ok(!deadline.aborted);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.deepEqual((await store.read()).rows.length, 1);
  assert.equal(times.opened, 2);
  await store.close();
  assert.equal(times.closed, 2);
});

test("a store that cannot be opened is tried again by whoever asks next", async () => {
  const path = await scratch();
  let isBroken = true;
  const store = new OnDemandStore({
    engine: "sqlite",
    isThere: () => true,
    async open() {
      if (isBroken) throw new StoreUnavailable("no disk");
      return SqliteStore.open({ path });
    },
  });
  await assert.rejects(store.read(), /no disk/);
  assert.deepEqual(await store.health(), { ok: false, why: "no disk" });
  isBroken = false;
  assert.equal(await store.write(0, [put("a")], []), 1);
  assert.deepEqual((await store.read()).rows, [row("a")]);
  await store.close();
  await assert.rejects(store.read(), /the store is closed/);
});
