/** Control planes that share a store: who is late judges again, what is unsound is not served, what is away comes back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_WORKSPACE_ID, type EntityName } from "../../src/entities/entities.ts";
import { MemoryDatabase, MemoryStore } from "../../src/stores/memory.ts";
import { type Edit, type Store, StoreUnavailable } from "../../src/stores/store.ts";
import { NotDeployed } from "../../src/threads/deployment.ts";
import { openControl, type TestControl } from "./controls.ts";

const BY = { actor: null };
const SOME_ID = "11111111-1111-4111-8111-111111111111";

const put = ({ control }: TestControl, kind: EntityName, key: string, input: object) =>
  control.write({ verb: "put", kind, workspace: DEFAULT_WORKSPACE_ID, key, input: { ...input } }, BY);
const remove = ({ control }: TestControl, kind: EntityName, key: string) =>
  control.write({ verb: "remove", kind, workspace: DEFAULT_WORKSPACE_ID, key }, BY);

/** Resolves when the two serve the same. */
async function agreed(one: TestControl, other: TestControl): Promise<void> {
  while (one.control.hash !== other.control.hash) await new Promise(setImmediate);
}

test("a write on one is in force on the other, which told its threads no more than that", async () => {
  const database = new MemoryDatabase();
  const one = await openControl(new MemoryStore(database));
  const other = await openControl(new MemoryStore(database));
  await put(one, "services", "s", { host: "h" });
  await agreed(one, other);
  assert.deepEqual(other.told.of("services"), one.told.of("services"));
  assert.equal(other.told.size, 1);
  await remove(one, "services", "s");
  await agreed(one, other);
  assert.deepEqual(other.told.of("services"), []);
});

test("a document that one has just put in force is no change to the other", async () => {
  const database = new MemoryDatabase();
  const one = await openControl(new MemoryStore(database));
  const other = await openControl(new MemoryStore(database));
  const request = {
    text: `_format_version: "3.0"\nservices: [{ name: s, host: h.example }]\n`,
    workspace: null,
    tags: [],
    removes: true,
    noTenants: null,
  };
  assert.ok((await one.control.sync(request, null, BY)).ok);
  const planned = await other.control.plan(request);
  assert.ok(planned.ok);
  assert.deepEqual(planned.plan.changes, []);
});

test("of two who take one name at once, one is refused", async () => {
  const database = new MemoryDatabase();
  const [one, other] = [
    await openControl(new MemoryStore(database)),
    await openControl(new MemoryStore(database)),
  ];
  const create = ({ control }: TestControl) =>
    control.write(
      { verb: "create", kind: "services", workspace: DEFAULT_WORKSPACE_ID, input: { name: "s", host: "h" } },
      BY,
    );
  const outcomes = await Promise.allSettled([create(one), create(other)]);
  assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  const reason = outcomes.find((outcome) => outcome.status === "rejected")?.reason;
  assert.match(String(reason), /UNIQUE violation detected/);
  await agreed(one, other);
});

test("a service that one removes and the other points to stays, or the route is refused", async () => {
  const database = new MemoryDatabase();
  const [one, other] = [
    await openControl(new MemoryStore(database)),
    await openControl(new MemoryStore(database)),
  ];
  for (let i = 0; i < 20; i++) {
    await put(one, "services", "s", { host: "h" });
    await agreed(one, other);
    const [removed, pointed] = await Promise.allSettled([
      remove(one, "services", "s"),
      put(other, "routes", "r", { paths: ["/a"], service: { name: "s" } }),
    ]);
    assert.notEqual(removed.status, pointed.status);
    await agreed(one, other);
    for (const [kind, key] of [
      ["routes", "r"],
      ["services", "s"],
    ] as const)
      await remove(one, kind, key);
    await agreed(one, other);
  }
});

test("writes of many on two sides are all there on both", async () => {
  const database = new MemoryDatabase();
  const [one, other] = [
    await openControl(new MemoryStore(database)),
    await openControl(new MemoryStore(database)),
  ];
  await Promise.all(
    Array.from({ length: 60 }, (_, i) => put(i % 2 === 0 ? one : other, "consumers", `c${i}`, {})),
  );
  await agreed(one, other);
  assert.equal(one.control.index.list("consumers", DEFAULT_WORKSPACE_ID).length, 60);
  assert.deepEqual(new Set(one.told.of("consumers")), new Set(other.told.of("consumers")));
});

test("a gateway that was away longer than the store remembers reads everything, and tells what differs", async () => {
  const database = new MemoryDatabase({ maxRemoved: 1 });
  const one = await openControl(new MemoryStore(database));
  for (const name of ["a", "b", "c", "d"]) await put(one, "consumers", name, {});
  const other = await openControl(new MemoryStore(database));
  for (const name of ["a", "b", "c"]) await remove(one, "consumers", name);
  await agreed(one, other);
  assert.deepEqual(
    other.told.of("consumers").map(({ username }) => username),
    ["d"],
  );
});

test("what no thread can prepare is not written", async () => {
  const store = new MemoryStore();
  const one = await openControl(store);
  one.told.refuse = new NotDeployed("the plugin refuses its configuration");
  await assert.rejects(put(one, "services", "s", { host: "h" }), NotDeployed);
  assert.deepEqual((await store.read()).rows, []);
  one.told.refuse = null;
  await put(one, "services", "s", { host: "h" });
  assert.equal((await store.read()).rows.length, 1);
});

