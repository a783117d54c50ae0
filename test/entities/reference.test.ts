/** The reference of entities is the schemas'. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ENTITIES, ENTITY_NAMES } from "../../src/entities/entities.ts";
import { entityReference, REFERENCE } from "../../src/entities/reference.ts";

test("docs/entities.md says what the schemas say; if not: npm run docs:entities", () => {
  assert.equal(readFileSync(REFERENCE, "utf8"), entityReference());
});

test("every field of every entity has a line", () => {
  const reference = entityReference();
  for (const name of ENTITY_NAMES) {
    const section = reference.split(`\n## ${name}\n`)[1]?.split("\n## ")[0] ?? "";
    for (const field of Object.keys(ENTITIES[name].schema.fields ?? {}))
      assert.match(section, new RegExp(`^\\| \`${field}\`( \\\\\\*)? +\\| \\S`, "m"), `${name}.${field}`);
  }
});
