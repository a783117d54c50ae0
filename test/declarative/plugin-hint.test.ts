/** What an author is told who names a plugin that is not there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { pluginHint } from "../../src/declarative/plugin-hint.ts";

const NAMES = ["cors", "key-auth", "w-trap@1.0.0", "w-trap@1.1.0", "acme/w-stamp@2.0.0"];
const MANY = Array.from({ length: 8 }, (_, i) => `busy@1.0.${i}`);
const VERSIONED = "an uploaded plugin is named with its version; there is ";

const CASES: [title: string, name: string, hint: string | null][] = [
  ["an uploaded plugin without its version", "w-trap", `${VERSIONED}'w-trap@1.1.0', 'w-trap@1.0.0'`],
  ["another workspace's", "acme/w-stamp", `${VERSIONED}'acme/w-stamp@2.0.0'`],
  ["a misspelt one", "w-trpa", "did you mean 'w-trap@1.1.0'?"],
  ["a misspelt one with a version", "w-trpa@1.0.0", "did you mean 'w-trap@1.0.0'?"],
  ["a misspelt built-in one", "corss", "did you mean 'cors'?"],
  ["one that is like no other", "rate-limiting", null],
  ["one whose version is like no other's", "else@9.9.9", null],
];
for (const [title, name, hint] of CASES)
  test(`${title}: ${hint ?? "nothing is said"}`, () => assert.equal(pluginHint(name, NAMES), hint));

test("of many versions the newest are listed", () => {
  assert.equal(
    pluginHint("busy", MANY),
    `${VERSIONED}${[7, 6, 5, 4, 3].map((i) => `'busy@1.0.${i}'`).join(", ")} and 3 older`,
  );
});
