/** `/schemas/...` over HTTP: what is told of entities, plugins and vaults, and entities that are judged only. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { JSON_TYPE, startAdmin } from "./gateway.ts";

const admin = await startAdmin();
const judge = (name: string, entity: unknown) =>
  admin.call("POST", `/schemas/${name}/validate`, { headers: JSON_TYPE, body: JSON.stringify(entity) });

test("a vault's schema is its config", async () => {
  const { status, json } = await admin.call("GET", "/schemas/vaults/env");
  assert.equal(status, 200);
  const [{ config }] = json.fields as unknown as [{ config: { type: string; fields: object[] } }];
  assert.equal(config.type, "record");
  assert.deepEqual(Object.keys(config.fields[0] ?? {}), ["prefix"]);
});

const UNKNOWN: [path: string, message: string][] = [
  ["/schemas/nothing", "No entity named 'nothing'"],
  ["/schemas/constructor", "No entity named 'constructor'"],
  ["/schemas/plugins/nothing", "No plugin named 'nothing'"],
  ["/schemas/vaults/hcv", "No vault named 'hcv'"],
  ["/schemas/vaults/toString", "No vault named 'toString'"],
];

for (const [path, message] of UNKNOWN) {
  test(`GET ${path} is not found`, async () => {
    const { status, json } = await admin.call("GET", path);
    assert.deepEqual([status, json], [404, { message }]);
  });
}

const SOUND: [name: string, entity: object][] = [
  ["services", { url: "https://a.example/b" }],
  ["services", { host: "a.example", retries: null }],
  ["routes", { paths: ["/a"], service: { id: "0dc6f45b-8f8d-40d2-a504-473544ee190b" } }],
  ["plugins", { name: "key-auth", config: { limit: 7 } }],
  ["vaults", { prefix: "mine", name: "env", config: { prefix: "APP_" } }],
  ["targets", { target: "a.example", upstream: { id: "0dc6f45b-8f8d-40d2-a504-473544ee190b" } }],
];

for (const [name, entity] of SOUND) {
  test(`${name} as ${JSON.stringify(entity)} are told to be sound`, async () => {
    const { status, json } = await judge(name, entity);
    assert.deepEqual([status, json], [200, { message: "schema validation successful" }]);
  });
}

const WRONG: [name: string, entity: object, message: string, fields: object][] = [
  ["services", {}, "schema violation (host: required field missing)", { host: "required field missing" }],
  ["services", { url: "a" }, "schema violation (url: missing host in url)", { url: "missing host in url" }],
  [
    "services",
    { host: "a", path: "b//", port: "80", x: 1 },
    "3 schema violations (path: should start with: /; port: expected an integer; x: unknown field)",
    { path: "should start with: /", port: "expected an integer", x: "unknown field" },
  ],
  [
    "services",
    { host: "a", client_certificate: { id: "a" }, ca_certificates: [] },
    "4 schema violations (failed conditional validation given value of field 'protocol'; failed conditional validation given value of field 'protocol'; ca_certificates: value must be null; client_certificate: value must be null)",
    {
      "@entity": [
        "failed conditional validation given value of field 'protocol'",
        "failed conditional validation given value of field 'protocol'",
      ],
      ca_certificates: "value must be null",
      client_certificate: "value must be null",
    },
  ],
  [
    "routes",
    { paths: ["a"] },
    "schema violation (paths.1: should start with: / (fixed path) or ~/ (regex path))",
    { paths: ["should start with: / (fixed path) or ~/ (regex path)"] },
  ],
  [
    "routes",
    { paths: ["/a"], protocols: ["http", 123] },
    "schema violation (protocols.2: expected a string)",
    { protocols: [null, "expected a string"] },
  ],
  [
    "routes",
    {},
    "schema violation (must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https')",
    {
      "@entity": [
        "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'",
      ],
    },
  ],
  [
    "consumers",
    { tags: ["a,b"] },
    "schema violation (tags.1: invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences)",
    { tags: ["invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"] },
  ],
  [
    "upstreams",
    { name: "u", hash_on: "ip", hash_fallback: "ip" },
    "2 schema violations (failed conditional validation given value of field 'hash_on'; hash_fallback: expected one of: none, consumer, header, cookie, path, query_arg, uri_capture)",
    {
      "@entity": ["failed conditional validation given value of field 'hash_on'"],
      hash_fallback: "expected one of: none, consumer, header, cookie, path, query_arg, uri_capture",
    },
  ],
  [
    "upstreams",
    { name: "u", healthchecks: { active: { concurrency: 0 } } },
    "schema violation (healthchecks.active.concurrency: value should be between 1 and 2147483648)",
    { healthchecks: { active: { concurrency: "value should be between 1 and 2147483648" } } },
  ],
  [
    "plugins",
    { name: "key-auth", config: { limit: 70, x: 1 }, consumer: { id: "a" } },
    "3 schema violations (config.limit: value should be between 1 and 9; config.x: unknown field; consumer: value must be null)",
    {
      config: { limit: "value should be between 1 and 9", x: "unknown field" },
      consumer: "value must be null",
    },
  ],
  [
    "plugins",
    { name: "nothing" },
    "schema violation (name: plugin 'nothing' not enabled; add it to the 'plugins' configuration property)",
    { name: "plugin 'nothing' not enabled; add it to the 'plugins' configuration property" },
  ],
  [
    "keys",
    { kid: "1", jwk: '{"kty":"oct","kid":"2","k":"YQ"}' },
    "schema violation (kid in jwk.kid must be equal to keys.kid)",
    { "@entity": ["kid in jwk.kid must be equal to keys.kid"] },
  ],
  [
    "acls",
    { group: "a" },
    "schema violation (consumer: required field missing)",
    { consumer: "required field missing" },
  ],
];

for (const [name, entity, message, fields] of WRONG) {
  test(`${name} as ${JSON.stringify(entity)} are refused in Kong's words`, async () => {
    const { status, json } = await judge(name, entity);
    assert.deepEqual([status, json], [400, { code: 2, name: "schema violation", message, fields }]);
  });
}

test("what is judged must be a JSON object", async () => {
  for (const body of ["{", "[]", "1", "null", "\u{feff}x"]) {
    const { status, json } = await admin.call("POST", "/schemas/services/validate", {
      headers: JSON_TYPE,
      body,
    });
    assert.deepEqual([status, json], [400, { message: "Cannot parse JSON body" }], body);
  }
  const yaml = await admin.call("POST", "/schemas/services/validate", {
    headers: { "content-type": "text/yaml" },
    body: "a: 1",
  });
  assert.equal(yaml.status, 415);
  assert.equal((await judge("nothing", {})).status, 404);
});

test("with wasm off every endpoint of filter chains says so", async () => {
  for (const [method, path] of [
    ["GET", "/filter-chains"],
    ["POST", "/filter-chains"],
    ["PATCH", "/filter-chains/x"],
    ["GET", "/filter-chains/x"],
  ] as const) {
    const { status, json } = await admin.call(method, path);
    assert.deepEqual(
      [status, json],
      [400, { message: "this endpoint is only available when wasm is enabled" }],
      `${method} ${path}`,
    );
  }
});
