/** Two workspaces that have the same of everything: nothing that one does is seen, counted or used by the other. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Call, callOf } from "../control/gateway.ts";
import { packFiles, publish } from "../gateway/packages.ts";
import { bundleSource } from "../sandbox/sandbox.ts";
import { type Answer, send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";

const SIDES = ["left", "right"] as const;
type Side = (typeof SIDES)[number];

/** Counts in what it keeps; each workspace's package of this name says whose it is. */
const source = (side: Side) => `import { definePlugin, record, reply } from "@gatehouse/sdk";
export default definePlugin({ name: "tally", version: "1.0.0", priority: 1, schema: record({}),
  create(config, host) { return { access: async () => {
    const kept = await host.kv.get("count");
    const count = (kept ? Number(new TextDecoder().decode(kept)) : 0) + 1;
    await host.kv.set("count", String(count));
    host.count("tallied", "", {}, 1);
    return reply(200, { of: "${side}", count });
  } }; } });`;

describe("two workspaces with the same of everything", () => {
  let origin: Origin;
  let gateway: Gateway;
  let call: Call;

  before(async () => {
    origin = await startOrigin((request, response) => {
      response.end(receivedHeader(request, "x-consumer-username") ?? "");
    });
    gateway = await startGateway({
      config: null,
      settings: { data_threads: "2", unfenced_uploads: SIDES.join(","), proxy_access_log: "/dev/stdout" },
    });
    call = callOf(
      () => gateway.ports.admin,
      () => gateway.adminHeaders,
    );
    for (const side of SIDES) {
      await made("/workspaces", { name: side, hosts: [`${side}.example`] });
      const manifest = {
        manifest: 1,
        name: "tally",
        version: "1.0.0",
        runtime: "isolate",
        entry: "plugin.js",
      };
      const rest = { phases: ["access"], grants: { kv_bytes: 1000, metrics: true } };
      await publish(
        gateway,
        await packFiles({ ...manifest, ...rest }, "plugin.js", await bundleSource(source(side))),
        side,
      );
      await made(`/${side}/services`, { name: "same", url: origin.url });
      for (const [name, plugins] of [
        ["keyed", [{ name: "key-auth" }]],
        ["limited", [{ name: "rate-limiting", config: { hour: 3, limit_by: "ip", policy: "local" } }]],
        ["tallied", [{ name: "tally@1.0.0" }]],
      ] as const) {
        await made(`/${side}/routes`, {
          name,
          hosts: [`${side}.example`],
          paths: [`/${name}`],
          service: { name: "same" },
        });
        for (const plugin of plugins) await made(`/${side}/routes/${name}/plugins`, plugin);
      }
      await made(`/${side}/plugins`, { name: "prometheus", config: { status_code_metrics: true } });
      await made(`/${side}/consumers`, { username: `${side}-person` });
      await made(`/${side}/consumers/${side}-person/key-auth`, { key: "the same key" });
    }
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
  });

  async function made(path: string, body: object): Promise<void> {
    const { status, text } = await call("POST", path, body);
    assert.equal(status, 201, `${path}: ${text}`);
  }
  const ask = (side: Side, path: string, headers: Record<string, string> = {}): Promise<Answer> =>
    send(`${gateway.url}${path}`, { headers: { host: `${side}.example`, ...headers } });

  test("a key means the consumer of the workspace that is asked for", async () => {
    for (const side of SIDES) {
      const { body } = await ask(side, "/keyed", { apikey: "the same key" });
      assert.equal(body, `${side}-person`);
    }
    const { json } = await call("GET", "/left/key-auths/the%20same%20key/consumer");
    assert.equal(json.username, "left-person");
  });

  test("a key that one workspace takes away is good in the other", async () => {
    const spare = { key: "a spare key" };
    for (const side of SIDES) await made(`/${side}/consumers/${side}-person/key-auth`, spare);
    assert.equal((await call("DELETE", "/left/key-auths/a%20spare%20key")).status, 204);
    assert.equal((await ask("left", "/keyed", { apikey: spare.key })).status, 401);
    assert.equal((await ask("right", "/keyed", { apikey: spare.key })).status, 200);
  });

  test("requests to one do not count against the limit of the other", async () => {
    const statuses = async (side: Side) => {
      const all: number[] = [];
      for (let i = 0; i < 4; i++) all.push((await ask(side, "/limited")).status);
      return all;
    };
    assert.deepEqual(await statuses("left"), [200, 200, 200, 429]);
    assert.deepEqual(await statuses("right"), [200, 200, 200, 429]);
  });

  test("a package of the same name and version is each one's own, and so is what it keeps", async () => {
    const tally = async (side: Side) => JSON.parse((await ask(side, "/tallied")).body);
    assert.deepEqual(await tally("left"), { of: "left", count: 1 });
    assert.deepEqual(await tally("left"), { of: "left", count: 2 });
    assert.deepEqual(await tally("right"), { of: "right", count: 1 });
    const [left, right] = await Promise.all(
      SIDES.map((side) => call("GET", `/${side}/plugin-packages/tally@1.0.0`)),
    );
    assert.equal(left?.status, 200);
    assert.notEqual(left?.json.id, right?.json.id);
    assert.equal((await call("GET", `/right/plugin-packages/${left?.json.id}`)).status, 404);
    const foreign = await call("POST", "/right/plugins", { name: "left/tally@1.0.0" });
    assert.equal(foreign.status, 400);
    const nowhere = await call("POST", "/right/plugins", { name: "left/nothing@1.0.0" });
    assert.equal(
      foreign.text.replaceAll("tally", "NAME"),
      nowhere.text.replaceAll("nothing", "NAME"),
      "whether it is there is not told",
    );
  });

  test("usage, metrics and the access log say whose each is", async () => {
    for (const side of SIDES) {
      const { json } = await call("GET", `/${side}/plugin-usage`);
      assert.ok(json.data?.length === 1 && json.data.every(({ workspace }) => workspace === side));
      await gateway.log((line) => line.path === "/tallied" && line.workspace === side);
    }
    const { body } = await send(`${gateway.statusUrl}/metrics`);
    const count = (pattern: RegExp) => [...body.matchAll(pattern)].map(([, value]) => value);
    assert.deepEqual(count(/^gatehouse_guest_tallied_total\{.*workspace="left".*\} (\d+)$/gm), ["2"]);
    assert.deepEqual(count(/^gatehouse_guest_tallied_total\{.*workspace="right".*\} (\d+)$/gm), ["1"]);
    for (const side of SIDES)
      assert.deepEqual(
        count(
          new RegExp(
            `^kong_http_requests_total\\{.*route="limited",code="429".*workspace="${side}".*\\} (\\d+)$`,
            "gm",
          ),
        ),
        ["1"],
      );
  });

  test("what concerns all workspaces is at no workspace's path", async () => {
    for (const [verb, path, status] of [
      ["GET", "/left/debug/node/log-level", 404],
      ["PUT", "/left/debug/node/log-level/debug", 404],
      ["GET", "/left/status", 404],
      ["GET", "/left/workspaces", 404],
      // decK reads a workspace there; it writes none.
      ["DELETE", "/left/workspaces/right", 405],
    ] as const)
      assert.equal((await call(verb, path)).status, status, `${verb} ${path}`);
    assert.equal((await call("GET", "/workspaces/right")).status, 200);
  });

  test("one that is deleted takes nothing of the other with it", async () => {
    const { status, text } = await call("DELETE", "/workspaces/left?cascade=true");
    assert.equal(status, 200, text);
    assert.equal((await ask("left", "/tallied")).status, 404);
    assert.equal((await ask("right", "/keyed", { apikey: "the same key" })).body, "right-person");
    assert.equal((await ask("right", "/limited")).status, 429);
    assert.deepEqual(JSON.parse((await ask("right", "/tallied")).body), { of: "right", count: 2 });
    const { body } = await send(`${gateway.statusUrl}/metrics`);
    assert.doesNotMatch(body, /workspace="left"/);
    assert.match(body, /gatehouse_guest_tallied_total\{.*workspace="right".*\} 2/);
  });
});
