import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { type Field, fieldsToJson, validate } from "@gatehouse/sdk";
import { ENTITIES, ENTITY_NAMES, type EntityName } from "../../src/entities/entities.ts";
import { OwnedHosts, parseHost } from "../../src/entities/hosts.ts";
import { expandServiceUrl } from "../../src/entities/services.ts";
import { alignHashing, normalizeTarget } from "../../src/entities/upstreams.ts";
import { soundEntities } from "./sound-entities.ts";

const SOUND = await soundEntities();

function faults(name: EntityName, fields: Record<string, unknown>): string[] {
  const { violations } = validate(ENTITIES[name].schema, { ...SOUND[name], ...fields });
  return violations.map(({ path, message }) => `${path.join(".")}: ${message}`);
}

test("every entity of the table accepts its smallest form and points to collections that exist", () => {
  for (const name of ENTITY_NAMES) {
    assert.deepEqual(faults(name, {}), [], name);
    assert.ok(ENTITIES[name].schema.fields?.[ENTITIES[name].endpointKey], name);
    for (const reference of Object.values(ENTITIES[name].foreignKeys))
      assert.ok(ENTITY_NAMES.includes(reference as EntityName), reference);
  }
});

test("absent fields take Kong's defaults", () => {
  const service = validate(ENTITIES.services.schema, { host: "h" }).value as Record<string, unknown>;
  const { retries, protocol, port, connect_timeout, read_timeout, write_timeout, enabled } = service;
  assert.deepEqual(
    { retries, protocol, port, connect_timeout, read_timeout, write_timeout, enabled },
    {
      retries: 5,
      protocol: "http",
      port: 80,
      connect_timeout: 60_000,
      read_timeout: 60_000,
      write_timeout: 60_000,
      enabled: true,
    },
  );
  const route = validate(ENTITIES.routes.schema, { paths: ["/"] }).value as Record<string, unknown>;
  assert.deepEqual(route.protocols, ["http", "https"]);
  assert.equal(route.https_redirect_status_code, 426);
  assert.equal(route.strip_path, true);
  assert.equal(route.path_handling, "v0");
  const upstream = validate(ENTITIES.upstreams.schema, { name: "u" }).value as {
    slots: number;
    healthchecks: { active: { unhealthy: { http_statuses: number[] } }; threshold: number };
  };
  assert.equal(upstream.slots, 10_000);
  assert.equal(upstream.healthchecks.threshold, 0);
  assert.deepEqual(
    upstream.healthchecks.active.unhealthy.http_statuses,
    [429, 404, 500, 501, 502, 503, 504, 505],
  );
});

test("a schema becomes Kong's list of single-key objects", () => {
  const fields = fieldsToJson(ENTITIES.routes.schema.fields ?? {});
  assert.deepEqual(
    fields.slice(0, 5).map((field) => Object.keys(field)[0]),
    ["id", "created_at", "updated_at", "name", "protocols"],
  );
});

const pair = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = { type: "spki", format: "pem" } as const;
const { privateKey, publicKey } = pair();
const PRIVATE = privateKey.export({ type: "pkcs8", format: "pem" });
const PUBLIC = publicKey.export(pem);
const OTHER_PUBLIC = pair().publicKey.export(pem);

const deep = (levels: number): unknown => (levels === 0 ? 1 : { a: deep(levels - 1) });

