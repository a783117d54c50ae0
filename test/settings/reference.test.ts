/** The reference of settings is the table's. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { REFERENCE, settingsReference } from "../../src/settings/reference.ts";
import { SETTINGS } from "../../src/settings/table.ts";

test("docs/settings.md says what the table of settings says; if not: npm run docs:settings", () => {
  assert.equal(readFileSync(REFERENCE, "utf8"), settingsReference());
});

test("every setting is described by a sentence, with its default", () => {
  const reference = settingsReference();
  for (const name of Object.keys(SETTINGS)) {
    const section = reference.split(`## \`${name}\`\n`)[1]?.split("\n## ")[0] ?? "";
    assert.match(section, /^\n[A-Z`].*[.)]\n\nType: .*; default: \S/s, name);
  }
});
