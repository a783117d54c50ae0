/** Whole gateways whose plugins are named by ranges and channels: they move while requests go on, and outlive whatever ends. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { packVersion } from "../rollout/guests.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { startOrigin } from "../support/origin.ts";
import { postgresSettings, startPostgres } from "../support/postgres.ts";
import { Load } from "./load.ts";
import { publish } from "./packages.ts";

async function ask(gateway: Gateway, method: string, path: string, body?: object) {
  const answer = await send(`${gateway.adminUrl}${path}`, {
    method,
    headers: {
      ...gateway.adminHeaders,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${answer.body}`);
  return answer.body === "" ? {} : JSON.parse(answer.body);
}

const stable = (gateway: Gateway, version: string) =>
  ask(gateway, "PUT", "/plugin-packages/stamp/channels/stable", { version });

const version = async (gateway: Gateway, path: string) =>
  (await send(`${gateway.url}${path}`)).header("x-version");

/** Two routes: `/range` by a range, `/channel` by a channel. */
async function addRoutes(gateway: Gateway, url: string): Promise<void> {
  await ask(gateway, "POST", "/services", { name: "origin", url });
  for (const [path, name] of [
    ["range", "stamp@^1"],
    ["channel", "stamp@stable"],
  ]) {
    await ask(gateway, "POST", "/services/origin/routes", { name: path, paths: [`/${path}`] });
    await ask(gateway, "POST", `/routes/${path}/plugins`, { name });
  }
}

async function prefix(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-names-"));
  after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

test("a channel that moves under load loses no request, and none goes by the old version afterwards", async () => {
  await using origin = await startOrigin();
  await using gateway = await startGateway({
    config: null,
    // What is asserted is that nothing is lost, however busy the machine is.
    settings: { data_threads: "2", plugin_limits_default: "wall_ms=10000" },
  });
  await publish(gateway, await packVersion({ version: "1.0.0" }));
  await publish(gateway, await packVersion({ version: "1.1.0" }));
  await stable(gateway, "1.0.0");
  await addRoutes(gateway, origin.url);
  await using load = new Load({ url: `${gateway.url}/channel`, clients: 4 });
  const explained = async () => {
    const { phases } = await ask(gateway, "POST", "/explain", {
      method: "GET",
      url: `${gateway.url}/channel`,
    });
    return phases.find(({ phase }: { phase: string }) => phase === "access").plugins[0].version;
  };
  for (const next of ["1.1.0", "1.0.0", "1.1.0"]) {
    await load.proceed(20);
    await stable(gateway, next);
    assert.equal(await explained(), next);
    const moved = load.begun;
    await load.proceed(20);
    const later = load.outcomes.filter(({ begun }) => begun >= moved);
    assert.deepEqual(new Set(later.map(({ headers }) => headers["x-version"])), new Set([next]));
  }
  await load.stop();
  assert.deepEqual(load.errors, []);
  assert.deepEqual(new Set(load.outcomes.map(({ status }) => status)), new Set([200]));
  assert.equal(load.connections, 4);
});

test("a gateway with a configuration file follows ranges and channels, and knows them when it was killed", async () => {
  await using origin = await startOrigin();
  const settings = { prefix: await prefix(), data_threads: "1" };
  const empty = { _format_version: "3.0", services: [{ name: "origin", url: origin.url }] };
  const routes = [
    { name: "range", paths: ["/range"], plugins: [{ name: "stamp@^1" }] },
    { name: "channel", paths: ["/channel"], plugins: [{ name: "stamp@stable" }] },
  ];
  const config = { _format_version: "3.0", services: [{ name: "origin", url: origin.url, routes }] };
  {
    await using gateway = await startGateway({ config: empty, settings });
    await publish(gateway, await packVersion({ version: "1.0.0" }));
    await stable(gateway, "1.0.0");
    await gateway.reload(config);
    assert.equal(await version(gateway, "/range"), "1.0.0");
    await publish(gateway, await packVersion({ version: "1.1.0" }));
    assert.deepEqual(
      [await version(gateway, "/range"), await version(gateway, "/channel")],
      ["1.1.0", "1.0.0"],
    );
    await ask(gateway, "POST", "/plugin-packages/stamp@1.1.0/yank", { reason: "wrong" });
    await stable(gateway, "1.0.0");
    await gateway.stop("SIGKILL");
  }
  await using gateway = await startGateway({ config, settings });
  assert.deepEqual(
    [await version(gateway, "/range"), await version(gateway, "/channel")],
    ["1.0.0", "1.0.0"],
  );
});

test("gateways on one PostgreSQL have one registry: what one publishes the other serves", async () => {
  await using server = await startPostgres();
  await using origin = await startOrigin();
  const options = server.options();
  await migratePostgres(options);
  const settings = { data_threads: "1", ...postgresSettings(options) };
  await using one = await startGateway({ config: null, settings });
  await using other = await startGateway({ config: null, settings });
  await publish(one, await packVersion({ version: "1.0.0" }));
  await stable(one, "1.0.0");
  // Written at once on the other, which may not have heard of the package yet.
  await addRoutes(other, origin.url);
  const both = async (path: string) => [await version(one, path), await version(other, path)].join(" ");
  await until(async () => (await both("/channel")) === "1.0.0 1.0.0");
  await publish(other, await packVersion({ version: "1.1.0" }));
  await until(async () => (await both("/range")) === "1.1.0 1.1.0");
  await stable(one, "1.1.0");
  await until(async () => (await both("/channel")) === "1.1.0 1.1.0");
  // A gateway that comes later has no copies.
  await using later = await startGateway({ config: null, settings });
  assert.equal(await version(later, "/range"), "1.1.0");
});

/** What is written on one gateway is told to the other. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(20_000);
  while (!(await holds())) assert.ok(!deadline.aborted, "it did not come to be");
}
