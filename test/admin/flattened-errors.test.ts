/** `flatten_errors=1`: what is wrong with a document, by entity, for tools that made it from things of their own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { JSON_TYPE, startAdmin } from "./gateway.ts";

const DOCUMENT = {
  _format_version: "3.0",
  services: [
    {
      name: "orders",
      host: "h",
      retries: -1,
      tags: ["k8s-name:orders", "k8s-kind:Service"],
      routes: [{ name: "r", paths: ["no-slash"], nope: 1, tags: ["k8s-name:r"] }],
    },
  ],
  consumers: [{ tags: ["k8s-name:nobody"] }],
};

test("faults are told by entity, with its type, name, tags and what was written", async () => {
  const { call } = await startAdmin();
  const body = JSON.stringify(DOCUMENT);
  const { status, json } = await call("POST", "/config?flatten_errors=1&check_hash=1", {
    headers: JSON_TYPE,
    body,
  });
  assert.deepEqual([status, json.code], [400, 14]);
  const flat = json.flattened_errors as Record<string, unknown>[];
  assert.deepEqual(
    flat.map(({ entity_type: type, entity_name: name, entity_tags: tags }) => [type, name, tags]),
    [
      ["service", "orders", ["k8s-name:orders", "k8s-kind:Service"]],
      ["route", "r", ["k8s-name:r"]],
      ["consumer", undefined, ["k8s-name:nobody"]],
    ],
  );
  const [service, route, consumer] = flat as { errors: Record<string, string>[]; entity: object }[];
  assert.deepEqual(service?.errors, [
    { type: "field", field: "retries", message: "value should be between 0 and 32767" },
  ]);
  assert.deepEqual(service?.entity, {
    name: "orders",
    host: "h",
    retries: -1,
    tags: DOCUMENT.services[0]?.tags,
  });
  assert.deepEqual(
    route?.errors.map(({ type, field }) => [type, field]),
    [
      ["field", "paths[0]"],
      ["field", "nope"],
    ],
  );
  assert.deepEqual(consumer?.errors, [
    { type: "entity", message: "at least one of these fields must be non-empty: 'custom_id', 'username'" },
  ]);
});

test("without being asked for it the faults come as Kong's fields alone", async () => {
  const { call } = await startAdmin();
  const { json } = await call("POST", "/config", { headers: JSON_TYPE, body: JSON.stringify(DOCUMENT) });
  assert.equal(json.flattened_errors, undefined);
  assert.ok(json.fields);
});
