/**
 * Values, secrets and requests of uploaded plugins in a whole gateway: one truth on all data threads, kept when the
 * gateway starts again, and nothing of one workspace for another.
 */
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { bundleSource } from "../sandbox/sandbox.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { packFiles, publish } from "./packages.ts";

/** Does what the query asks for and answers with what came of it. */
const SOURCE = `import { definePlugin, record, reply } from "@gatehouse/sdk";
export default definePlugin({ name: "servant", version: "1.0.0", priority: 1, schema: record({}),
  create(config, host) { return { access: async (ctx) => {
    const [what, one, two] = ctx.request.query.split("&").map(decodeURIComponent);
    const text = (bytes) => bytes && new TextDecoder().decode(bytes);
    try {
      let answer;
      if (what === "get") answer = text(await host.kv.get(one));
      if (what === "set") answer = (await host.kv.set(one, two)) ?? "kept";
      if (what === "fill") answer = (await host.kv.set(one, new Uint8Array(Number(two)))) ?? "kept";
      if (what === "delete") answer = (await host.kv.delete(one)) ?? "deleted";
      if (what === "secret") answer = await host.secret(one);
      if (what === "see") answer = { headers: ctx.request.headers.entries().map(([name]) => name.toLowerCase()),
        query: ctx.request.query };
      if (what === "rewrite") { ctx.request.query = one; return; }
      if (what === "fetch") { const { status, body } = await host.fetch({ url: one }); answer = { status, body: text(body) }; }
      return reply(200, { answer });
    } catch (error) { return reply(200, { error: error.message }); }
  } }; } });`;

const pack = async (grants: object, version = "1.0.0") =>
  packFiles(
    {
      manifest: 1,
      name: "servant",
      version,
      runtime: "isolate",
      entry: "plugin.js",
      phases: ["access"],
      grants,
    },
    "plugin.js",
    await bundleSource(SOURCE.replace("1.0.0", version)),
  );

interface Said {
  readonly answer?: unknown;
  readonly error?: string;
}

