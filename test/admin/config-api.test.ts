/** `/config`: replacing everything at once, in every form a client may send, and refusing all of it at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { JSON_TYPE, startAdmin, YAML } from "./gateway.ts";

const CONFIG = `_format_version: "3.0"
services:
- name: orders
  url: http://127.0.0.1:9000
  routes:
  - name: orders-route
    paths: [/orders]
  plugins:
  - name: key-auth
    config: {limit: 7}
consumers:
- username: alice
  keyauth_credentials:
  - key: secret-of-alice
upstreams:
- name: pool
  targets:
  - target: 127.0.0.1:9003
workspaces:
- name: acme
  hosts: [acme.example]
  services:
  - name: acme-service
    url: http://10.0.0.4:9004
`;

test("a configuration is answered with its entities by id, once it is in force", async () => {
  let live = false;
  const { call, config } = await startAdmin({
    beforeApply: async () => {
      await new Promise(setImmediate);
      live = true;
    },
  });
  const { status, json } = await call("POST", "/config", { headers: YAML, body: CONFIG });
  assert.equal(status, 201);
  assert.equal(live, true);
  const [service] = config().services;
  const services = json.services as Record<string, { name: string; ws_id?: string }>;
  assert.equal(services[service?.id ?? ""]?.name, "orders");
  assert.equal(services[service?.id ?? ""]?.ws_id, undefined);
});

const MULTIPART = [
  "--cut",
  'Content-Disposition: form-data; name="config"; filename="kong.yml"',
  "Content-Type: application/octet-stream",
  "",
  CONFIG,
  "--cut--",
  "",
].join("\r\n");

const FORMS: [title: string, headers: Record<string, string>, body: string][] = [
  ["YAML", YAML, CONFIG],
  [
    "JSON",
    JSON_TYPE,
    '{"_format_version": "3.0", "services": [{"name": "orders", "url": "http://a.example"}]}',
  ],
  [
    "YAML in the config field of JSON",
    { "content-type": "application/json; charset=utf-8" },
    JSON.stringify({ config: CONFIG }),
  ],
  ["YAML in a form's file", { "content-type": "multipart/form-data; boundary=cut" }, MULTIPART],
  [
    "YAML in an urlencoded form",
    { "content-type": "application/x-www-form-urlencoded" },
    String(new URLSearchParams({ config: CONFIG })),
  ],
];

for (const [title, headers, body] of FORMS) {
  test(`a configuration may come as ${title}`, async () => {
    const { call, config } = await startAdmin();
    const { status, text } = await call("POST", "/config", { headers, body });
    assert.equal(status, 201, text);
    assert.equal(
      config().services.some(({ name }) => name === "orders"),
      true,
    );
  });
}

test("an equal configuration is 304 when the client checks the hash, and 201 when it does not", async () => {
  const { call } = await startAdmin();
  const post = (path: string) => call("POST", path, { headers: YAML, body: CONFIG });
  assert.equal((await post("/config?check_hash=1")).status, 201);
  const again = await post("/config?check_hash=1");
  assert.deepEqual([again.status, again.text], [304, ""]);
  assert.equal((await post("/config")).status, 201);
});

test("what GET /config gives can be posted back and is the same configuration", async () => {
  const { call, config } = await startAdmin();
  await call("POST", "/config", { headers: YAML, body: CONFIG });
  const before = config();
  const { json } = await call("GET", "/config");
  const posted = await call("POST", "/config", {
    headers: JSON_TYPE,
    body: JSON.stringify({ config: json.config }),
  });
  assert.equal(posted.status, 201, posted.text);
  assert.equal(config().hash, before.hash);
  assert.deepEqual(
    config().services.map(({ id }) => id),
    before.services.map(({ id }) => id),
  );
});

test("a broken configuration names every fault with code 14 and leaves the old one in force", async () => {
  const { call, config } = await startAdmin();
  await call("POST", "/config", { headers: YAML, body: CONFIG });
  const { hash } = config();
  const body = CONFIG.replace("127.0.0.1:9000", "127.0.0.1:99999").replace("[/orders]", "[orders]");
  const { status, json } = await call("POST", "/config", { headers: YAML, body });
  assert.deepEqual([status, json.code, json.name], [400, 14, "invalid declarative configuration"]);
  assert.match(json.message ?? "", /^declarative config is invalid: /);
  assert.match(json.message ?? "", /config:7:13 route 'orders-route'/);
  const services = json.fields?.services as { routes?: unknown[] }[];
  assert.ok(services[0]?.routes, "the route's fault stands under its path");
  assert.ok(Object.keys(services[0] ?? {}).length >= 2, "the service's fault stands beside it");
  assert.equal(config().hash, hash);
});

const REFUSED: [title: string, headers: Record<string, string>, body: string | Uint8Array, status: number][] =
  [
    ["of an unknown type", { "content-type": "text/html" }, CONFIG, 415],
    ["without a type", {}, CONFIG, 415],
    ["that is not UTF-8", YAML, Buffer.from([0xff, 0xfe]), 400],
    ["that is no sound JSON", JSON_TYPE, "{", 400],
    ["in a form without the field", { "content-type": "application/x-www-form-urlencoded" }, "other=1", 400],
    ["in a broken form", { "content-type": "multipart/form-data" }, "hello", 400],
    ["that is empty", YAML, "", 400],
  ];

for (const [title, headers, body, status] of REFUSED) {
  test(`a configuration ${title} is refused with ${status}`, async () => {
    const { call } = await startAdmin();
    const reply = await call("POST", "/config", { headers, body });
    assert.equal(reply.status, status, reply.text);
    assert.ok(reply.json.message);
  });
}

test("configurations posted at once are applied one after another, and too many are told to come back", async () => {
  const gate = Promise.withResolvers<void>();
  const { call } = await startAdmin({ beforeApply: () => gate.promise });
  const statuses: number[] = [];
  const replies = Array.from({ length: 8 }, async () => {
    const { status, headers } = await call("POST", "/config", { headers: YAML, body: CONFIG });
    statuses.push(status);
    if (status === 429) assert.equal(headers["retry-after"], "1");
    // Three of eight find no place: the others wait until the first is in force.
    if (statuses.length === 3) gate.resolve();
  });
  await Promise.all(replies);
  assert.deepEqual(statuses, [429, 429, 429, 201, 201, 201, 201, 201]);
});
