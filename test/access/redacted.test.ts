/** What the audit log keeps of an entity: nothing that its type, its schema or its name makes a secret. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { array, map, record, string } from "@gatehouse/sdk";
import { withoutAnySecret } from "../../src/access/redacted.ts";
import { ENTITIES } from "../../src/entities/entities.ts";
import type { Entity } from "../../src/entities/relations.ts";

const entity = (fields: Record<string, unknown>): Entity =>
  ({ id: "i", ws_id: "w", ...fields }) as unknown as Entity;

const CONFIG = record({
  host: string(),
  sealed: string({ encrypted: true }),
  list: array(string({ encrypted: true })),
  headers: map(string()),
});

const CASES: [title: string, given: unknown, kept: unknown][] = [
  ["a marked field", { sealed: "x" }, { sealed: "REDACTED" }],
  [
    "a marked field that is a reference to a vault",
    { sealed: "{vault://env/x}" },
    { sealed: "{vault://env/x}" },
  ],
  ["each of a list of marked ones", { list: ["x", "y"] }, { list: ["REDACTED", "REDACTED"] }],
  ["a field that is not marked", { host: "h" }, { host: "h" }],
  [
    "a header with a credential",
    { headers: { Authorization: "x", Accept: "y" } },
    { headers: { Authorization: "REDACTED", Accept: "y" } },
  ],
  [
    "a field of a secret's name",
    { api_key: "x", client_secret: "y" },
    { api_key: "REDACTED", client_secret: "REDACTED" },
  ],
  [
    "a switch of a secret's name",
    { secret_is_base64: true, token_ttl: 5 },
    { secret_is_base64: true, token_ttl: 5 },
  ],
  [
    "a header with a credential as transformers write it",
    { plain: ["Authorization:Bearer x", "x-api-key:y", "accept:z", "authorization"] },
    { plain: ["Authorization:REDACTED", "x-api-key:REDACTED", "accept:z", "authorization"] },
  ],
  [
    "a URL with a credential",
    { host: "https://ann:x@a.example/p?q=1&api_key=y&z=2#f" },
    { host: "https://REDACTED@a.example/p?q=1&api_key=REDACTED&z=2#f" },
  ],
  ["a secret's field that is empty", { sealed: null }, { sealed: null }],
];

for (const [title, given, kept] of CASES)
  test(`${title} in the config of a plugin is kept as ${JSON.stringify(kept)}`, () => {
    const shown = withoutAnySecret(ENTITIES.plugins, entity({ name: "p", config: given }), CONFIG);
    assert.deepEqual(shown, { id: "i", name: "p", config: kept });
  });

test("of the config of a plugin that nobody knows nothing is kept", () => {
  const shown = withoutAnySecret(ENTITIES.plugins, entity({ name: "p", config: { host: "h" } }), null);
  assert.equal(shown.config, "REDACTED");
});

test("private keys of certificates and keys are not kept", () => {
  const certificate = withoutAnySecret(
    ENTITIES.certificates,
    entity({ cert: "c", key: "k", key_alt: "k" }),
    null,
  );
  assert.deepEqual([certificate.cert, certificate.key, certificate.key_alt], ["c", "REDACTED", "REDACTED"]);
  const key = withoutAnySecret(
    ENTITIES.keys,
    entity({ jwk: null, pem: { public_key: "p", private_key: "k" } }),
    null,
  );
  assert.deepEqual(key.pem, { public_key: "p", private_key: "REDACTED" });
});

test("values of header fields that have the name of a secret are not kept of any entity", () => {
  const route = withoutAnySecret(
    ENTITIES.routes,
    entity({ name: "my-token", headers: { "X-Api-Key": ["k"], accept: ["a"] } }),
    null,
  );
  assert.deepEqual(route.headers, { "X-Api-Key": "REDACTED", accept: ["a"] });
  assert.equal(route.name, "my-token");
});