const REFUSED: [EntityName, Record<string, unknown>, string][] = [
  ["services", { host: "a:80" }, "host: must not have a port"],
  ["services", { host: "a b" }, "host: invalid hostname: a b"],
  ["services", { host: "1.2.3" }, "host: invalid hostname: 1.2.3"],
  ["services", { host: "2130706433" }, "host: invalid hostname: 2130706433"],
  ["services", { host: "0x7f000001" }, "host: invalid hostname: 0x7f000001"],
  ["services", { host: "0X7F.1" }, "host: invalid hostname: 0X7F.1"],
  ["services", { host: "127.0.0.0x1" }, "host: invalid hostname: 127.0.0.0x1"],
  ["services", { host: "0177.0.0.1" }, "host: invalid hostname: 0177.0.0.1"],
  ["services", { host: "127.0.0.1." }, "host: invalid hostname: 127.0.0.1."],
  ["services", { host: "/run/docker.sock" }, "host: invalid hostname: /run/docker.sock"],
  ["services", { host: "\0docker" }, "host: invalid hostname: \0docker"],
  ["services", { host: "unix:/run/docker.sock" }, "host: invalid port number in 'unix:/run/docker.sock'"],
  ["services", { port: 65_536 }, "port: value should be between 0 and 65535"],
  ["services", { retries: -1 }, "retries: value should be between 0 and 32767"],
  ["services", { read_timeout: 0 }, "read_timeout: value should be between 1 and 2147483646"],
  ["services", { path: "a" }, "path: should start with: /"],
  ["services", { path: "/a//b" }, "path: must not have empty segments"],
  ["services", { path: "/a%2" }, "path: invalid url-encoded value: '%2'"],
  ["services", { protocol: "tcp", path: "/a" }, "path: value must be null"],
  ["services", { tls_verify: true }, "tls_verify: value must be null"],
  ["services", { name: "a b" }, "name: invalid value 'a b': the only accepted ascii characters are"],
  ["services", { tags: ["a,b"] }, "tags.0: invalid tag 'a,b'"],
  ["services", { id: "1" }, "id: expected a valid UUID"],
  ["services", { constructor: 1 }, "constructor: unknown field"],
  ["routes", { paths: ["a"] }, "paths.0: should start with: / (fixed path) or ~/ (regex path)"],
  ["routes", { paths: ["/a/./b"] }, "paths.0: non-normalized path, consider use '/a/b' instead"],
  ["routes", { paths: ["/%7Eme"] }, "paths.0: non-normalized path, consider use '/~me' instead"],
  ["routes", { paths: ["~/(a"] }, "paths.0: invalid regex: '/(a'"],
  ["routes", { paths: ["~/a(?=b)"] }, "paths.0: invalid regex: '/a(?=b)'"],
  ["routes", { paths: ["~/(a)\\1"] }, "paths.0: invalid regex: '/(a)\\1'"],
  ["routes", { paths: [`~/${"a".repeat(5000)}`] }, "paths.0: length must be at most 4096"],
  ["routes", { paths: ["/a?b"] }, "paths.0: '?' ends the path of a request"],
  ["routes", { paths: ["~/a{9999}"] }, "paths.0: invalid regex: '/a{9999}'"],
  ["routes", { paths: ["~/(a{100}){10}"] }, "paths.0: invalid regex: '/(a{100}){10}'"],
  ["routes", { hosts: ["*.*.com"] }, "hosts.0: invalid wildcard"],
  ["routes", { hosts: ["a*.com"] }, "hosts.0: invalid wildcard"],
  ["routes", { hosts: ["a.com:x"] }, "hosts.0: invalid port number in 'a.com:x'"],
  ["routes", { methods: ["get"] }, "methods.0: invalid value: get"],
  ["routes", { headers: { HOST: ["a"] } }, "headers.HOST: cannot contain 'host' header"],
  ["routes", { headers: { "a b": ["a"] } }, "headers.a b: bad header name 'a b'"],
  ["routes", { headers: { a: ["~*("] } }, "headers.a.0: invalid regex: '('"],
  ["routes", { protocols: [] }, "protocols: length must be at least 1"],
  [
    "routes",
    { protocols: ["http", "tcp"] },
    "protocols: these sets are mutually exclusive: ('http', 'https'), ('tcp', 'tls', 'udp')",
  ],
  [
    "routes",
    { paths: null },
    "@entity: must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'",
  ],
  [
    "routes",
    { paths: null, protocols: ["http"] },
    "@entity: must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'",
  ],
  ["routes", { snis: ["a.com"], protocols: ["http"] }, "snis: 'snis' can only be set when"],
  [
    "routes",
    { sources: [{ port: 1 }] },
    "sources: cannot set 'sources' when 'protocols' is 'http' or 'https'",
  ],
  [
    "routes",
    { protocols: ["grpc"], strip_path: true },
    "strip_path: cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'",
  ],
  [
    "routes",
    { https_redirect_status_code: 303 },
    "https_redirect_status_code: expected one of: 426, 301, 302",
  ],
  [
    "consumers",
    { username: null },
    "@entity: at least one of these fields must be non-empty: 'custom_id', 'username'",
  ],
  ["upstreams", { name: "1.2.3.4" }, "name: Invalid name; no ip addresses allowed"],
  ["upstreams", { name: "a:80" }, "name: Invalid name; no port allowed"],
  ["upstreams", { slots: 9 }, "slots: value should be between 10 and 65536"],
  ["upstreams", { hash_on: "header" }, "hash_on_header: required field missing"],
  ["upstreams", { hash_fallback: "ip" }, "hash_fallback: expected one of: none"],
  [
    "upstreams",
    { hash_on: "ip", hash_fallback: "ip" },
    "hash_fallback: expected one of: none, consumer, header, cookie, path, query_arg, uri_capture",
  ],
  [
    "upstreams",
    { hash_on: "header", hash_on_header: "a", hash_fallback: "header", hash_fallback_header: "a" },
    "@entity: values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header'",
  ],
  [
    "upstreams",
    { healthchecks: { active: { unhealthy: { timeouts: 256 } } } },
    "healthchecks.active.unhealthy.timeouts: value should be between 0 and 255",
  ],
  ["targets", { weight: 65_536 }, "weight: value should be between 0 and 65535"],
  ["targets", { target: "a:99999" }, "target: invalid port number in 'a:99999'"],
  ["targets", { upstream: null }, "upstream: required field missing"],
  ["plugins", { protocols: ["ws"] }, "protocols.0: expected one of: grpc, grpcs, http, https"],
  [
    "services",
    { tls_verify: true, ca_certificates: [] },
    "@entity: failed conditional validation given value of field 'protocol'",
  ],
  ["vaults", { prefix: "a" }, "prefix: invalid value: a"],
  ["vaults", { prefix: "A1" }, "prefix: invalid value: A1"],
  ["vaults", { prefix: "1a" }, "prefix: invalid value: 1a"],
  ["vaults", { prefix: "env" }, "prefix: must not be one of: env, file"],
  ["vaults", { name: "hcv" }, "name: vault 'hcv' is not installed"],
  ["vaults", { config: { prefix: "a b" } }, "config.prefix: invalid value: a b"],
  ["vaults", { config: { x: 1 } }, "config.x: unknown field"],
  ["vaults", { config: 1 }, "config: expected a record"],
  ["keys", { jwk: null }, "@entity: at least one of these fields must be non-empty: 'jwk', 'pem'"],
  [
    "keys",
    { pem: { public_key: PUBLIC } },
    "@entity: only one or none of these fields must be set: 'jwk', 'pem'",
  ],
  ["keys", { jwk: "{" }, "jwk: could not json decode jwk string"],
  ["keys", { jwk: "[]" }, "jwk: could not json decode jwk string"],
  ["keys", { jwk: '{"kty":"RSA","kid":"1","n":"AQ"}' }, "jwk: could not load JWK, likely not a valid key"],
  ["keys", { jwk: '{"kty":"oct","kid":"1"}' }, "jwk: could not load JWK, likely not a valid key"],
  ["keys", { kid: "2" }, "@entity: kid in jwk.kid must be equal to keys.kid"],
  ["keys", { jwk: null, pem: {} }, "@entity: need to supply a PEM formatted public and/or private key."],
  ["keys", { jwk: null, pem: { public_key: "x" } }, "pem.public_key: invalid key"],
  ["keys", { jwk: null, pem: { public_key: PRIVATE } }, "pem.public_key: invalid key"],
  ["keys", { jwk: null, pem: { private_key: "x" } }, "pem.private_key: invalid key"],
  [
    "keys",
    { jwk: null, pem: { private_key: PRIVATE, public_key: OTHER_PUBLIC } },
    "pem.public_key: the public key is not that of the private key",
  ],
  [
    "filter_chains",
    { route: null },
    "@entity: exactly one of these fields must be non-empty: 'service', 'route'",
  ],
  [
    "filter_chains",
    { service: { id: "s" } },
    "@entity: exactly one of these fields must be non-empty: 'service', 'route'",
  ],
  ["filter_chains", { filters: [] }, "filters: length must be at least 1"],
  ["filter_chains", { filters: [{}] }, "filters.0.name: required field missing"],
  ["jwt_secrets", { algorithm: "RS256" }, "rsa_public_key: required field missing"],
  [
    "jwt_secrets",
    { algorithm: "EdDSA" },
    "@entity: failed conditional validation given value of field 'algorithm'",
  ],
  ["jwt_secrets", { algorithm: "none" }, "algorithm: expected one of: HS256, HS384, HS512, RS256"],
  ["jwt_secrets", { rsa_public_key: "x" }, "rsa_public_key: invalid key"],
  ["jwt_secrets", { rsa_public_key: PRIVATE }, "rsa_public_key: invalid key: expected a public key"],
  ["oauth2_credentials", { redirect_uris: ["app"] }, "redirect_uris.0: cannot parse 'app'"],
  [
    "oauth2_credentials",
    { redirect_uris: ["https://a.example/#b"] },
    "redirect_uris.0: fragment not allowed in 'https://a.example/#b'",
  ],
  ["oauth2_credentials", { client_type: "open" }, "client_type: expected one of: confidential, public"],
  ["keyauth_credentials", { ttl: -1 }, "ttl: value should be between 0 and 100000000"],
  ["consumers", { username: "\ud800" }, "username: expected valid UTF-8"],
  ["plugins", { config: deep(40) }, "config: nested deeper than 32 levels"],
  ["workspaces", { name: "../x" }, "name: must be lower-case letters, digits"],
  ["workspaces", { hosts: ["a.*"] }, "hosts.0: only whole names and '*.name' can be owned"],
  ["workspaces", { hosts: ["*"] }, "hosts.0: only whole names and '*.name' can be owned"],
  ["workspaces", { hosts: ["A.com"] }, "hosts.0: must be lower-case: use 'a.com'"],
  ["workspaces", { hosts: ["a.com:80"] }, "hosts.0: must not have a port"],
];

