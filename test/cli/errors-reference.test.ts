/** The page of errors is the code's. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { errorsReference, REFERENCE } from "../../src/cli/errors-reference.ts";
import { ERRORS } from "../../src/errors.ts";
import { FAILURES } from "../../src/sandbox/protocol/engine.ts";

test("docs/errors.md says what the code says; if not: npm run docs:errors", () => {
  assert.equal(readFileSync(REFERENCE, "utf8"), errorsReference());
});

test("every error and every kind of failure has a row of its own", () => {
  const rows = errorsReference().split("\n");
  for (const name of [...Object.keys(ERRORS), ...FAILURES])
    assert.equal(rows.filter((row) => row.startsWith(`| \`${name}\` `)).length, 1, name);
});
