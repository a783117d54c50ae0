/** What is kept of workspaces that are gone: forgotten to the end, whatever comes in between. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Place, type Tenant, Tenants } from "../../src/tenancy/tenants.ts";

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-tenants-"));
  after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

const ALICE: Tenant = { id: "11111111-1111-4111-8111-111111111111", name: "alice" };
const SECOND_ALICE: Tenant = { id: "22222222-2222-4222-8222-222222222222", name: "alice" };
const BOB: Tenant = { id: "33333333-3333-4333-8333-333333333333", name: "bob" };
const WHERE = ["processes", "packages", "values"] as const;

/** Places that count what they are asked for; `broken` says why one of them fails. */
function places(asked: string[], broken: (what: string) => string | null = () => null): Place[] {
  return WHERE.map((what) => ({
    what,
    byName: what !== "values",
    async forget({ id }) {
      const why = broken(what);
      if (why !== null) throw new Error(why);
      asked.push(`${what} ${id}`);
      return { [what]: 2 };
    },
  }));
}

const log = () => {};
const of = ({ id }: Tenant) => WHERE.map((what) => `${what} ${id}`);

test("a workspace that is gone is forgotten everywhere, and is told of with what it had", async () => {
  const asked: string[] = [];
  const tenants = await Tenants.open({ directory: await scratch(), places: places(asked), log });
  await tenants.arriving([ALICE, BOB]);
  tenants.left(ALICE, { services: 3 });
  assert.deepEqual(await tenants.departure("alice"), {
    entities: { services: 3 },
    removed: { processes: 2, packages: 2, values: 2 },
    pending: {},
  });
  assert.deepEqual(asked, of(ALICE));
  assert.equal(await tenants.departure("alice"), null, "nothing is left to forget");
  assert.equal(await tenants.departure("bob"), null, "who is there is not forgotten");
});

for (const [step, last] of WHERE.entries())
  test(`a gateway that ended before it had forgotten the ${last} does so when it starts again`, async () => {
    const directory = await scratch();
    const first: string[] = [];
    const ended = (what: string) => (what === last ? "the process ended" : null);
    const before = await Tenants.open({ directory, places: places(first, ended), log });
    await before.arriving([ALICE, BOB]);
    before.left(ALICE, {});
    await before.departure("alice");
    before.close();
    assert.ok(first.length >= step);

    const asked: string[] = [];
    const after = await Tenants.open({ directory, places: places(asked), log });
    await after.settle((id) => id === BOB.id);
    assert.deepEqual(asked, of(ALICE));
    await (await Tenants.open({ directory, places: places(asked), log })).settle((id) => id === BOB.id);
    assert.deepEqual(asked, of(ALICE), "once it is done it is done");
  });

test("who comes by the name of a workspace that is gone waits until nothing of it is left", async () => {
  const directory = await scratch();
  const asked: string[] = [];
  const before = await Tenants.open({ directory, places: places(asked), log });
  await before.arriving([ALICE]);
  // Another gateway deletes it and makes one of the same name, while this one is away.
  const tenants = await Tenants.open({ directory, places: places(asked), log });
  await tenants.arriving([SECOND_ALICE]);
  assert.deepEqual(asked, of(ALICE));
  await tenants.settle(({ length }) => length > 0);
  assert.deepEqual(asked, of(ALICE), "the one that came is left alone");
});

test("what goes by the name keeps the name taken while it cannot be forgotten; what goes by the id does not", async () => {
  const directory = await scratch();
  let broken = "packages";
  const tenants = await Tenants.open({
    directory,
    places: places([], (what) => (what === broken ? "the disk is full" : null)),
    log,
  });
  await tenants.arriving([ALICE]);
  tenants.left(ALICE, { routes: 1 });
  assert.deepEqual((await tenants.departure("alice"))?.pending, { packages: "the disk is full" });
  await assert.rejects(tenants.arriving([SECOND_ALICE]), /had the name 'alice', and of its packages/);
  broken = "values";
  await tenants.arriving([SECOND_ALICE]);
  broken = "";
  const { pending, entities } = (await tenants.departure("alice")) ?? {};
  assert.deepEqual(pending, {});
  assert.deepEqual(entities, { routes: 1 }, "asking again ends it");
  tenants.close();
});

for (const text of ["{", "[]", '{"format":2,"workspaces":{}}', '{"format":1,"workspaces":{"a":1}}'])
  test(`a damaged list is named, and nothing is taken from it: ${text}`, async () => {
    const directory = await scratch();
    await writeFile(join(directory, "workspaces.json"), text);
    await assert.rejects(
      Tenants.open({ directory, places: [], log }),
      /workspaces\.json is damaged; restore it/,
    );
  });
