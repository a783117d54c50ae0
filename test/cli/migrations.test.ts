/** `gatehouse migrations` as a person runs it: what is printed, and how it ends. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { POSTGRES_STEPS } from "../../src/stores/postgres/steps.ts";
import { DirectoryLock } from "../../src/stores/sqlite/directory-lock.ts";
import { SQLITE_STEPS } from "../../src/stores/sqlite/steps.ts";
import { scratch } from "../registry/packages.ts";
import { PASSWORD, type PostgresServer, startPostgres } from "../support/postgres.ts";

const PROGRAM = fileURLToPath(new URL("./program.ts", import.meta.url));
const TIME = /\d{4}-\d\d-\d\dT[\d:.]+Z/g;

let server: PostgresServer;
before(async () => {
  server = await startPostgres();
});
after(() => server[Symbol.asyncDispose]());

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function migrations(args: string, env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("GATEHOUSE_"));
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [PROGRAM, "migrations", ...args.split(" ")],
      { env: { ...Object.fromEntries(own), ...env } },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

/** Settings of a PostgreSQL schema of its own. */
function postgres(): Record<string, string> {
  const { schema, user } = server.options();
  return {
    GATEHOUSE_DATABASE: "postgres",
    GATEHOUSE_PG_PORT: String(server.port),
    GATEHOUSE_PG_USER: user,
    GATEHOUSE_PG_PASSWORD: PASSWORD,
    GATEHOUSE_PG_DATABASE: "postgres",
    GATEHOUSE_PG_SCHEMA: schema,
    GATEHOUSE_PREFIX: scratch(),
  };
}

for (const [engine, make, steps] of [
  ["sqlite", () => ({ GATEHOUSE_PREFIX: scratch() }), SQLITE_STEPS],
  ["postgres", postgres, POSTGRES_STEPS],
] as const)
  test(`${engine}: what is pending is told, done, told again, and undone`, async () => {
    const env: Record<string, string> = make();
    const place =
      engine === "sqlite"
        ? join(env.GATEHOUSE_PREFIX as string, "store", "configuration.sqlite")
        : `PostgreSQL at 127.0.0.1:${server.port}, database postgres, schema ${env.GATEHOUSE_PG_SCHEMA}`;
    const named = steps.map(({ number, name }) => `step ${number} (${name})`);
    const lines = (line: (step: string) => string) => named.map((step) => `${line(step)}\n`).join("");
    const last = steps.at(-1);
    const before = await migrations("status", env);
    assert.deepEqual(before, {
      code: 5,
      out: `${place}\n${lines((step) => `  pending  ${step}`)}run 'gatehouse migrations up'\n`,
      err: "",
    });
    const up = await migrations("up", env);
    assert.deepEqual(up, {
      code: 0,
      out: `${lines((step) => `done: ${step}`)}${place} is up to date\n`,
      err: "",
    });
    const now = await migrations("status", env);
    assert.equal(now.code, 0);
    assert.equal(
      now.out.replaceAll(TIME, "TIME"),
      `${place}\n${lines((step) => `  done     ${step}, TIME`)}up to date\n`,
    );
    const unsure = await migrations("down", env);
    assert.equal(unsure.code, 1);
    assert.equal(
      unsure.err,
      `undoing ${named.at(-1)} removes what it holds from ${place}; make a backup, then say --yes\n`,
    );
    assert.deepEqual((await migrations("down --yes", env)).out, `undone: ${named.at(-1)}\n`);
    const again = await migrations("up --json", env);
    assert.deepEqual(JSON.parse(again.out), {
      database: engine,
      done: [{ number: last?.number, name: last?.name }],
    });
  });

test("--json tells the same to programs, failures too", async () => {
  const env = { GATEHOUSE_PREFIX: scratch() };
  const status = await migrations("status --json", env);
  assert.deepEqual(JSON.parse(status.out), {
    database: "sqlite",
    applied: [],
    pending: SQLITE_STEPS.map(({ number, name }) => ({ number, name })),
  });
  assert.equal(status.code, 5);
  const away = await migrations("up --json", { ...postgres(), GATEHOUSE_PG_PORT: "1" });
  assert.match(JSON.parse(away.out).error, /nothing listens there/);
  assert.equal(away.code, 3);
});

test("a server that is away or refuses ends with code 3, a sentence and no password", async () => {
  const wrong = await migrations("up", { ...postgres(), GATEHOUSE_PG_PASSWORD: "hunter2hunter2" });
  assert.equal(wrong.code, 3);
  assert.match(wrong.err, /it refuses the password of the user; see `pg_user` and `pg_password`\n$/);
  assert.doesNotMatch(wrong.err + wrong.out, /hunter2/);
});

test("the password comes from a file, its line end aside", async () => {
  const { GATEHOUSE_PG_PASSWORD: _, ...env } = postgres();
  const file = join(scratch(), "password");
  writeFileSync(file, `${PASSWORD}\n`);
  assert.equal((await migrations("up", { ...env, GATEHOUSE_PG_PASSWORD_FILE: file })).code, 0);
  const absent = await migrations("status", { ...env, GATEHOUSE_PG_PASSWORD_FILE: "/nonexistent" });
  assert.match(absent.err, /pg_password_file: \/nonexistent cannot be read \(ENOENT\)/);
});

test("a file that a gateway uses is left alone", async () => {
  const prefix = scratch();
  await migrations("up", { GATEHOUSE_PREFIX: prefix });
  using _lock = new DirectoryLock(join(prefix, "store"));
  const refused = await migrations("down --yes", { GATEHOUSE_PREFIX: prefix });
  assert.equal(refused.code, 3);
  assert.match(
    refused.err,
    new RegExp(`another gateway \\(process ${process.pid}\\) uses ${prefix}/store: end it`),
  );
  assert.equal((await migrations("status", { GATEHOUSE_PREFIX: prefix })).code, 0);
});

test("without a database there is nothing to migrate, and no file is made", async () => {
  const prefix = scratch();
  for (const [name, value] of [
    ["GATEHOUSE_DATABASE", "off"],
    ["GATEHOUSE_DECLARATIVE_CONFIG", "x.yml"],
  ] as const) {
    const ran = await migrations("up", { GATEHOUSE_PREFIX: prefix, [name]: value });
    assert.equal(ran.code, 2);
    assert.match(ran.err, /^database: is off/);
  }
  assert.equal(existsSync(join(prefix, "store")), false);
});