let origin: Origin;
let redis: RedisServer;
let secrets: string;
before(async () => {
  origin = await startOrigin((_, response) => void response.end("from the origin"));
  redis = await startRedis();
  secrets = await mkdtemp(join(tmpdir(), "gatehouse-secrets-"));
  for (const workspace of ["default", "tenant"]) {
    await mkdir(join(secrets, workspace));
    await writeFile(join(secrets, workspace, "TOKEN"), `pa55 of ${workspace}\n`);
    await chmod(join(secrets, workspace, "TOKEN"), 0o600);
  }
});
after(async () => {
  await origin[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
  await rm(secrets, { recursive: true, force: true });
});

const GRANTS = () => ({ kv_bytes: 1000, secrets: ["TOKEN"], http_hosts: [`127.0.0.1:${origin.port}`] });
const service = (name: string, host: string, plugins: readonly object[]) => ({
  name,
  url: origin.url,
  routes: [{ name, hosts: [host], plugins }],
});
const CONFIG = (plugins: readonly object[], tenants: readonly object[]) => ({
  _format_version: "3.0",
  services: [service("own", "own.test", plugins)],
  workspaces: [
    {
      name: "tenant",
      plugin_limits: { kv_bytes: 500 },
      hosts: ["tenant.test"],
      services: [service("theirs", "tenant.test", tenants)],
    },
  ],
});
const SERVANT = [{ name: "servant@1.0.0" }];

async function start(settings: Readonly<Record<string, string>>): Promise<Gateway> {
  const gateway = await startGateway({
    config: CONFIG([], []),
    settings: {
      data_threads: "2",
      secrets_dir: secrets,
      egress_guest_allow: "127.0.0.1",
      unfenced_uploads: "tenant",
      ...settings,
    },
  });
  await publish(gateway, await pack(GRANTS()));
  await publish(gateway, await pack(GRANTS()), "tenant");
  await gateway.reload(CONFIG(SERVANT, SERVANT));
  return gateway;
}

async function ask(gateway: Gateway, host: string, ...words: string[]): Promise<Said> {
  const query = words.map(encodeURIComponent).join("&");
  const { status, body } = await send(`${gateway.url}/?${query}`, { headers: { host } });
  assert.equal(status, 200, body);
  return JSON.parse(body) as Said;
}

for (const store of ["local", "redis"])
  describe(`with the ${store} store`, () => {
    let gateway: Gateway;
    before(async () => {
      gateway = await start({ guest_kv: store, redis_port: String(redis.port) });
    });
    after(() => gateway[Symbol.asyncDispose]());

    test("a value is the same on every data thread, and another workspace's plugin has its own", async () => {
      assert.deepEqual(await ask(gateway, "own.test", "set", "k", "mine"), { answer: "kept" });
      assert.deepEqual(await ask(gateway, "tenant.test", "set", "k", "theirs"), { answer: "kept" });
      const own = await Promise.all(Array.from({ length: 16 }, () => ask(gateway, "own.test", "get", "k")));
      assert.deepEqual(own, Array(16).fill({ answer: "mine" }));
      assert.deepEqual(await ask(gateway, "tenant.test", "get", "k"), { answer: "theirs" });
      await ask(gateway, "own.test", "delete", "k");
      assert.deepEqual(await ask(gateway, "own.test", "get", "k"), { answer: null });
      assert.deepEqual(await ask(gateway, "tenant.test", "get", "k"), { answer: "theirs" });
    });

    test("what does not fit into the quota is refused in words, and takes nothing away", async () => {
      const { error } = await ask(gateway, "own.test", "fill", "big", "1000");
      assert.match(error ?? "", /no room: keys and values may take 1000 bytes/);
      assert.deepEqual(await ask(gateway, "own.test", "fill", "big", "900"), { answer: "kept" });
      assert.match((await ask(gateway, "own.test", "set", "more", "x")).error ?? "", /no room/);
      assert.match((await ask(gateway, "own.test", "fill", "huge", "65537")).error ?? "", /at most 65536/);
      const less = await ask(gateway, "tenant.test", "fill", "big", "500");
      assert.match(less.error ?? "", /no room: keys and values may take 500 bytes/);
    });

    if (store === "redis")
      test("a tenant's service cannot lead to the store itself, although its network is open to tenants", async () => {
        const config = CONFIG(SERVANT, SERVANT);
        const leak = { name: "leak", url: `http://127.0.0.1:${redis.port}` };
        config.workspaces[0]?.services.push({ ...leak, routes: [] });
        await assert.rejects(gateway.reload(config), /is the gateway's own redis_host/);
      });

    test("versions share values; they go with the last of them, and the other workspace's stay", async () => {
      await ask(gateway, "own.test", "delete", "big");
      await ask(gateway, "own.test", "set", "v", "one");
      await publish(gateway, await pack(GRANTS(), "2.0.0"));
      await gateway.reload(CONFIG([{ name: "servant@2.0.0" }], SERVANT));
      assert.deepEqual(await ask(gateway, "own.test", "get", "v"), { answer: "one" });
      const remove = (version: string) =>
        send(`${gateway.adminUrl}/plugin-packages/servant@${version}`, { method: "DELETE" });
      assert.equal((await remove("1.0.0")).status, 204);
      assert.deepEqual(await ask(gateway, "own.test", "get", "v"), { answer: "one" });
      await gateway.reload(CONFIG([], SERVANT));
      assert.equal((await remove("2.0.0")).status, 204);
      await publish(gateway, await pack(GRANTS()));
      await gateway.reload(CONFIG(SERVANT, SERVANT));
      assert.deepEqual(await ask(gateway, "own.test", "get", "v"), { answer: null });
      assert.deepEqual(await ask(gateway, "tenant.test", "get", "k"), { answer: "theirs" });
    });
  });

describe("secrets and requests", () => {
  let gateway: Gateway;
  before(async () => {
    gateway = await start({});
  });
  after(() => gateway[Symbol.asyncDispose]());

  test("each workspace has its own secret of a name, and none that is not granted", async () => {
    assert.deepEqual(await ask(gateway, "own.test", "secret", "TOKEN"), { answer: "pa55 of default" });
    assert.deepEqual(await ask(gateway, "tenant.test", "secret", "TOKEN"), { answer: "pa55 of tenant" });
    for (const name of ["OTHER", "../default/TOKEN"]) {
      const { status } = await send(`${gateway.url}/?secret&${encodeURIComponent(name)}`, {
        headers: { host: "tenant.test" },
      });
      assert.equal(status, 500);
    }
  });

  test("a secret's value is in no log, Admin API or explanation", async () => {
    await ask(gateway, "own.test", "secret", "TOKEN");
    const shown = [JSON.stringify(gateway.logs)];
    for (const path of [
      "",
      "status",
      "plugins",
      "plugin-packages",
      "schemas/plugins/servant@1.0.0",
      "config",
    ])
      shown.push((await send(`${gateway.adminUrl}/${path}`)).body);
    shown.push((await send(`${gateway.statusUrl}/metrics`)).body);
    for (const text of shown) assert.ok(!text.includes("pa55"), text);
  });

  test("a guest fetches from where the operator lets guests go, and the metadata service stays closed", async () => {
    const url = `http://127.0.0.1:${origin.port}/`;
    assert.deepEqual(await ask(gateway, "own.test", "fetch", url), {
      answer: { status: 200, body: "from the origin" },
    });
    const { error } = await ask(gateway, "own.test", "fetch", "http://169.254.169.254/latest/meta-data");
    assert.match(error ?? "", /169.254.169.254 is not among the hosts that http_hosts grants/);
  });
});

test("values outlive the gateway, in a file that other users cannot read", async () => {
  const gateway = await start({});
  try {
    await ask(gateway, "own.test", "set", "k", "v");
    assert.equal((await stat(join(gateway.prefix, "guest-store"))).mode & 0o777, 0o700);
    await gateway.stop("SIGKILL");
    const again = await startGateway({
      config: CONFIG(SERVANT, []),
      settings: { prefix: gateway.prefix },
    });
    assert.deepEqual(await ask(again, "own.test", "get", "k"), { answer: "v" });
    await again[Symbol.asyncDispose]();
  } finally {
    await gateway[Symbol.asyncDispose]();
  }
});

test("a guest that sees all headers sees no API key, in header or query, and takes none away", async () => {
  const consumers = [{ username: "ada", keyauth_credentials: [{ key: "s3cret" }] }];
  await using echo = await startOrigin();
  const config = (plugins: readonly object[]) => ({
    _format_version: "3.0",
    consumers,
    services: [{ name: "own", url: echo.url, routes: [{ name: "own", hosts: ["own.test"], plugins }] }],
  });
  await using gateway = await startGateway({ config: config([]) });
  await publish(gateway, await pack({ request_headers: ["*"] }));
  await publish(gateway, await pack({ request_headers: ["*", "x-key"], consumer: true }, "2.0.0"));
  const keyAuth = { name: "key-auth", config: { key_names: ["x-key"] } };
  await gateway.reload(config([keyAuth, { name: "servant@1.0.0" }]));
  const see = async () => {
    const headers = { host: "own.test", "x-key": "s3cret", "x-other": "1", cookie: "a=1" };
    const inHeader = await send(`${gateway.url}/?see`, { headers });
    const inQuery = await send(`${gateway.url}/?see&x%2dkey=s3cret&b=2`, { headers: { host: "own.test" } });
    return [inHeader, inQuery].map(({ body }) => (JSON.parse(body) as Said).answer) as {
      headers: string[];
      query: string;
    }[];
  };
  const hidden = await see();
  assert.ok(hidden[0]?.headers.includes("x-other"));
  for (const name of ["x-key", "cookie", "x-consumer-username", "x-credential-identifier"])
    assert.ok(!hidden[0]?.headers.includes(name), name);
  assert.equal(hidden[1]?.query, "see&b=2");
  const { body } = await send(`${gateway.url}/?rewrite&c=3&x-key=s3cret`, { headers: { host: "own.test" } });
  assert.equal((JSON.parse(body) as { url: string }).url, "/?c=3&x-key=s3cret");
  await gateway.reload(config([keyAuth, { name: "servant@2.0.0" }]));
  const shown = await see();
  for (const name of ["x-key", "x-consumer-username", "x-credential-identifier"])
    assert.ok(shown[0]?.headers.includes(name), name);
  assert.equal(shown[1]?.query, "see&x%2dkey=s3cret&b=2");
});
