/** The reference of the SDK is its sources. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as sdk from "@gatehouse/sdk";
import { REFERENCE, sdkReference } from "../../src/cli/sdk-reference.ts";

test("docs/sdk.md says what the sources say; if not: npm run docs:sdk", () => {
  assert.equal(readFileSync(REFERENCE, "utf8"), sdkReference());
});

test("everything that a plugin is written with is in it", () => {
  const page = sdkReference();
  const named = [
    "definePlugin",
    "reply",
    "errorReply",
    "record",
    "string",
    "array",
    "fieldValue",
    "isDeepJson",
  ];
  for (const name of named) {
    assert.ok(Object.hasOwn(sdk, name), name);
    assert.match(page, new RegExp(`^export function ${name}\\b`, "m"), name);
  }
  assert.doesNotMatch(page, /checkReplyStatus\(status\);/, "bodies of functions");
  for (const name of ["Context", "Headers", "PluginRequest", "PluginResponse", "Hooks", "Host", "KeyValues"])
    assert.match(page, new RegExp(`export interface ${name} \\{\\n[\\s\\S]*?\\n\\}`), name);
});
