/** The index of entities: whatever is edited, it finds what a search through all of them would, and the one before stays. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NOTHING, nextState } from "../../src/control/state.ts";
import { ENTITIES, ENTITY_NAMES, type EntityName } from "../../src/entities/entities.ts";
import { type EntityEdits, EntityIndex } from "../../src/entities/entity-index.ts";
import type { Entity } from "../../src/entities/relations.ts";

const KINDS = ["services", "routes", "ca_certificates"] as const;
const WORKSPACES = ["w1", "w2"];
const IDS = Array.from({ length: 30 }, (_, i) => `id-${String(i).padStart(2, "0")}`);
const id = fc.constantFrom(...IDS);
const kind = fc.constantFrom<EntityName>(...KINDS);

/** Names are their owner's alone: the index trusts whoever judged the edits. */
const put = fc
  .record({
    kind,
    id,
    ws: fc.constantFrom(...WORKSPACES),
    n: fc.nat(3),
    parent: fc.option(id),
    ca: fc.uniqueArray(id),
  })
  .map(({ kind, id, ws, n, parent, ca }) => ({
    kind,
    entity: {
      id,
      ws_id: ws,
      name: `${id}-${n}`,
      ...(kind === "routes" ? { service: parent && { id: parent } } : {}),
      ...(kind === "services" ? { ca_certificates: ca } : {}),
    } as Entity,
  }));
const edits: fc.Arbitrary<EntityEdits> = fc.record({
  put: fc.uniqueArray(put, { maxLength: 24, selector: ({ kind, entity }) => `${kind} ${entity.id}` }),
  removed: fc.array(fc.record({ kind, id }), { maxLength: 8 }),
});

function check(index: EntityIndex, all: ReadonlyMap<string, Entity>): void {
  const of = (kind: EntityName) =>
    [...all].flatMap(([key, entity]) => (key.startsWith(`${kind} `) ? [entity] : []));
  const sorted = (entities: Entity[]) => entities.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  for (const kind of KINDS) {
    assert.deepEqual(new Set(index.all(kind)), new Set(of(kind)));
    for (const ws of WORKSPACES)
      assert.deepEqual(index.list(kind, ws), sorted(of(kind).filter(({ ws_id }) => ws_id === ws)));
    for (const own of IDS) assert.equal(index.find(kind, own), all.get(`${kind} ${own}`));
    for (const entity of kind === "ca_certificates" ? [] : of(kind)) {
      assert.equal(index.holder(ENTITIES[kind], "name", entity.ws_id, String(entity.name)), entity);
      assert.equal(index.named(kind, entity.ws_id, String(entity.name)), entity);
    }
  }
  for (const parent of IDS) {
    const points = (entity: Entity) => (entity.service as { id: string } | null)?.id === parent;
    assert.deepEqual(index.children("routes", "service", parent), sorted(of("routes").filter(points)));
    const trusts = (entity: Entity) => (entity.ca_certificates as string[]).includes(parent);
    assert.deepEqual(
      index.children("services", "ca_certificates", parent),
      sorted(of("services").filter(trusts)),
    );
  }
  const count = ENTITY_NAMES.reduce((sum, kind) => sum + [...index.all(kind)].length, 0);
  assert.equal(count, all.size);
}

test("edits upon edits are found as in one pass over everything, and every index before stays as it was", () => {
  fc.assert(
    fc.property(fc.array(edits, { maxLength: 8 }), (steps) => {
      const states: [EntityIndex, Map<string, Entity>][] = [[EntityIndex.empty, new Map()]];
      for (const step of steps) {
        const [index, all] = states.at(-1) as [EntityIndex, Map<string, Entity>];
        const next = new Map(all);
        for (const { kind, id } of step.removed) next.delete(`${kind} ${id}`);
        for (const { kind, entity } of step.put) next.set(`${kind} ${entity.id}`, entity);
        states.push([index.next(step), next]);
      }
      for (const [index, all] of states) check(index, all);
    }),
    { numRuns: 60 },
  );
});

test("names that are gone or taken by others are nobody's and theirs", () => {
  const service = (id: string, name: string): EntityEdits["put"][number] => ({
    kind: "services",
    entity: { id, ws_id: "w1", name },
  });
  const one = EntityIndex.empty.next({ put: [service("a", "x"), service("b", "y")], removed: [] });
  const swapped = one.next({ put: [service("a", "y"), service("b", "x")], removed: [] });
  assert.equal(swapped.named("services", "w1", "x")?.id, "b");
  assert.equal(swapped.named("services", "w1", "y")?.id, "a");
  const gone = swapped.next({ put: [], removed: [{ kind: "services", id: "a" }] });
  assert.equal(gone.named("services", "w1", "y"), undefined);
  assert.equal(gone.named("services", "w2", "x"), undefined);
  assert.equal(one.named("services", "w1", "x")?.id, "a");
});

test("the hash is that of the content, whatever the way to it", () => {
  fc.assert(
    fc.property(fc.array(edits, { maxLength: 6 }), (steps) => {
      let state = NOTHING;
      for (const step of steps) state = nextState(state, step, 0);
      const all = KINDS.flatMap((kind) => [...state.index.all(kind)].map((entity) => ({ kind, entity })));
      assert.equal(nextState(NOTHING, { put: all.toReversed(), removed: [] }, 0).hash, state.hash);
      const emptied = all.map(({ kind, entity: { id } }) => ({ kind, id }));
      assert.equal(nextState(state, { put: [], removed: emptied }, 0).hash, NOTHING.hash);
    }),
    { numRuns: 60 },
  );
});
