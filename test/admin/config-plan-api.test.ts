/** `/config/plan`, `/config/sync` and `/config/dump` of a gateway over SQLite, and of one that has a file. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Call, callOf, startWritable } from "../control/gateway.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";

const YAML = { "content-type": "application/yaml" };
const HEAD = '_format_version: "3.0"\n';

let gateway: Gateway & { call: Call };
before(async () => {
  gateway = await startWritable();
});
after(() => gateway[Symbol.asyncDispose]());

const post = (path: string, text: string | Uint8Array) => gateway.call("POST", path, text, YAML);

test("a plan is done as it was made, or not at all", async () => {
  const text = `${HEAD}services: [{ name: a, host: a.example, routes: [{ name: r, paths: [/a] }] }]\n`;
  const { status, json: plan } = await post("/config/plan", text);
  assert.equal(status, 200);
  assert.deepEqual(plan.summary, { create: 2, update: 0, delete: 0 });
  await gateway.call("POST", "/services", { name: "meanwhile", host: "a.example" });
  const path = `/config/sync?configuration_hash=${plan.configuration_hash}`;
  const late = await post(path, text);
  assert.equal(late.status, 409);
  assert.match(late.json.message ?? "", /has changed since/);
  assert.equal((await gateway.call("GET", "/services/a")).status, 404);
  const merged = await post("/config/sync?mode=merge", text);
  assert.equal(merged.status, 200);
  const audit = await gateway.call("GET", "/audit-log");
  const told = (audit.json.data ?? []).map(({ action, entity }) => `${action} ${entity}`);
  assert.ok(told.includes("create routes") && told.includes("create services"), told.join());
});

test("a document with faults changes nothing, and each fault has its place", async () => {
  const before = (await gateway.call("GET", "/config/dump")).json.config;
  const wrong = await post("/config/sync", `${HEAD}services:\n- name: b\n  host: b.example\n  port: "80"\n`);
  assert.equal(wrong.status, 400);
  assert.equal(wrong.json.code, 14);
  const [error] = wrong.json.errors as Record<string, unknown>[];
  assert.deepEqual(
    [error?.line, error?.column, error?.field, error?.found, error?.hint],
    [5, 9, "port", '"80"', "write it without quotes"],
  );
  assert.equal((await gateway.call("GET", "/config/dump")).json.config, before);
});

for (const [title, path, body, status, message] of [
  ["a mode that is none", "/config/plan?mode=replace", HEAD, 400, /mode: expected one of: sync, merge/],
  ["an empty tag", "/config/plan?select_tag=", HEAD, 400, /select_tag/],
  [
    "bytes that are not UTF-8",
    "/config/plan",
    Buffer.from(`${HEAD}a: \xff`, "latin1"),
    400,
    /line 2, column 4/,
  ],
  ["a workspace that is not there", "/nobody/config/plan", HEAD, 404, /Not found/],
  ["a bomb of aliases", "/config/plan", bomb(), 400, /more than 1000000 values that aliases repeat/],
] as const)
  test(`${title} is refused`, async () => {
    const answer = await post(path, body);
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.json.message ?? "", message);
  });

/** Ten of ten of ten … */
function bomb(): string {
  let text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (let i = 1; i < 12; i++)
    text += `a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join(", ")}]\n`;
  return text;
}

test("a gateway that has a file plans and dumps, and writes nothing", async () => {
  await using fromFile = await startGateway({ config: { _format_version: "3.0", services: [] } });
  const call = callOf(() => fromFile.ports.admin);
  const text = `${HEAD}services: [{ name: a, host: a.example }]\n`;
  const plan = await call("POST", "/config/plan", text, YAML);
  assert.deepEqual([plan.status, plan.json.summary], [200, { create: 1, update: 0, delete: 0 }]);
  const sync = await call("POST", "/config/sync", text, YAML);
  assert.deepEqual([sync.status, sync.json.code], [405, 12]);
  assert.match(String((await call("GET", "/config/dump")).json.config), /^_format_version: "3.0"/);
});

test("a plan shows that secrets in the config of a plugin change, and not what they are", async () => {
  const config = (secret: string) => ({
    add: {
      headers: [`authorization:Bearer ${secret}`, `accept:${secret.length}`],
      querystring: [`api_key:${secret}`],
    },
  });
  const plugin = { name: "request-transformer", instance_name: "rt", config: config("first") };
  assert.equal((await gateway.call("PUT", "/plugins/rt", plugin)).status, 200);
  const document = { _format_version: "3.0", plugins: [{ ...plugin, config: config("another") }] };
  const { status, text, json } = await gateway.call("POST", "/config/plan?mode=merge", document);
  assert.equal(status, 200, text);
  assert.doesNotMatch(text, /first|another/);
  assert.deepEqual((json.changes as { fields: unknown }[])[0]?.fields, [
    {
      field: "config.add.headers",
      before: ["authorization:***", "accept:5"],
      after: ["authorization:***", "accept:7"],
    },
    { field: "config.add.querystring", before: ["api_key:***"], after: ["api_key:***"] },
  ]);
});

test("a change of one workspace that was planned is done whatever others have written to theirs meanwhile", async () => {
  assert.equal(
    (await gateway.call("POST", "/workspaces", { name: "mine", hosts: ["mine.example"] })).status,
    201,
  );
  const document = { _format_version: "3.0", services: [{ name: "m", host: "203.0.113.1" }] };
  const plan = await gateway.call("POST", "/mine/config/plan", document);
  const dump = await gateway.call("GET", "/mine/config/dump");
  assert.equal(dump.json.configuration_hash, plan.json.configuration_hash);
  assert.equal((await gateway.call("POST", "/services", { name: "others", host: "a.example" })).status, 201);
  const path = `/mine/config/sync?configuration_hash=${plan.json.configuration_hash}`;
  const done = await gateway.call("POST", path, document);
  assert.equal(done.status, 200, done.text);
  assert.notEqual(done.json.configuration_hash, plan.json.configuration_hash);
  const late = await gateway.call("POST", path, { ...document, services: [] });
  assert.equal(late.status, 409, "its own was changed");
});