/** A store that can be cut off. */
class Cut extends MemoryStore {
  away = false;

  override async write(...args: Parameters<Store["write"]>): Promise<number> {
    if (this.away) throw new StoreUnavailable("the disk is full");
    return super.write(...args);
  }
}

test("while the store is away nothing is written, what is in force stays, and then it goes on", async () => {
  const store = new Cut();
  const one = await openControl(store);
  await put(one, "services", "s", { host: "h" });
  const { hash } = one.control;
  store.away = true;
  await assert.rejects(put(one, "services", "t", { host: "h" }), {
    kind: "unavailable",
    message: /nothing was changed, and requests are served as before: the disk is full/,
  });
  assert.deepEqual([one.control.hash, one.told.hash], [hash, hash]);
  store.away = false;
  await put(one, "services", "t", { host: "h" });
  assert.equal(one.told.of("services").length, 2);
});

const row = (kind: string, id: string, body: object, workspace = DEFAULT_WORKSPACE_ID): Edit => ({
  put: { kind, id, workspace, body: { id, created_at: 1, updated_at: 1, ...body } },
});

const UNSOUND: [title: string, edits: Edit[], message: RegExp][] = [
  ["of no collection", [row("secrets", SOME_ID, {})], /secrets .*no such collection/],
  ["without what is required", [row("services", SOME_ID, {})], /services .*host: required field missing/],
  [
    "with a field that nobody knows",
    [row("services", SOME_ID, { host: "h", sudo: true })],
    /sudo: unknown field/,
  ],
  ["of no workspace", [row("services", SOME_ID, { host: "h" }, SOME_ID)], /workspace .*does not exist/],
  ["whose id is no id", [row("services", "1", { host: "h" })], /no UUID/],
  ["whose id is another's", [row("services", SOME_ID, { host: "h", id: "1" })], /its id is not the row's/],
  ["without its time", [row("services", SOME_ID, { host: "h", created_at: null })], /created_at/],
  [
    "that points to nobody",
    [row("routes", SOME_ID, { paths: ["/"], service: { id: SOME_ID } })],
    /service: there is no 'services' entity/,
  ],
  [
    "with another's name",
    [
      row("services", SOME_ID, { name: "s", host: "h" }),
      row("services", SOME_ID.replace("1", "2"), { name: "s", host: "h" }),
    ],
    /name: row .* has the same/,
  ],
  [
    "of a plugin that is not there",
    [row("plugins", SOME_ID, { name: "nothing" })],
    /plugin 'nothing' not enabled/,
  ],
];

for (const [title, edits, message] of UNSOUND)
  test(`a row ${title} is named: no gateway starts by it, and one that runs goes on as before`, async () => {
    const database = new MemoryDatabase();
    const one = await openControl(new MemoryStore(database));
    await put(one, "consumers", "alice", {});
    const { hash } = one.control;
    const stranger = new MemoryStore(database);
    const { revision } = await stranger.read();
    await stranger.write(revision, edits, []);
    await assert.rejects(openControl(new MemoryStore(database)), message);
    await assert.rejects(put(one, "consumers", "bob", {}), { kind: "unavailable", message });
    assert.deepEqual([one.control.hash, one.told.hash], [hash, hash]);
    assert.ok(one.lines.some(({ msg }) => /last good configuration keeps serving/.test(String(msg))));
    // Once it is gone, everything goes on.
    const gone = edits.flatMap((edit) =>
      "put" in edit ? [{ remove: { kind: edit.put.kind, id: edit.put.id } }] : [],
    );
    await stranger.write((await stranger.read()).revision, gone, []);
    await put(one, "consumers", "bob", {});
    assert.equal(one.told.of("consumers").length, 2);
  });

test("a tenant's row that reaches for another's host is not served", async () => {
  const database = new MemoryDatabase();
  const stranger = new MemoryStore(database);
  const [acme, other] = [SOME_ID, SOME_ID.replaceAll("1", "2")];
  await stranger.write(
    0,
    [
      row("workspaces", acme, { name: "acme", hosts: ["acme.example"] }, ""),
      row("workspaces", other, { name: "other", hosts: ["other.example"] }, ""),
      row("routes", SOME_ID.replaceAll("1", "3"), { hosts: ["other.example"] }, acme),
    ],
    [],
  );
  await assert.rejects(openControl(stranger), /host 'other.example' is not owned by workspace 'acme'/);
});

test("a workspace that another hand gives a tenant's hosts is not served", async () => {
  const database = new MemoryDatabase();
  const one = await openControl(new MemoryStore(database));
  await put(one, "workspaces", SOME_ID.replaceAll("1", "2"), { name: "acme", hosts: ["www.acme.example"] });
  const { hash } = one.control;
  const stranger = new MemoryStore(database);
  for (const [i, id] of [SOME_ID, SOME_ID.replaceAll("1", "3")].entries()) {
    const { revision } = await stranger.read();
    const greedy = row("workspaces", id, { name: `greedy-${i}`, hosts: ["*.acme.example"] }, "");
    await stranger.write(revision, [greedy], []);
    await assert.rejects(put(one, "consumers", "alice", {}), {
      kind: "unavailable",
      message: /is owned by workspace/,
    });
    assert.equal(one.told.hash, hash);
    await stranger.write(revision + 1, [{ remove: { kind: "workspaces", id } }], []);
  }
  await put(one, "consumers", "alice", {});
});
