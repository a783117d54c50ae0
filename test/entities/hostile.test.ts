/** Whatever is given for an entity: judged without harm, and what is accepted is accepted again as it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Field, schemaToJson, validate, violationFields } from "@gatehouse/sdk";
import fc from "fast-check";
import { violationMessage } from "../../src/control/refusal.ts";
import { ENTITIES, ENTITY_NAMES } from "../../src/entities/entities.ts";
import { soundEntities } from "./sound-entities.ts";

const SOUND = await soundEntities();
const RUNS = { numRuns: 150 };

/** Values that a field may well accept, and some that it does not. */
function valuesOf(schema: Field): fc.Arbitrary<unknown> {
  const inside = () => valuesOf((schema.elements ?? schema.values) as Field);
  const texts = [
    fc.constantFrom("/a", "/a/b", "a.example", "10.0.0.1:80", "GET", "x-a", "~/a+"),
    fc.string(),
  ];
  switch (schema.type) {
    case "string":
      return schema.oneOf ? fc.constantFrom(...schema.oneOf) : fc.oneof(...texts);
    case "integer":
      return schema.oneOf ? fc.constantFrom(...schema.oneOf) : fc.integer({ min: -1, max: 70_000 });
    case "number":
      return fc.double({ min: -1, max: 70_000 });
    case "boolean":
      return fc.boolean();
    case "array":
    case "set":
      return fc.array(inside(), { maxLength: 4 });
    case "map":
      return fc.dictionary(fc.constantFrom("a", "x-b", "__proto__", "constructor"), inside());
    case "record":
      return fc.record(
        Object.fromEntries(
          Object.entries(schema.fields ?? {}).map(([name, child]) => [name, valuesOf(child)]),
        ),
        { requiredKeys: [] },
      );
    case "foreign":
      return fc.record({ id: fc.string() });
    case "any":
      return fc.jsonValue();
  }
}

for (const name of ENTITY_NAMES) {
  const { schema } = ENTITIES[name];
  test(`${name} that are accepted are accepted again, unchanged`, () => {
    let accepted = 0;
    fc.assert(
      fc.property(valuesOf(schema), fc.double({ min: 0, max: 1 }), (fields, kept) => {
        // A few fields at a time: all of them together are rarely sound.
        const some = Object.entries(fields as object).filter((_, i) => ((i * 7919) % 100) / 100 < kept / 3);
        const { value, violations } = validate(schema, { ...SOUND[name], ...Object.fromEntries(some) });
        if (violations.length > 0) return;
        accepted++;
        const again = validate(schema, structuredClone(value));
        assert.deepEqual(again.violations, []);
        assert.deepEqual(again.value, value);
      }),
      { numRuns: 300 },
    );
    assert.ok(accepted > 0);
  });
}

const HOSTILE: [title: string, value: unknown][] = [
  ["a prototype", JSON.parse('{"__proto__": {"polluted": true}}')],
  ["a constructor", JSON.parse('{"constructor": {"prototype": {"polluted": true}}}')],
  ["a very deep value", Array.from({ length: 5000 }).reduce<unknown>((inner) => ({ a: inner }), 1)],
  ["a very deep list", Array.from({ length: 5000 }).reduce<unknown>((inner) => [inner], 1)],
  ["a huge text", "/".repeat(1 << 20)],
  ["half a surrogate pair", "a\ud800b"],
  ["a zero byte", "a\0b"],
  ["not a number", Number.NaN],
  ["infinity", Number.POSITIVE_INFINITY],
  ["minus zero", -0],
  ["a large integer", 2 ** 53],
  ["a bigint", 1n],
  ["a symbol", Symbol("a")],
  ["a function", () => 1],
  ["a date", new Date(0)],
  ["bytes", new Uint8Array(4)],
  ["an object without prototype", Object.assign(Object.create(null), { id: "a" })],
  ["a list with holes", Array(3)],
  ["a text that is a pattern", "(a+)+$"],
  ["an empty text", ""],
];

for (const [title, hostile] of HOSTILE) {
  test(`${title} in any field of any entity is judged without an exception`, () => {
    for (const name of ENTITY_NAMES) {
      const { schema } = ENTITIES[name];
      judged(schema, hostile);
      for (const field of Object.keys(schema.fields ?? {}))
        for (const value of [hostile, [hostile], { a: hostile }, { id: hostile }])
          judged(schema, { ...SOUND[name], [field]: value });
    }
  });
}

test("no value whatsoever makes judging throw or changes what objects inherit", () => {
  const anything = fc.anything({ withNullPrototype: true, withBigInt: true, withDate: true, withMap: true });
  const names = fc.constantFrom(...ENTITY_NAMES);
  fc.assert(
    fc.property(names, fc.dictionary(fc.string(), anything), anything, (name, fields, whole) => {
      judged(ENTITIES[name].schema, whole);
      judged(ENTITIES[name].schema, { ...SOUND[name], ...fields });
    }),
    RUNS,
  );
});

function judged(schema: Field, value: unknown): void {
  const { violations } = validate(schema, value);
  // What the Admin API makes of it is text of a bounded length for each.
  violationMessage(violationFields(violations));
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  assert.equal(Object.hasOwn(Object.prototype, "polluted"), false);
}

test("the schemas as they are told are JSON and nothing else", () => {
  for (const name of ENTITY_NAMES) {
    const json = schemaToJson(ENTITIES[name].schema);
    assert.deepEqual(JSON.parse(JSON.stringify(json)), json, name);
  }
});
