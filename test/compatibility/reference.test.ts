/** The page of compatibility is true: made from the tables, and held against a running Admin API and the entities. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { validate } from "@gatehouse/sdk";
import { BUILT_INS } from "../../plugins/index.ts";
import { KONG_ENDPOINTS, KONG_ENTITIES, KONG_PLUGINS, KONG_SETTINGS } from "../../src/compatibility/kong.ts";
import { ENDPOINT_NOTES, ENTITY_NOTES, LIMITED, SETTING_NOTES } from "../../src/compatibility/notes.ts";
import {
  compatibilityReference,
  entityState,
  fieldState,
  REFERENCE,
} from "../../src/compatibility/reference.ts";
import { ENTITIES, ENTITY_NAMES, type EntityName } from "../../src/entities/entities.ts";
import { startAdmin } from "../admin/gateway.ts";
import { soundEntities } from "../entities/sound-entities.ts";

const page = compatibilityReference();
const SOUND = await soundEntities();

test("docs/kong-compatibility.md says what the tables say; if not: npm run docs:kong", () => {
  assert.equal(readFileSync(REFERENCE, "utf8"), page);
});

test("every entity of Kong's and every field has a line, and every one of ours is among them", () => {
  for (const name of ENTITY_NAMES) {
    if (ENTITIES[name].isRelation) continue;
    const fields = KONG_ENTITIES[name];
    assert.ok(fields, name);
    // A workspace is more here than it is there.
    if (name === "workspaces") continue;
    for (const field of Object.keys(ENTITIES[name].schema.fields ?? {}))
      assert.ok(fields.includes(field), `${name}.${field}`);
  }
});

for (const { entity, field, note, example } of LIMITED) {
  test(`${entity} are taken only in part: ${field} ${note}`, () => {
    const type = ENTITIES[entity as EntityName];
    assert.match(fieldState(entity, field), /^partly: /);
    const { value, violations } = validate(type.schema, { ...SOUND[entity as EntityName], ...example });
    assert.deepEqual(violations, []);
    const refused = Object.keys(type.notServed?.(value as Record<string, unknown>) ?? {});
    assert.ok(refused.length > 0, "served by now: take it out of the limits");
  });
}

test("every note is about something that Kong has", () => {
  const endpoints = new Set(page.split("\n").flatMap((line) => line.match(/\| `(\/[^`]*)` +\|/)?.[1] ?? []));
  for (const template of Object.keys(ENDPOINT_NOTES)) assert.ok(endpoints.has(template), template);
  for (const name of Object.keys(ENTITY_NOTES)) assert.ok(KONG_ENTITIES[name], name);
  for (const name of Object.keys(SETTING_NOTES)) assert.ok(KONG_SETTINGS.includes(name), name);
});

test("plugins that are Kong's have Kong's priorities", () => {
  const own = ["request-recording"];
  for (const { name, priority } of BUILT_INS)
    assert.equal(
      priority,
      own.includes(name) ? Math.max(...Object.values(KONG_PLUGINS)) + 1 : KONG_PLUGINS[name],
      name,
    );
});

test("every endpoint that the page calls done is answered by the Admin API, with those methods", async () => {
  const { call } = await startAdmin();
  const lines = page.split("\n").flatMap((line) => {
    const cells = /^\| ([A-Z, ]+?) +\| `(\/[^`]*)` +\| (yes|no|partly)/.exec(line);
    return cells === null ? [] : [cells.slice(1) as [string, string, string]];
  });
  assert.ok(lines.length > KONG_ENDPOINTS.length + 50, String(lines.length));
  for (const [methods, template, state] of lines) {
    const { status, headers } = await call("OPTIONS", template.replace(/\{[^}]*\}/g, "x"));
    const allowed = status === 204 ? String(headers.allow).split(", ") : [];
    const offered = methods.split(", ").filter((method) => allowed.includes(method));
    // One that is not there may still be taken for another: `all` for the name of a target.
    if (state === "no") continue;
    if (state === "yes") assert.deepEqual(offered, methods.split(", "), template);
    else assert.ok(offered.length > 0, template);
  }
});

test("an entity that is not there is called that, with the reason", () => {
  assert.equal(entityState("filter_chains"), `no: ${ENTITY_NOTES.filter_chains}`);
  assert.equal(entityState("services"), "yes");
  assert.equal(fieldState("oauth2_tokens", "scope"), "no");
});
