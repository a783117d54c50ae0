/** docs/command-line.md tells of the commands that there are. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { commandReference, REFERENCE } from "../../src/cli/command-reference.ts";

test("the reference of commands is made from their definitions (npm run docs:commands)", () => {
  assert.equal(readFileSync(REFERENCE, "utf8"), commandReference());
});

test("every command that does something says how it may end", () => {
  const sections = commandReference()
    .split(/^## (?=[a-z])/m)
    .slice(1);
  const silent = sections.filter((section) => !section.includes("Exit codes:"));
  assert.deepEqual(
    silent.map((section) => section.split("\n", 1)[0]),
    ["start"],
  );
});
