/**
 * Workspaces deleted with everything: what the answer counts is gone from the store, from the disk, from Redis, from
 * metrics and usage, and one of the same name that is made afterwards begins with nothing.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Redis } from "ioredis";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { type Call, callOf } from "../control/gateway.ts";
import { packFiles, publish } from "../gateway/packages.ts";
import { bundleSource } from "../sandbox/sandbox.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { type PostgresServer, postgresSettings, startPostgres } from "../support/postgres.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";

/** Keeps what the query says, or tells what was kept, and counts. */
const SOURCE = `import { definePlugin, record, reply } from "@gatehouse/sdk";
export default definePlugin({ name: "zebrakeeper", version: "1.0.0", priority: 1, schema: record({}),
  create(config, host) { return { access: async (ctx) => {
    const { query } = ctx.request;
    host.count("zebracounts", "", { of: "zebralabel" }, 1);
    if (query !== "") await host.kv.set("zebrakey", query);
    const kept = await host.kv.get("zebrakey");
    return reply(200, { kept: kept && new TextDecoder().decode(kept) });
  } }; } });`;

let origin: Origin;
let redis: RedisServer;
let bytes: Uint8Array;
before(async () => {
  origin = await startOrigin((_, response) => void response.end("from the origin"));
  redis = await startRedis();
  bytes = await packFiles(
    {
      manifest: 1,
      name: "zebrakeeper",
      version: "1.0.0",
      runtime: "isolate",
      entry: "plugin.js",
      phases: ["access"],
      grants: { kv_bytes: 1000, metrics: true },
    },
    "plugin.js",
    await bundleSource(SOURCE),
  );
});
after(async () => {
  await origin[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});

const NAME = "zebraspace";
const HOST = "zebra.example";

async function start(
  settings: Readonly<Record<string, string>> = {},
): Promise<{ gateway: Gateway; call: Call }> {
  const gateway = await startGateway({
    config: null,
    settings: { data_threads: "2", unfenced_uploads: NAME, ...settings },
  });
  const { prefix } = settings;
  if (prefix !== undefined)
    gateway.adminHeaders = {
      "kong-admin-token": (await readFile(join(prefix, "admin-token"), "utf8")).trim(),
    };
  return {
    gateway,
    call: callOf(
      () => gateway.ports.admin,
      () => gateway.adminHeaders,
    ),
  };
}

async function made(call: Call, path: string, body: object): Promise<string> {
  const { status, json, text } = await call("POST", path, body);
  assert.equal(status, 201, text);
  return json.id;
}

/** A tenant that leaves a trace wherever one can be left. */
async function furnish(gateway: Gateway, call: Call): Promise<void> {
  await made(call, "/workspaces", { name: NAME, hosts: [HOST] });
  await publish(gateway, bytes, NAME);
  const route = await configure(call);
  await made(call, `/${NAME}/plugins`, { name: "zebrakeeper@1.0.0", route: { id: route } });
  await made(call, `/${NAME}/plugins`, { name: "request-recording", route: { id: route } });
}

/** What it has in the store. @returns the id of the route that matches `/kept`. */
async function configure(call: Call): Promise<string> {
  const service = { id: await made(call, `/${NAME}/services`, { name: "zebraservice", url: origin.url }) };
  const route = await made(call, `/${NAME}/routes`, {
    name: "zebraroute",
    hosts: [HOST],
    paths: ["/kept"],
    service,
  });
  await made(call, `/${NAME}/routes`, { name: "zebraother", hosts: [HOST], service });
  await made(call, `/${NAME}/plugins`, { name: "rate-limiting", config: { minute: 100, policy: "local" } });
  await made(call, `/${NAME}/plugins`, {
    name: "prometheus",
    config: { status_code_metrics: true, latency_metrics: true },
  });
  const consumer = await made(call, `/${NAME}/consumers`, { username: "zebraconsumer", tags: ["zebratag"] });
  await made(call, `/${NAME}/consumers/${consumer}/key-auth`, { key: "zebracredential" });
  await made(call, `/${NAME}/upstreams`, { name: "zebraupstream" });
  return route;
}

/** The operator's audit log goes on telling of the workspace itself, by its own fields. */
const TRACE = /zebra(?!space|\.example)/;

/** Everything of the prefix that holds a word: paths, and contents. */
async function holding(prefix: string, word = TRACE): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(prefix, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (word.test(path)) found.push(path);
    // What every gateway's guests live in, sockets, and the log, which tells of what has been.
    if (!entry.isFile() || ["cordon", "logs"].some((other) => path.startsWith(join(prefix, other)))) continue;
    // One may go meanwhile.
    if (word.test(await readFile(path, "latin1").catch(() => ""))) found.push(path);
  }
  return found;
}

