/** Whole gateways that keep their configuration: what becomes of it when one is killed, copied, or cut off from its store. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway, startRefused } from "../support/gateway.ts";
import { startOrigin } from "../support/origin.ts";
import { type PostgresServer, postgresSettings, startPostgres } from "../support/postgres.ts";

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
after(() => server[Symbol.asyncDispose]());

async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-stored-"));
  after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

const post = async (gateway: Gateway, path: string, body: object) =>
  send(`${gateway.adminUrl}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

const names = async (gateway: Gateway): Promise<string[]> => {
  const { body } = await send(`${gateway.adminUrl}/services?size=1000`);
  return JSON.parse(body).data.map(({ name }: { name: string }) => name);
};

async function assertKept(gateway: Gateway, answered: readonly string[]): Promise<void> {
  const kept = new Set(await names(gateway));
  assert.deepEqual(
    answered.filter((name) => !kept.has(name)),
    [],
  );
}

test("kill -9 of a gateway that takes writes loses none that it has answered", async () => {
  const settings = { prefix: await scratch(), data_threads: "1" };
  const answered: string[] = [];
  for (let round = 0; round < 2; round++) {
    await using gateway = await startGateway({ config: null, settings });
    await assertKept(gateway, answered);
    let killed = false;
    const writing = (async () => {
      for (let i = 0; ; i++) {
        const name = `s-${round}-${i}`;
        const reply = await post(gateway, "/services", { name, host: "upstream.example" }).catch(() => null);
        if (reply === null && killed) return;
        assert.equal(reply?.status, 201);
        answered.push(name);
      }
    })();
    const enough = answered.length + 10;
    while (answered.length < enough) await setTimeout(5);
    killed = true;
    await gateway.stop("SIGKILL");
    await writing;
  }
  await using gateway = await startGateway({ config: null, settings });
  await assertKept(gateway, answered);
});

test("a gateway starts from a backup of another that goes on", async () => {
  const settings = { prefix: await scratch(), data_threads: "1" };
  await using gateway = await startGateway({ config: null, settings: { data_threads: "1" } });
  await post(gateway, "/services", { name: "before", host: "upstream.example" });
  const db = new DatabaseSync(join(gateway.prefix, "store", "configuration.sqlite"), { readOnly: true });
  mkdirSync(join(settings.prefix, "store"), { recursive: true });
  db.exec(`VACUUM INTO '${join(settings.prefix, "store", "configuration.sqlite")}'`);
  db.close();
  await post(gateway, "/services", { name: "after", host: "upstream.example" });
  await using restored = await startGateway({ config: null, settings });
  assert.deepEqual(await names(restored), ["before"]);
  assert.equal((await post(restored, "/services", { name: "own", host: "upstream.example" })).status, 201);
});

test("a gateway does not start on a prefix that another one has, nor on a damaged file, and says why", async () => {
  const settings = { prefix: await scratch(), data_threads: "1" };
  {
    await using _gateway = await startGateway({ config: null, settings });
    const { code, output } = await startRefused({ config: null, settings });
    assert.equal(code, 1);
    assert.match(
      output,
      /another gateway \(process \d+\) uses .*\/store: end it, or give this one a `prefix` of its own/,
    );
  }
  writeFileSync(join(settings.prefix, "store", "configuration.sqlite"), "damaged ".repeat(1000));
  const { code, output } = await startRefused({ config: null, settings });
  assert.equal(code, 1);
  assert.match(output, /configuration\.sqlite is damaged/);
  assert.doesNotMatch(output, /\n\s+at /);
});

test("gateways on one PostgreSQL tell each other their changes, and serve on while it is killed", async () => {
  await using origin = await startOrigin();
  const options = server.options();
  const settings = { data_threads: "1", ...postgresSettings(options) };
  const refused = await startRefused({ config: null, settings });
  assert.match(refused.output, /run 'gatehouse migrations up', or set `pg_migrations` to auto/);
  await migratePostgres(options);
  await using first = await startGateway({ config: null, settings });
  await using second = await startGateway({ config: null, settings });
  const serves = async (gateway: Gateway, path: string) =>
    (await send(`${gateway.url}${path}`)).status === 200;
  const until = async (gateway: Gateway, path: string) => {
    while (!(await serves(gateway, path))) await setTimeout(10);
  };
  assert.equal((await post(first, "/services", { name: "s", url: origin.url })).status, 201);
  const routed = await post(first, "/services/s/routes", { name: "a", paths: ["/a"] });
  assert.equal(routed.status, 201, routed.body);
  assert.ok(await serves(first, "/a"));
  await until(second, "/a");

  await server.kill();
  const away = await post(second, "/services/s/routes", { name: "b", paths: ["/b"] });
  assert.equal(away.status, 503, away.body);
  assert.doesNotMatch(away.body, /correct horse/);
  assert.ok((await serves(first, "/a")) && (await serves(second, "/a")));
  await server.start();
  for (;;) {
    const { status, body } = await post(second, "/services/s/routes", { name: "c", paths: ["/c"] });
    if (status === 201) break;
    assert.equal(status, 503, body);
  }
  await until(first, "/c");
  for (const gateway of [first, second]) assert.doesNotMatch(gateway.output(), /correct horse/);
});
