/** The page of limits is the code's. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { limitsReference, REFERENCE } from "../../src/cli/limits-reference.ts";
import { WORKSPACE_LIMIT_TABLE } from "../../src/sandbox/limits.ts";
import { FAILURES } from "../../src/sandbox/protocol/engine.ts";

test("docs/limits.md says what the code says; if not: npm run docs:limits", () => {
  assert.equal(readFileSync(REFERENCE, "utf8"), limitsReference());
});

test("every limit that can be moved has a row of its own", () => {
  const rows = limitsReference().split("\n");
  for (const name of Object.keys(WORKSPACE_LIMIT_TABLE))
    assert.equal(rows.filter((row) => row.startsWith(`| \`${name}\` `)).length, 1, name);
});

test("every kind of failure that a limit has is one that log, ledger and metrics know", () => {
  for (const [, kind = ""] of limitsReference().matchAll(/\| `([a-z]+)`: /g))
    assert.ok((FAILURES as readonly unknown[]).includes(kind), kind);
});