for (const [name, fields, expected] of REFUSED) {
  test(`${name} with ${JSON.stringify(fields).slice(0, 80)} are refused`, () => {
    const found = faults(name, fields);
    assert.ok(
      found.some((fault) => fault.startsWith(expected)),
      `expected "${expected}", got ${JSON.stringify(found)}`,
    );
  });
}

const ACCEPTED: [EntityName, Record<string, unknown>][] = [
  ["services", { host: "::1" }],
  ["services", { host: "a_b.internal", protocol: "https", tls_verify: false }],
  ["services", { name: "bestellung-ü" }],
  ["routes", { paths: ["/", "~/v(?<n>[0-9]+)$"] }],
  ["routes", { hosts: ["*.a.com", "a.*", "a.com:8443", "[::1]:80", "10.0.0.1"] }],
  ["routes", { headers: { "x-version": ["1", "~*^v[0-9]$"] } }],
  ["routes", { protocols: ["tcp"], paths: null, destinations: [{ port: 5 }] }],
  ["upstreams", { hash_on: "cookie", hash_on_cookie: "sid" }],
  ["vaults", { prefix: "my-env-1", config: { prefix: "APP_" } }],
  ["vaults", { name: "file" }],
  ["keys", { jwk: null, pem: { private_key: PRIVATE, public_key: PUBLIC } }],
  ["keys", { jwk: null, pem: { public_key: PUBLIC } }],
  ["keys", { jwk: "{vault://env/jwk}" }],
  ["jwt_secrets", { algorithm: "RS256", rsa_public_key: PUBLIC }],
  ["oauth2_credentials", { redirect_uris: ["https://a.example/b?c"], client_type: "public" }],
  ["certificates", { key: "{vault://env/tls-key}" }],
  ["workspaces", { hosts: ["*.acme.example.com", "acme.example.com", "10.0.0.1"] }],
];

