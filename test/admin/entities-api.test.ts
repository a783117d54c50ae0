/** Reading entities over HTTP: lists, pages, tags, keys, parents, workspaces, and writes that are refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startAdmin, YAML } from "./gateway.ts";

const CONFIG = `
_format_version: "3.0"
services:
- name: orders
  url: http://127.0.0.1:9000/api
  tags: [blue, shop]
  routes:
  - name: orders-route
    paths: [/orders]
    plugins:
    - name: key-auth
      instance_name: orders-key
- name: users
  url: http://127.0.0.1:9001
  tags: [blue]
- name: spare
  url: http://127.0.0.1:9002
  tags: [green]
upstreams:
- name: pool
  targets:
  - target: 127.0.0.1:9003
consumers:
- username: alice
  custom_id: "42"
  keyauth_credentials:
  - key: secret-of-alice
workspaces:
- name: acme
  hosts: [acme.example]
  services:
  - name: acme-service
    url: http://10.0.0.4:9004
`;

async function loaded() {
  const admin = await startAdmin();
  const { status, text } = await admin.call("POST", "/config", { headers: YAML, body: CONFIG });
  assert.equal(status, 201, text);
  return admin;
}

const names = (data: Record<string, unknown>[] | undefined) => (data ?? []).map(({ name }) => name).sort();

test("an empty gateway lists nothing, on one page", async () => {
  const { call } = await startAdmin();
  for (const path of [
    "/services",
    "/routes",
    "/upstreams",
    "/targets",
    "/consumers",
    "/plugins",
    "/key-auths",
  ]) {
    const { status, json } = await call("GET", path);
    assert.deepEqual([status, json], [200, { data: [], next: null }], path);
  }
});

test("every entity is found by id and by its key, with defaults and without internal fields", async () => {
  const { call } = await loaded();
  const found: [collection: string, key: string][] = [
    ["services", "orders"],
    ["routes", "orders-route"],
    ["upstreams", "pool"],
    ["consumers", "alice"],
    ["plugins", "orders-key"],
    ["workspaces", "acme"],
    ["targets", "127.0.0.1:9003"],
    ["key-auths", "secret-of-alice"],
  ];
  for (const [collection, key] of found) {
    const byKey = await call("GET", `/${collection}/${encodeURIComponent(key)}`);
    assert.equal(byKey.status, 200, collection);
    assert.equal(byKey.json.ws_id, undefined);
    const byId = await call("GET", `/${collection}/${byKey.json.id}/`);
    assert.deepEqual(byId.json, byKey.json);
  }
  const { json } = await call("GET", "/services/orders");
  assert.equal(json.retries, 5);
  assert.equal(json.path, "/api");
  assert.equal(json.url, undefined);
});

test("children are read under their parent, and the parent from its child", async () => {
  const { call } = await loaded();
  const routes = await call("GET", "/services/orders/routes");
  assert.deepEqual(names(routes.json.data), ["orders-route"]);
  assert.deepEqual((await call("GET", "/services/users/routes")).json.data, []);
  assert.equal((await call("GET", "/services/orders/routes/orders-route")).status, 200);
  assert.equal((await call("GET", "/services/users/routes/orders-route")).status, 404);
  assert.deepEqual(names((await call("GET", "/routes/orders-route/plugins")).json.data), ["key-auth"]);
  assert.equal((await call("GET", "/routes/orders-route/service")).json.name, "orders");
  assert.equal((await call("GET", "/consumers/alice/key-auth")).json.data?.length, 1);
  assert.equal((await call("GET", "/upstreams/pool/targets")).json.data?.length, 1);
  assert.equal((await call("GET", "/plugins/orders-key/consumer")).status, 404);
  assert.equal((await call("GET", "/services/nobody/routes")).status, 404);
});

test("a workspace's entities are read under its name, and nowhere else", async () => {
  const { call } = await loaded();
  assert.deepEqual(names((await call("GET", "/acme/services")).json.data), ["acme-service"]);
  assert.deepEqual(names((await call("GET", "/services")).json.data), ["orders", "spare", "users"]);
  assert.deepEqual(names((await call("GET", "/default/services")).json.data), ["orders", "spare", "users"]);
  const { id } = (await call("GET", "/acme/services/acme-service")).json;
  assert.equal((await call("GET", `/services/${id}`)).status, 404);
  assert.equal((await call("GET", "/acme/services/orders")).status, 404);
  assert.equal((await call("GET", "/nobody/services")).status, 404);
});

test("following next reads every entity once", async () => {
  const { call } = await loaded();
  const seen: unknown[] = [];
  let path: string | null = "/services?size=1";
  let pages = 0;
  while (path !== null) {
    const { status, json } = await call("GET", path);
    assert.equal(status, 200);
    seen.push(...names(json.data));
    path = json.next ?? null;
    assert.equal(json.offset !== undefined, path !== null);
    pages++;
  }
  assert.deepEqual(seen.sort(), ["orders", "spare", "users"]);
  assert.equal(pages, 3);
});

test("tags select with ',' for all and '/' for any, and stay in next", async () => {
  const { call } = await loaded();
  const select = async (tags: string) => names((await call("GET", `/services?tags=${tags}`)).json.data);
  assert.deepEqual(await select("blue"), ["orders", "users"]);
  assert.deepEqual(await select("blue,shop"), ["orders"]);
  assert.deepEqual(await select("shop/green"), ["orders", "spare"]);
  const page = await call("GET", "/services?tags=blue&size=1");
  assert.match(page.json.next ?? "", /^\/services\?offset=.+&size=1&tags=blue$/);
});

test("a consumer is found by its custom_id", async () => {
  const { call } = await loaded();
  assert.equal((await call("GET", "/consumers?custom_id=42")).json.data?.length, 1);
  assert.equal((await call("GET", "/consumers?custom_id=43")).json.data?.length, 0);
});

const BAD_QUERIES: [query: string, code: number, message: string][] = [
  ["size=0", 9, "size must be an integer between 1 and 1000"],
  ["size=1001", 9, "size must be an integer between 1 and 1000"],
  ["size=many", 9, "size must be an integer between 1 and 1000"],
  ["size=1&size=2", 9, "size must be an integer between 1 and 1000"],
  ["offset=%25%25", 7, "'%%' is not a valid offset: bad base64 encoding"],
  ["tags=a,b/c", 11, "invalid option (tags: invalid filter syntax)"],
  ["tags=,", 11, "invalid option (tags: invalid filter syntax)"],
  ["tags=/", 11, "invalid option (tags: invalid filter syntax)"],
];

for (const [query, code, message] of BAD_QUERIES) {
  test(`a list refuses ?${query} with code ${code}`, async () => {
    const { call } = await startAdmin();
    const { status, json } = await call("GET", `/services?${query}`);
    assert.deepEqual([status, json.code, json.message], [400, code, message]);
  });
}

const WRITES: [method: string, path: string, message: string][] = [
  ["POST", "/services", "cannot create 'services' entities when not using a database"],
  ["PUT", "/services/x", "cannot create or update 'services' entities when not using a database"],
  ["PATCH", "/routes/x", "cannot update 'routes' entities when not using a database"],
  ["DELETE", "/consumers/x", "cannot remove 'consumers' entities when not using a database"],
  ["POST", "/services/x/routes", "cannot create 'routes' entities when not using a database"],
  [
    "DELETE",
    "/consumers/x/key-auth/y",
    "cannot remove 'keyauth_credentials' entities when not using a database",
  ],
  ["POST", "/acme/plugins", "cannot create 'plugins' entities when not using a database"],
];

for (const [method, path, message] of WRITES) {
  test(`${method} ${path} is refused with code 12`, async () => {
    const { call } = await startAdmin();
    const { status, json } = await call(method, path, {
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    assert.deepEqual([status, json], [405, { code: 12, name: "operation unsupported", message }]);
  });
}

test("unknown paths are 404, wrong verbs 405 with Allow, OPTIONS 204", async () => {
  const { call } = await startAdmin();
  assert.deepEqual((await call("GET", "/nothing")).json, { message: "Not found" });
  assert.equal((await call("GET", "/services/x")).status, 404);
  const wrong = await call("DELETE", "/services");
  assert.deepEqual(
    [wrong.status, wrong.json.message, wrong.headers.allow],
    [405, "Method not allowed", "GET, POST, HEAD, OPTIONS"],
  );
  const options = await call("OPTIONS", "/services");
  assert.deepEqual([options.status, options.headers.allow], [204, "GET, POST, HEAD, OPTIONS"]);
  assert.equal((await call("HEAD", "/services")).text, "");
});

test("the root names the gateway and its plugins; every answer its server and latency", async () => {
  const { call } = await loaded();
  const { status, json, headers } = await call("GET", "/");
  assert.equal(status, 200);
  assert.equal(json.version, "3.10.0");
  assert.deepEqual(json.gatehouse, { version: "0.1.0", database: "off" });
  assert.deepEqual(json.plugins, {
    available_on_server: { "key-auth": { version: "1.0.0", priority: 1250 } },
    enabled_in_cluster: ["key-auth"],
  });
  assert.deepEqual(json.configuration, { database: "off" });
  assert.equal(headers.server, "gatehouse/0.1.0");
  assert.match(String(headers["x-kong-admin-latency"]), /^\d+$/);
  assert.match(String(headers["content-type"]), /^application\/json; charset=utf-8$/);
});

test("the status carries the hash of the configuration", async () => {
  const { call, config } = await loaded();
  const { json } = await call("GET", "/status");
  assert.equal(json.configuration_hash, config().hash);
  assert.deepEqual(json.fence, { in_force: true });
});

test("schemas are told for entities and plugins, as single-key objects in order", async () => {
  const { call } = await startAdmin();
  const services = await call("GET", "/schemas/services");
  const fields = services.json.fields as unknown as Record<string, unknown>[];
  assert.ok(fields.every((field) => Object.keys(field).length === 1));
  assert.equal(
    fields.some((field) => "host" in field),
    true,
  );
  const plugin = await call("GET", "/schemas/plugins/key-auth");
  assert.deepEqual(
    (plugin.json.fields as unknown as object[]).map((field) => Object.keys(field)[0]),
    ["consumer", "protocols", "config"],
  );
  assert.deepEqual((await call("GET", "/schemas/nothing")).json, { message: "No entity named 'nothing'" });
  assert.equal((await call("GET", "/schemas/nothing")).status, 404);
  assert.deepEqual((await call("GET", "/schemas/plugins/x")).json, { message: "No plugin named 'x'" });
});
