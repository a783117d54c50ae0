/** What an operator is told when PostgreSQL cannot be had, never with a password in it; and that it comes back by itself. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chownSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { loadSettings, type Settings } from "../../src/settings.ts";
import { openStore } from "../../src/stores/open-store.ts";
import type { PostgresOptions } from "../../src/stores/postgres/connections.ts";
import { migratePostgres } from "../../src/stores/postgres/postgres-migrations.ts";
import { PostgresStore } from "../../src/stores/postgres/postgres-store.ts";
import { type Store, StoreUnavailable } from "../../src/stores/store.ts";
import { Authority } from "../support/certificates.ts";
import { type PostgresServer, postgresSettings, startPostgres } from "../support/postgres.ts";
import { change, put, row } from "./contract.ts";

let server: PostgresServer;
const closing: Store[] = [];
before(async () => {
  server = await startPostgres();
});
after(async () => {
  for (const store of closing) await store.close();
  await server[Symbol.asyncDispose]();
});

function storeOf(options: PostgresOptions): PostgresStore {
  const store = new PostgresStore(options);
  closing.push(store);
  return store;
}

async function migrated(changes: Partial<PostgresOptions> = {}): Promise<PostgresOptions> {
  const options = server.options();
  await migratePostgres(options);
  return { ...options, ...changes };
}

async function refusal(asked: Promise<unknown>): Promise<string> {
  let message = "";
  await assert.rejects(asked, (error) => {
    assert.ok(error instanceof StoreUnavailable, String(error));
    assert.doesNotMatch(`${error.message}${error.stack}`, /hunter2|correct horse/);
    message = error.message;
    return true;
  });
  return message;
}

const REFUSALS: readonly (readonly [string, Partial<PostgresOptions>, RegExp])[] = [
  [
    "a port where nothing listens",
    { port: 1 },
    /^PostgreSQL at 127\.0\.0\.1:1, database postgres.*: nothing listens there/,
  ],
  ["a socket that is not there", { host: "/nonexistent" }, /there is no such socket; is it running/],
  ["a wrong password", { password: async () => "hunter2" }, /it refuses the password of the user/],
  ["no password", { password: async () => null }, /it wants a password; see `pg_password`/],
  ["an unknown user", { user: "nobody-knows" }, /it refuses the password of the user/],
  [
    "an unknown database",
    { database: "nowhere" },
    /it has no such database; create it, or see `pg_database`/,
  ],
  ["a schema without tables", { schema: "empty" }, /its tables are missing: run 'gatehouse migrations up'/],
  ["TLS where there is none", { ssl: { verify: true } }, /it does not speak TLS; see `pg_ssl`/],
];

for (const [what, changes, message] of REFUSALS)
  test(`${what} is told in words, by reads, writes and health alike`, async () => {
    const store = storeOf(server.options(changes));
    assert.match(await refusal(store.read()), message);
    assert.match(await refusal(store.write(0, [put("a")], [])), message);
    const health = await store.health();
    assert.ok(!health.ok && message.test(health.why));
  });

test("a name with several addresses, none of which answers, is told in words", async () => {
  const store = storeOf(server.options({ host: "localhost", port: 1 }));
  assert.match(await refusal(store.read()), /PostgreSQL at localhost:1.*: nothing listens there/);
});

test("a server that takes the connection and says nothing is given up after pg_timeout", async () => {
  const silent = createServer((socket) => socket.resume().on("error", () => {})).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as { port: number };
  const store = new PostgresStore(server.options({ port, timeoutMs: 100 }));
  store.watch(() => {});
  assert.match(await refusal(store.read()), /it does not answer within `pg_timeout`/);
  // Nor does the end wait for it; and then no connection is left.
  await store.close();
  silent.close();
  await once(silent, "close");
});

test("another's lock is waited for as long as pg_timeout says, and nothing is written", async () => {
  const options = await migrated({ timeoutMs: 300 });
  const store = storeOf(options);
  const holder = storeOf({ ...options, timeoutMs: 30_000 });
  assert.equal(await holder.write(0, [put("a")], []), 1);
  const held = server.query("BEGIN; LOCK TABLE state; SELECT pg_sleep(2); COMMIT", options.schema);
  while (
    (
      await server.query(
        "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'state'::regclass",
        options.schema,
      )
    ).length === 0
  )
    await setTimeout(10);
  assert.match(await refusal(store.write(1, [put("b")], [])), /`pg_timeout`/);
  await held;
  assert.deepEqual((await store.read()).rows, [row("a")]);
  assert.equal(await store.write(1, [put("b")], []), 2);
});

test("a standby, where nothing may be written, is told of; reads go on", async () => {
  const options = await migrated();
  await server.query(`CREATE ROLE reader LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA ${options.schema} TO reader;
    GRANT ALL ON ALL TABLES IN SCHEMA ${options.schema} TO reader; ALTER ROLE reader SET default_transaction_read_only = on`);
  const store = storeOf({ ...options, user: "reader", password: async () => "p" });
  assert.match(
    await refusal(store.write(0, [put("a")], [])),
    /it is read-only \(a standby\?\); `pg_host` must name the primary/,
  );
  assert.equal((await store.read()).revision, 0);
});

test("a user without rights is told so", async () => {
  const options = await migrated();
  await server.query("CREATE ROLE stranger LOGIN PASSWORD 'p'");
  const store = storeOf({ ...options, user: "stranger", password: async () => "p" });
  assert.match(await refusal(store.read()), /the user lacks a right there/);
});

test("more connections than the server gives are told of, and waited for within the gateway's own bound", async () => {
  const options = await migrated();
  await server.query(`CREATE ROLE few LOGIN PASSWORD 'p' CONNECTION LIMIT 1; GRANT USAGE ON SCHEMA ${options.schema} TO few;
    GRANT ALL ON ALL TABLES IN SCHEMA ${options.schema} TO few`);
  const few = { ...options, user: "few", password: async () => "p" };
  const bounded = storeOf({ ...few, maxConnections: 1 });
  // One connection serves them all, one after the other.
  await Promise.all(Array.from({ length: 20 }, () => bounded.read()));
  assert.match(await refusal(storeOf(few).read()), /it takes no more connections; raise its max_connections/);
});

test("a server that acknowledges before it has written is not believed", async () => {
  const options = await migrated();
  await server.query(
    `CREATE TABLE seen (value text);
     CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
     CREATE TRIGGER look AFTER UPDATE ON state EXECUTE FUNCTION look();
     CREATE ROLE hasty LOGIN PASSWORD 'p' SUPERUSER; ALTER ROLE hasty SET synchronous_commit = off;
     ALTER ROLE hasty SET search_path = ${options.schema};
     CREATE ROLE careful LOGIN PASSWORD 'p' SUPERUSER; ALTER ROLE careful SET synchronous_commit = remote_apply;
     ALTER ROLE careful SET search_path = ${options.schema}`,
    options.schema,
  );
  await storeOf({ ...options, user: "hasty", password: async () => "p" }).write(0, [put("a")], []);
  await storeOf({ ...options, user: "careful", password: async () => "p" }).write(1, [put("a")], []);
  assert.deepEqual(await server.query("SELECT value FROM seen", options.schema), [
    { value: "on" },
    { value: "remote_apply" },
  ]);
});

test("while the server is away writes say so; when it is back the store works and whoever watches is told", async () => {
  const options = await migrated();
  const [store, other] = [storeOf(options), storeOf(options)];
  const heard = change(other);
  await store.write(0, [put("a")], []);
  await heard;
  await other.read();
  await server.stop();
  assert.match(
    await refusal(store.write(1, [put("b")], [])),
    /nothing listens there|connection was lost|shutting down/,
  );
  assert.equal((await other.health()).ok, false);
  const back = [change(store), change(other)];
  store.watch(() => {}); // whoever watches a server that is away
  await server.start();
  await Promise.all(back);
  assert.equal(await store.write(1, [put("b")], []), 2);
  assert.equal((await other.changesSince(1))?.revision, 2);
});

test("a change of which no notification came is found by asking now and then", async () => {
  const options = await migrated();
  const [store, other] = [storeOf(options), storeOf(options)];
  const heard = change(store);
  await other.write(0, [put("a")], []);
  await heard;
  await store.read();
  const told = change(store);
  const sql = `INSERT INTO entity VALUES ('services', 'b', 'w', '{"name":"b"}', 2);
    UPDATE state SET revision = 2, writer = 'x'`;
  await server.query(sql, options.schema);
  await told;
  assert.deepEqual((await store.changesSince(1))?.edits, [put("b")]);
});

test("a connection that listens and is ended by an administrator is replaced, and nothing is missed", async () => {
  const options = await migrated();
  const [store, other] = [storeOf(options), storeOf(options)];
  const first = change(other);
  await store.write(0, [put("a")], []);
  await first;
  await other.read();
  const again = change(other);
  await server.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gatehouse'",
  );
  await again;
  const told = change(other);
  const { revision } = await store.read();
  await store.write(revision, [put("b")], []);
  await told;
  assert.equal((await other.changesSince(1))?.edits.length, 1);
});

test("stores of other schemas are not told, and their rows are their own", async () => {
  const theirs = await migrated();
  const [mine, store, sibling] = [storeOf(await migrated()), storeOf(theirs), storeOf(theirs)];
  let told = 0;
  store.watch(() => told++);
  for (const revision of [0, 1]) {
    await mine.write(revision, [put("a")], []);
    const heard = change(store);
    await sibling.write(revision, [put("b")], []);
    await heard;
    await store.changesSince(revision);
  }
  assert.equal(told, 2);
  assert.deepEqual((await store.read()).rows, [row("b")]);
});

function settingsOf(options: PostgresOptions, more: Record<string, string> = {}): Settings {
  const { settings, errors } = loadSettings({
    flags: { ...postgresSettings(options), ...more },
  });
  assert.equal(errors, undefined);
  return settings as Settings;
}

test("the settings open it once its tables are there, and make them only where they say so", async () => {
  const options = server.options();
  assert.match(
    await refusal(openStore(settingsOf(options))),
    /run 'gatehouse migrations up', or set `pg_migrations` to auto/,
  );
  const store = await openStore(settingsOf(options, { pg_migrations: "auto" }));
  closing.push(store);
  assert.equal(await store.write(0, [put("a")], []), 1);
  const again = await openStore(settingsOf(options));
  closing.push(again);
  assert.equal(again.engine, "postgres");
  assert.deepEqual((await again.read()).rows, [row("a")]);
});

test("over its Unix socket it is the same store", async () => {
  const options = await migrated();
  const store = storeOf({ ...options, host: server.directory });
  assert.equal(await store.write(0, [put("a")], []), 1);
});

test("TLS: the certificate counts where pg_ssl_verify is on, for pg_host and by a trusted authority", async () => {
  await using authority = await Authority.create();
  await using strangers = await Authority.create();
  const pair = await authority.issue("server", ["IP:127.0.0.1"]);
  const other = await authority.issue("elsewhere", ["DNS:elsewhere.example", "DNS:localhost"]);
  const options = await migrated();
  const present = async ({ key, cert }: { key: string; cert: string }) => {
    const file = (name: string, text: string) => {
      const path = join(server.directory, name);
      writeFileSync(path, text, { mode: 0o600 });
      if (process.getuid?.() === 0) chownSync(path, 65534, 65534);
      return path;
    };
    await server.query(`ALTER SYSTEM SET ssl_cert_file = '${file("tls.crt", cert)}'`);
    await server.query(`ALTER SYSTEM SET ssl_key_file = '${file("tls.key", key)}'`);
    await server.query("ALTER SYSTEM SET ssl = on");
    await server.query("SELECT pg_reload_conf()");
    while ((await server.query("SHOW ssl"))[0]?.ssl !== "on") await setTimeout(10);
  };
  const opened = async (more: Record<string, string>) => {
    const store = await openStore(settingsOf(options, { pg_ssl: "on", ...more }));
    closing.push(store);
    return store.read();
  };
  await present(pair);
  const trusted = { pg_ssl_verify: "on", lua_ssl_trusted_certificate: authority.file };
  assert.equal((await opened(trusted)).revision, 0);
  assert.equal((await opened({})).revision, 0);
  const [encrypted] = await server.query(
    "SELECT count(*)::int AS n FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND application_name = 'gatehouse'",
  );
  assert.ok((encrypted?.n as number) > 0);
  assert.match(
    await refusal(opened({ ...trusted, lua_ssl_trusted_certificate: strangers.file })),
    /its certificate is not trusted; see `lua_ssl_trusted_certificate`/,
  );
  assert.match(
    await refusal(opened({ pg_ssl_verify: "on", lua_ssl_trusted_certificate: "/nonexistent" })),
    /lua_ssl_trusted_certificate: \/nonexistent cannot be read/,
  );
  await present(other);
  assert.match(await refusal(opened(trusted)), /its certificate is for another name than `pg_host`/);
});
