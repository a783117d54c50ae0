/**
 * References to vaults, from a write to the data threads: threads get what they lead to, the Admin API, exports, errors
 * and stores see the reference.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConfigChange, joined } from "../../src/entities/change.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { Authority } from "../support/certificates.ts";
import { JSON_TYPE, startAdmin, YAML } from "./gateway.ts";

await using authority = await Authority.create();
const pair = await authority.issue("example", ["DNS:example.com"]);
const other = await authority.issue("other", ["DNS:other.com"]);
const ENVIRONMENT = {
  TLS_KEY: pair.key,
  APP_TLS_KEY: pair.key,
  OTHER_TLS_KEY: other.key,
  TLS_JSON: JSON.stringify({ key: pair.key, port: 1, inner: {} }),
  LOOP: "{vault://env/tls-key}",
  BROKEN: "not a key: hush",
};

async function open() {
  const heard: ConfigChange[] = [];
  const store = new MemoryStore();
  const admin = await startAdmin({
    store,
    environment: ENVIRONMENT,
    onDeploy: (change) => heard.push(joined([change])),
  });
  const post = (path: string, body: object) =>
    admin.call("POST", path, { headers: JSON_TYPE, body: JSON.stringify(body) });
  return { ...admin, heard, store, post, last: () => heard.at(-1) as ConfigChange };
}

test("threads hear what a reference leads to; whoever reads the entity sees the reference", async () => {
  const { post, call, last, store } = await open();
  const created = await post("/certificates", { cert: pair.cert, key: "{vault://env/tls-key}" });
  assert.equal(created.status, 201, created.text);
  assert.equal(created.json.key, "{vault://env/tls-key}");
  assert.equal(last().put.certificates[0]?.key, pair.key);
  const read = await call("GET", `/certificates/${created.json.id}`);
  assert.equal(read.json.key, "{vault://env/tls-key}");
  const { config } = (await call("GET", "/config")).json;
  assert.equal(JSON.stringify([(await store.read()).rows, config]).includes("PRIVATE KEY"), false);
});

const FOLLOWED: [reference: string][] = [["{vault://env/TLS_KEY}"], ["{vault://env/tls-json/key}"]];
for (const [reference] of FOLLOWED) {
  test(`${reference} is followed`, async () => {
    const { post, last } = await open();
    const created = await post("/certificates", { cert: pair.cert, key: reference });
    assert.equal(created.status, 201, created.text);
    assert.equal(last().put.certificates[0]?.key, pair.key);
  });
}

const LOST: [reference: string, message: string][] = [
  ["{vault://env/nothing}", "leads nowhere: the gateway's environment has no NOTHING"],
  ["{vault://env/constructor}", "leads nowhere: the gateway's environment has no CONSTRUCTOR"],
  ["{vault://mine/key}", "leads to no vault: 'mine' is none"],
  ["{vault://file/key}", "leads nowhere: secrets_dir is not set (default/key)"],
  ["{vault://env/tls-json/nothing}", "leads nowhere: the JSON object has no text 'nothing'"],
  ["{vault://env/tls-json/inner}", "leads nowhere: the JSON object has no text 'inner'"],
  ["{vault://env/tls-key/a}", "asks for 'a' of what is no JSON object"],
  ["{vault://env/loop}", "leads to another reference"],
];
for (const [reference, message] of LOST) {
  test(`a write whose ${reference} cannot be followed is refused, with the field and the reference`, async () => {
    const { post, call } = await open();
    const { status, json } = await post("/certificates", { cert: pair.cert, key: reference });
    assert.deepEqual(
      [status, json],
      [
        400,
        {
          code: 2,
          name: "schema violation",
          message: `schema violation (key: ${reference} ${message})`,
          fields: { key: `${reference} ${message}` },
        },
      ],
    );
    assert.deepEqual((await call("GET", "/certificates")).json.data, []);
  });
}

test("what a reference leads to is judged like a value, and never quoted", async () => {
  const { post } = await open();
  const broken = await post("/certificates", { cert: pair.cert, key: "{vault://env/broken}" });
  assert.equal(broken.status, 400);
  assert.equal(broken.text.includes("hush"), false, broken.text);
  const mismatched = await post("/certificates", { cert: pair.cert, key: "{vault://env/other-tls-key}" });
  assert.deepEqual(mismatched.json.fields, { key: "certificate does not match key" });
});

test("a vault puts its prefix before names, and who refers to it follows when it changes", async () => {
  const { post, call, last, heard } = await open();
  const vault = { prefix: "mine", name: "env", config: { prefix: "app_" } };
  assert.equal((await post("/vaults", vault)).status, 201);
  const created = await post("/certificates", { cert: pair.cert, key: "{vault://mine/tls-key}" });
  assert.equal(created.status, 201, created.text);
  const patch = (prefix: string) =>
    call("PATCH", "/vaults/mine", {
      headers: JSON_TYPE,
      body: JSON.stringify({ config: { prefix } }),
    });
  const before = heard.length;
  const wrong = await patch("other_");
  assert.equal(wrong.status, 400, wrong.text);
  assert.equal(
    wrong.json.message,
    `schema violation (certificate '${created.json.id}': key: certificate does not match key)`,
  );
  assert.equal(heard.length, before);
  const moved = await patch("");
  assert.equal(moved.status, 400);
  const sound = await patch("APP_");
  assert.equal(sound.status, 200, sound.text);
  assert.equal(last().put.certificates[0]?.key, pair.key);
  assert.equal((await call("DELETE", "/vaults/mine")).status, 400);
  assert.equal((await call("DELETE", `/certificates/${created.json.id}`)).status, 204);
  assert.equal((await call("DELETE", "/vaults/mine")).status, 204);
});

test("a document whose references cannot be followed is refused as a whole, with their places", async () => {
  const { call } = await startAdmin({ environment: ENVIRONMENT });
  const document = (key: string) =>
    `_format_version: "3.0"\nvaults: [{prefix: mine, name: env, config: {prefix: APP_}}]\ncertificates:\n- cert: ${JSON.stringify(pair.cert)}\n  key: "${key}"\n`;
  const lost = await call("POST", "/config", { headers: YAML, body: document("{vault://mine/nothing}") });
  assert.equal(lost.status, 400);
  assert.equal(
    lost.json.message,
    "declarative config is invalid: config:5:8 certificate key: {vault://mine/nothing} leads nowhere: the gateway's environment has no APP_NOTHING",
  );
  const sound = await call("POST", "/config", { headers: YAML, body: document("{vault://mine/tls-key}") });
  assert.equal(sound.status, 201, sound.text);
  assert.equal(sound.text.includes("PRIVATE KEY"), false);
});

const MISPLACED: [path: string, body: object, field: string][] = [
  ["/services", { host: "a", name: "s", tags: ["{vault://env/a}"] }, "tags"],
  ["/consumers", { username: "{vault://env/a}" }, "username"],
  ["/certificates", { cert: pair.cert, key: "{vault://env}" }, "key"],
  ["/certificates", { cert: pair.cert, key: "{vault://env/a?b=c}" }, "key"],
];
for (const [path, body, field] of MISPLACED) {
  test(`${JSON.stringify(body).slice(-40)} in ${path} is no reference that is taken`, async () => {
    const { post } = await open();
    const { status, json } = await post(path, body);
    assert.equal(status, 400);
    assert.deepEqual(Object.keys(json.fields ?? {}), [field]);
    assert.match(String(json.message), /reference/);
  });
}
