import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { any, type Field } from "@gatehouse/sdk";
import { loadDeclarative } from "../../src/declarative/declarative.ts";
import { emptyConfig } from "../../src/declarative/empty-config.ts";
import { DEFAULT_WORKSPACE_ID, EMPTY_HASH, type PluginEntity } from "../../src/entities/entities.ts";
import { catalogue, load, loadSound } from "./support.ts";

const HEAD = '_format_version: "3.0"\n';

const NESTED = `${HEAD}
_transform: false
_comment: a remark
_ignore: [anything, { at: all }]
services:
- name: orders
  url: https://orders.internal:8443/v1
  _comment: another
  routes:
  - name: list
    paths: [/orders]
    plugins:
    - name: cors
  plugins:
  - name: key-auth
    config: { key_names: [x-key] }
upstreams:
- name: orders.internal
  targets:
  - target: 10.0.0.1
  - target: 10.0.0.2:80
    weight: 0
consumers:
- username: alice
  keyauth_credentials:
  - key: alice-key
  plugins:
  - name: cors
    route: list
`;

test("entities nested under their parents point to them", () => {
  const config = loadSound(NESTED);
  const [service] = config.services;
  const [route] = config.routes;
  assert.deepEqual(
    [service?.protocol, service?.host, service?.port, service?.path],
    ["https", "orders.internal", 8443, "/v1"],
  );
  assert.deepEqual(route?.service, { id: service?.id });
  assert.deepEqual(
    config.targets.map(({ target, weight, upstream }) => [target, weight, upstream.id]),
    [
      ["10.0.0.1:8000", 100, config.upstreams[0]?.id],
      ["10.0.0.2:80", 0, config.upstreams[0]?.id],
    ],
  );
  assert.deepEqual(config.keyauth_credentials[0]?.consumer, { id: config.consumers[0]?.id });
  const byScope = (name: string, scope: keyof PluginEntity) =>
    config.plugins.find((plugin) => plugin.name === name && plugin[scope] !== null);
  assert.deepEqual(byScope("key-auth", "service")?.config, {
    key_names: ["x-key"],
    limits: { minute: null },
    labels: null,
  });
  assert.deepEqual(byScope("cors", "consumer")?.route, { id: route?.id });
});

test("a configuration is plain data that a thread can be sent", () => {
  const config = loadSound(NESTED);
  assert.deepEqual(JSON.parse(JSON.stringify(structuredClone(config))), JSON.parse(JSON.stringify(config)));
  assert.equal("url" in (config.services[0] ?? {}), false);
});

test("entities at the top level point to others by name or id", () => {
  const id = "0f0f0f0f-0000-4000-8000-000000000001";
  const config = loadSound(`${HEAD}
routes:
- { name: a, paths: [/a], service: s }
- { name: b, paths: [/b], service: ${id} }
services:
- { id: ${id}, name: s, host: h }
plugins:
- { name: key-auth, service: s }
- { name: cors }
`);
  assert.deepEqual(
    config.routes.map(({ service }) => service?.id),
    [id, id],
  );
  assert.equal(config.plugins[0]?.service?.id, id);
});

test("ids that a file leaves out are the ones that Kong derives", () => {
  const config = loadSound(`${HEAD}
services: [{ name: foo, host: h }]
consumers: [{ username: alice }]
`);
  // UUIDv5(UUIDv5(fd02801f-0957-4a15-a55a-c8d9606f30b5, "services"), "foo")
  assert.equal(config.services[0]?.id, "2933fbcc-9d7c-54a7-a984-fe2bde836cea");
  assert.equal(config.consumers[0]?.id, "b32379d9-3d28-5683-a79c-72139be6e34f");
});

test("loading the same file again gives the same ids and the same hash, nameless entities included", () => {
  const text = `${HEAD}
services:
- host: h
  routes:
  - paths: [/a]
  - paths: [/a]
plugins:
- name: cors
`;
  const first = loadSound(text);
  const again = loadDeclarative(text, { plugins: catalogue, now: 1_800_000_000_000 });
  assert.ok(again.ok);
  assert.equal(first.hash, again.config.hash);
  assert.match(first.hash, /^[0-9a-f]{32}$/);
  assert.deepEqual(
    first.routes.map(({ id }) => id),
    again.config.routes.map(({ id }) => id),
  );
  assert.equal(new Set(first.routes.map(({ id }) => id)).size, 2);
  assert.notEqual(first.routes[0]?.created_at, again.config.routes[0]?.created_at);
});