for (const [name, fields] of ACCEPTED) {
  test(`${name} with ${JSON.stringify(fields)} are accepted`, () =>
    assert.deepEqual(faults(name, fields), []));
}

/** What a field that is of another type is told. */
const WRONG_TYPE: Record<Exclude<Field["type"], "any">, readonly [wrong: unknown, message: string]> = {
  string: [1, "expected a string"],
  integer: [1.5, "expected an integer"],
  number: ["1", "expected a number"],
  boolean: ["true", "expected a boolean"],
  array: [{}, "expected an array"],
  set: ["a", "expected a set"],
  map: [[], "expected a map"],
  record: [[], "expected a record"],
  foreign: ["a", "expected a record"],
};

function tooLong({ type }: Field, most: number): unknown {
  const parts = Array.from({ length: most + 1 }, (_, i) => `x${i}`);
  if (type === "string") return "x".repeat(parts.length);
  return type === "map" ? Object.fromEntries(parts.map((key) => [key, []])) : parts;
}

for (const name of ENTITY_NAMES) {
  test(`${name} with a field of another type, out of its bounds, unknown or missing are refused by it`, () => {
    for (const [field, schema] of Object.entries(ENTITIES[name].schema.fields ?? {})) {
      const refused = (value: unknown, message: string) =>
        assert.ok(faults(name, { [field]: value }).includes(`${field}: ${message}`), `${field}: ${message}`);
      if (schema.type !== "any") refused(...WRONG_TYPE[schema.type]);
      if (schema.required) refused(null, "required field missing");
      if (schema.oneOf)
        refused(schema.type === "string" ? "?" : -1, `expected one of: ${schema.oneOf.join(", ")}`);
      if (schema.uuid) refused("1", "expected a valid UUID");
      if (schema.timestamp) refused(-1, "expected a valid timestamp");
      if (schema.between) {
        const [least, most] = schema.between;
        refused(least - 1, `value should be between ${least} and ${most}`);
        refused(most + 1, `value should be between ${least} and ${most}`);
      }
      if (schema.lenMax) refused(tooLong(schema, schema.lenMax), `length must be at most ${schema.lenMax}`);
    }
    assert.deepEqual(faults(name, { nonsense: 1 }), ["nonsense: unknown field"]);
  });
}