async function redisHolds(word: string): Promise<string[]> {
  const client = new Redis({ host: "127.0.0.1", port: redis.port });
  const found: string[] = [];
  for (const key of await client.keys("*")) {
    const type = await client.type(key);
    const content = type === "hash" ? JSON.stringify(await client.hgetall(key)) : "";
    if (`${key} ${content}`.includes(word)) found.push(key);
  }
  client.disconnect();
  return found;
}

const ask = async (gateway: Gateway, path: string) => {
  const { status, body } = await send(`${gateway.url}${path}`, { headers: { host: HOST } });
  return { status, body };
};

for (const [values, settings] of [
  ["its own file", () => ({})],
  ["Redis", () => ({ guest_kv: "redis", redis_host: "127.0.0.1", redis_port: String(redis.port) })],
] as const)
  test(`a workspace that is deleted with everything is found nowhere (values in ${values})`, async () => {
    const { gateway, call } = await start(settings());
    await using _ = gateway;
    await furnish(gateway, call);
    assert.equal((await ask(gateway, "/kept?zebravalue")).body, '{"kept":"zebravalue"}');
    for (let i = 0; i < 3; i++) assert.equal((await ask(gateway, "/other")).status, 200);

    // Kept after the request was answered; each look is a request of its own.
    const recordings = async () => (await call("GET", `/${NAME}/recordings`)).json.data?.length;
    while ((await recordings()) === 0);

    const metrics = async () => (await send(`${gateway.statusUrl}/metrics`)).body;
    assert.match(await metrics(), /kong_http_requests_total\{[^}]*route="zebraroute"/);
    assert.match(await metrics(), /gatehouse_guest_zebracounts_total\{[^}]*of="zebralabel"/);
    const usage = async () => (await call("GET", "/plugin-usage")).text;
    assert.match(await usage(), /zebrakeeper/);
    assert.notDeepEqual(await holding(gateway.prefix), []);
    if (values === "Redis") assert.notDeepEqual(await redisHolds("zebra"), []);

    const refused = await call("DELETE", `/workspaces/${NAME}`);
    assert.equal(refused.status, 400);
    assert.equal(refused.json.message, "an existing 'consumers' entity references this 'workspaces' entity");
    assert.equal((await ask(gateway, "/kept")).body, '{"kept":"zebravalue"}', "nothing was removed");

    const { status, json } = await call("DELETE", `/workspaces/${NAME}?cascade=true`);
    assert.equal(status, 200);
    const { workspace, removed, ...rest } = json as unknown as Record<string, Record<string, number>>;
    assert.equal((workspace as { name?: unknown }).name, NAME);
    assert.deepEqual(rest, {
      entities: {
        upstreams: 1,
        keyauth_credentials: 1,
        plugins: 4,
        routes: 2,
        services: 1,
        consumers: 1,
      },
      pending: {},
    });
    const { metric_series: series, cordons, counters, ...counts } = removed as Record<string, number>;
    const { usage_rows: rows, recordings: kept } = counts;
    assert.deepEqual(counts, {
      usage_rows: rows,
      plugin_packages: 1,
      artifacts: 2,
      values: 1,
      recordings: kept,
    });
    for (const [what, count] of Object.entries({ series, cordons, counters, rows, kept }))
      assert.ok((count as number) >= 1, `${what}: ${count}`);

    assert.equal((await ask(gateway, "/kept")).status, 404);
    assert.doesNotMatch(await metrics(), /zebra/);
    assert.doesNotMatch(await usage(), /zebra/);
    assert.doesNotMatch((await send(`${gateway.statusUrl}/status`)).body, /zebra/);
    assert.deepEqual(await holding(gateway.prefix), []);
    assert.deepEqual(await redisHolds("zebra"), []);

    assert.equal(
      (await call("DELETE", `/workspaces/${NAME}?cascade=true`)).status,
      204,
      "there is none any more",
    );
    await furnish(gateway, call);
    assert.equal((await ask(gateway, "/kept")).body, '{"kept":null}', "the next of that name sees nothing");
    assert.deepEqual((await call("GET", `/${NAME}/plugin-packages`)).json.data?.length, 1);
    while ((await recordings()) !== 1);
  });