test("the hash follows the content and nothing else", () => {
  const base = loadSound(`${HEAD}services: [{ name: a, host: h, retries: 5 }, { name: b, host: h }]`).hash;
  const same = [
    `{"services": [{"host": "h", "name": "b"}, {"host": "h", "name": "a"}], "_format_version": "3.0"}`,
    `${HEAD}_comment: x\nservices:\n- {host: h, name: a}\n- {host: h, name: b}\n`,
    `${HEAD}services: [{ name: a, url: "http://h" }, { name: b, host: h, port: 80 }]`,
  ];
  for (const text of same) assert.equal(loadSound(text).hash, base, text);
  const other = [
    `${HEAD}services: [{ name: a, host: h, retries: 4 }, { name: b, host: h }]`,
    `${HEAD}services: [{ name: a, host: h }]`,
  ];
  for (const text of other) assert.notEqual(loadSound(text).hash, base, text);
});

test("an empty configuration has the default workspace and a hash of zeros", () => {
  const config = loadSound(HEAD);
  assert.equal(config.hash, EMPTY_HASH);
  assert.deepEqual(config, emptyConfig(1_700_000_000_500));
  assert.deepEqual(
    config.workspaces.map(({ id, name }) => [id, name]),
    [[DEFAULT_WORKSPACE_ID, "default"]],
  );
});

test("times are seconds, for targets with milliseconds, and explicit ones are kept", () => {
  const config = loadSound(`${HEAD}
services: [{ name: a, host: h, created_at: 5 }]
upstreams: [{ name: u, targets: [{ target: "a:1" }] }]
`);
  assert.equal(config.services[0]?.created_at, 5);
  assert.equal(config.services[0]?.updated_at, 1_700_000_000);
  assert.equal(config.targets[0]?.created_at, 1_700_000_000.5);
});

test("a credential without a key gets one of 32 letters and digits", () => {
  const config = loadSound(`${HEAD}consumers: [{ username: a, keyauth_credentials: [{ tags: [x] }] }]`);
  assert.match(config.keyauth_credentials[0]?.key ?? "", /^[A-Za-z0-9]{32}$/);
});

test("anchors, aliases and merge keys work as in YAML", () => {
  const config = loadSound(`${HEAD}
services:
- &base
  name: a
  host: h
  retries: 2
- <<: *base
  name: b
- <<: [*base, { path: /x }]
  name: c
`);
  assert.deepEqual(
    config.services.map(({ name, retries, path }) => [name, retries, path]),
    [
      ["a", 2, null],
      ["b", 2, null],
      ["c", 2, "/x"],
    ],
  );
});

test("the same names live in every workspace, with ids of their own", () => {
  const config = loadSound(`${HEAD}
services: [{ name: api, host: h, routes: [{ name: r, hosts: [acme.example.com] }] }]
workspaces:
- name: acme
  hosts: [acme.example.com]
  services: [{ name: api, host: h, routes: [{ name: r, hosts: [acme.example.com] }] }]
  plugins: [{ name: stamp@1.2.0, config: { text: aaa } }]
  consumers: [{ username: bob, keyauth_credentials: [{ key: k }] }]
`);
  const acme = config.workspaces.find(({ name }) => name === "acme");
  assert.deepEqual(
    config.services.map(({ ws_id }) => ws_id),
    [DEFAULT_WORKSPACE_ID, acme?.id],
  );
  assert.equal(new Set(config.services.map(({ id }) => id)).size, 2);
  assert.deepEqual(config.routes[1]?.service, { id: config.services[1]?.id });
  for (const entity of [...config.plugins, ...config.consumers, ...config.keyauth_credentials])
    assert.equal(entity.ws_id, acme?.id);
});

test("a pattern in an uploaded plugin's schema runs in linear time", () => {
  const loaded = load(`${HEAD}
workspaces:
- name: acme
  plugins: [{ name: stamp@1.2.0, config: { text: "${"a".repeat(5000)}!" } }]
`);
  assert.ok(!loaded.ok);
  assert.match(loaded.errors[0]?.message ?? "", /^invalid value: a/);
});

test("100,000 routes load whole", () => {
  const routes = Array.from({ length: 100_000 }, (_, i) => `  - {name: r${i}, paths: [/p/${i}]}`);
  const config = loadSound(`${HEAD}services:\n- name: s\n  host: h\n  routes:\n${routes.join("\n")}\n`);
  assert.equal(config.routes.length, 100_000);
});

test("the example configuration in config/ is sound with the plugins' configs left to their own schemas", async () => {
  const text = await readFile(new URL("../../config/first-light.yml", import.meta.url), "utf8");
  const plugins = {
    find: (name: string) => ({ name, version: "1.0.0", priority: 1, schema: any() as unknown as Field }),
  };
  const loaded = loadDeclarative(text, { plugins });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  assert.deepEqual(
    loaded.config.plugins.map(({ name }) => name),
    ["key-auth", "rate-limiting", "request-transformer", "response-transformer", "correlation-id"],
  );
});