test("a prefix is accepted as the router compares it, and the form to write is said otherwise", () => {
  const cases: [path: string, instead: string | null][] = [
    ["/", null],
    ["/a b/é", null],
    ["/a%2Fb", null],
    ["/a.b/.c", null],
    ["/a/../b", "/b"],
    ["/a/.", "/a/"],
    ["/%61%2f", "/a%2F"],
    ["/a%20b", "/a b"],
    ["/%C3%A9", "/é"],
    ["/50%", "/50%25"],
  ];
  for (const [path, instead] of cases) {
    const expected =
      instead === null ? [] : [`paths.0: non-normalized path, consider use '${instead}' instead`];
    assert.deepEqual(faults("routes", { paths: [path] }), expected, path);
    if (instead !== null) assert.deepEqual(faults("routes", { paths: [instead] }), [], instead);
  }
});

test("a service's url is taken apart, or said to be wrong", () => {
  const cases: [unknown, unknown][] = [
    ["http://a", { protocol: "http", host: "a", port: 80 }],
    ["https://a.b/c", { protocol: "https", host: "a.b", port: 443, path: "/c" }],
    ["HTTP://[::1]:90/", { protocol: "http", host: "::1", port: 90, path: "/" }],
    ["http://", "missing host in url"],
    ["a.b", "missing host in url"],
    ["http://u:p@a", "must not hold a user name or password"],
    ["http://a?b", "must not have a query or a fragment"],
    ["http://a:b", "invalid port number in 'a:b'"],
    [7, "expected a string"],
  ];
  for (const [url, expected] of cases) assert.deepEqual(expandServiceUrl(url), expected, String(url));
});

test("a workspace owns what it lists and what is below its wildcards, nothing beside", () => {
  const owned = new OwnedHosts(["acme.example.com", "*.acme.io"]);
  for (const host of [
    "acme.example.com",
    "ACME.example.com:8443",
    "a.acme.io",
    "a.b.acme.io",
    "*.acme.io",
    "*.x.acme.io",
  ])
    assert.ok(owned.owns(host), host);
  for (const host of [
    "acme.io",
    "xacme.io",
    "x.acme.example.com",
    "*.acme.example.com",
    "*.example.com",
    "*.io",
    "acme.*",
    "acme.example.*",
    "a.acme.io.evil.com",
    "acme.example.com.",
    "10.0.0.1",
  ])
    assert.equal(owned.owns(host), false, host);
});

test("hosts are parsed with their ports", () => {
  assert.deepEqual(parseHost("A.b:1"), { host: "a.b", port: 1, kind: "name" });
  assert.deepEqual(parseHost("[::1]:2"), { host: "::1", port: 2, kind: "ipv6" });
  assert.equal(normalizeTarget("Example.com"), "example.com:8000");
  assert.equal(normalizeTarget("::1"), "[::1]:8000");
});

test("asking for hashing makes the algorithm consistent-hashing", () => {
  const upstream: Record<string, unknown> = { name: "u", hash_on: "ip" };
  alignHashing(upstream);
  assert.equal(upstream.algorithm, "consistent-hashing");
});