/** Rows of a schema that hold a word, whatever their table. */
async function rowsHolding(server: PostgresServer, schema: string, word = TRACE): Promise<string[]> {
  const tables = await server.query(
    `SELECT table_name FROM information_schema.tables WHERE table_schema = '${schema}'`,
  );
  const rows = await Promise.all(
    tables.map(async ({ table_name: table }) =>
      (await server.query(`SELECT t::text AS row FROM ${table} AS t`, schema)).map(
        ({ row }) => `${table}: ${row}`,
      ),
    ),
  );
  return rows.flat().filter((row) => word.test(row));
}

test("of gateways on one PostgreSQL any deletes a workspace with everything, and none of them has it any more", async () => {
  await using server = await startPostgres();
  const options = server.options();
  await migratePostgres(options);
  const settings = { data_threads: "1", ...postgresSettings(options) };
  const { gateway: one, call } = await start(settings);
  await using _one = one;
  const { gateway: other, call: callOther } = await start(settings);
  await using _other = other;
  await furnish(one, call);
  while ((await ask(other, "/kept")).body !== '{"kept":null}');
  assert.equal((await ask(other, "/kept?zebravalue")).body, '{"kept":"zebravalue"}');
  assert.notDeepEqual(await rowsHolding(server, options.schema), []);
  const { status, json, text } = await callOther("DELETE", `/workspaces/${NAME}?cascade=true`);
  assert.equal(status, 200, text);
  assert.equal((json as { entities?: { routes?: number } }).entities?.routes, 2);
  assert.equal((await ask(other, "/kept")).status, 404);
  while ((await ask(one, "/kept")).status !== 404);
  assert.equal((await call("GET", `/${NAME}/services`)).status, 404);
  assert.deepEqual(await rowsHolding(server, options.schema), []);
  while ((await holding(one.prefix)).length + (await holding(other.prefix)).length > 0) await setTimeout(20);
});

test("a gateway that is killed while a workspace is deleted has it still, or forgets it to the end", async () => {
  const prefix = await mkdtemp(join(tmpdir(), "gatehouse-deletion-"));
  after(() => rm(prefix, { recursive: true, force: true }));
  const outcomes = new Set<string>();
  for (const delayMs of [1, 8, 30]) {
    {
      const { gateway, call } = await start({ prefix, data_threads: "1" });
      await using _ = gateway;
      if ((await call("GET", `/workspaces/${NAME}`)).status === 404) await furnish(gateway, call);
      const answer = call("DELETE", `/workspaces/${NAME}?cascade=true`).catch(() => null);
      await setTimeout(delayMs);
      await gateway.stop("SIGKILL");
      await answer;
    }
    const { gateway, call } = await start({ prefix, data_threads: "1" });
    await using _ = gateway;
    if ((await call("GET", `/workspaces/${NAME}`)).status === 200) {
      outcomes.add("is there");
      assert.equal((await call("GET", `/${NAME}/routes`)).json.data?.length, 2, "whole");
      assert.equal((await call("DELETE", `/workspaces/${NAME}?cascade=true`)).status, 200);
    } else {
      outcomes.add("is gone");
      if ((await holding(prefix)).length > 0)
        await gateway.log(({ msg }) => msg === "a deleted workspace is forgotten");
    }
    assert.deepEqual(await holding(prefix), []);
  }
  assert.ok(outcomes.has("is gone"));
});

test("a workspace whose package another one runs stays, and the operator's own always", async () => {
  const { gateway, call } = await start({ data_threads: "1" });
  await using _ = gateway;
  await furnish(gateway, call);
  const plugin = await made(call, "/plugins", { name: `${NAME}/zebrakeeper@1.0.0` });
  const refused = await call("DELETE", `/workspaces/${NAME}?cascade=true`);
  assert.equal(refused.status, 400);
  assert.match(
    String(refused.json.message),
    /is used by plugin 'zebraspace\/zebrakeeper@1\.0\.0' .* of workspace 'default'/,
  );
  assert.equal((await call("DELETE", `/plugins/${plugin}`)).status, 204);
  assert.equal((await call("DELETE", `/workspaces/${NAME}?cascade=true`)).status, 200);
  const own = await call("DELETE", "/workspaces/default?cascade=true");
  assert.equal(own.status, 400);
  assert.match(String(own.json.message), /workspace 'default' cannot be deleted/);
  assert.equal((await call("GET", "/workspaces/default")).status, 200);
});
