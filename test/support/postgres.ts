/**
 * A real PostgreSQL for a test: data of its own in a temporary directory, a port that the system chose, what is
 * acknowledged on the disk. PostgreSQL refuses to run as root: then it runs as `nobody`.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, readFileSync } from "node:fs";
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import type { PostgresOptions } from "../../src/stores/postgres/connections.ts";
import { freePort } from "./nginx.ts";
import { requireProgram, untilListening } from "./services.ts";

export const PASSWORD = "correct horse battery staple";
const USER = "gatehouse";
const NOBODY = { uid: 65534, gid: 65534 };
const AS_ROOT = process.getuid?.() === 0;

/** Makes and starts one; `configuration` are further lines of postgresql.conf. */
export async function startPostgres(configuration: readonly string[] = []): Promise<PostgresServer> {
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-postgres-"));
  if (AS_ROOT) chownSync(directory, NOBODY.uid, NOBODY.gid);
  const data = join(directory, "data");
  const passwordFile = join(directory, "password");
  await writeFile(passwordFile, PASSWORD);
  const { status, stderr } = spawnSync(
    requireProgram("initdb"),
    // Not forced to the disk: what is made here may be lost together with the machine. What is written later is.
    [
      "-D",
      data,
      "-U",
      USER,
      "-A",
      "scram-sha-256",
      `--pwfile=${passwordFile}`,
      "-E",
      "UTF8",
      "--locale=C",
      "--no-sync",
    ],
    { encoding: "utf8", cwd: directory, ...(AS_ROOT ? NOBODY : {}) },
  );
  if (status !== 0) throw new Error(`initdb failed: ${stderr}`);
  const port = await freePort();
  const lines = [
    `port = ${port}`,
    "listen_addresses = '127.0.0.1'",
    `unix_socket_directories = '${directory}'`,
    "fsync = on",
    "shared_buffers = 16MB",
    "max_connections = 50",
    // A server that was killed leaves memory that its successor must find again.
    "restart_after_crash = on",
    ...configuration,
  ];
  await appendFile(join(data, "postgresql.conf"), `${lines.join("\n")}\n`);
  const server = new PostgresServer(directory, port);
  await server.start();
  return server;
}

/** The settings of a gateway that keeps its configuration there. */
export function postgresSettings({ host, port, user, database, schema }: PostgresOptions) {
  return {
    database: "postgres",
    pg_host: host,
    pg_port: String(port),
    pg_user: user,
    pg_password: PASSWORD,
    pg_database: database,
    pg_schema: schema,
  };
}

export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  readonly directory: string;
  #child: ChildProcess | null = null;
  #said = "";
  #schemas = 0;

  constructor(directory: string, port: number) {
    this.directory = directory;
    this.port = port;
  }

  /** Starts it (again), and waits until it answers queries. */
  async start(): Promise<void> {
    const child = spawn(requireProgram("postgres"), ["-D", join(this.directory, "data")], {
      stdio: ["ignore", "ignore", "pipe"],
      cwd: this.directory,
      ...(AS_ROOT ? NOBODY : {}),
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said += text;
    });
    this.#child = child;
    await untilListening(this.port, () => (child.exitCode === null ? null : `postgres: ${this.#said}`));
    await this.answers();
  }

  /** Waits until it answers queries: it listens before, while it recovers. */
  async answers(): Promise<void> {
    for (;;) {
      const client = new pg.Client(this.#client());
      client.on("error", () => {});
      try {
        await client.connect();
        return;
      } catch (error) {
        // 57P03: it is starting up; the others, and a connection that ends without a word: it is just restarting.
        const { code, message } = error as { code?: string; message: string };
        const isCut = code === undefined && message === "Connection terminated unexpectedly";
        if (!isCut && !["57P03", "ECONNREFUSED", "ECONNRESET", "57P02"].includes(code ?? "")) throw error;
      } finally {
        await client.end().catch(() => {});
      }
    }
  }

  /** Options of a store with a schema of its own. */
  options(changes: Partial<PostgresOptions> = {}): PostgresOptions {
    return {
      host: "127.0.0.1",
      port: this.port,
      user: USER,
      password: async () => PASSWORD,
      database: "postgres",
      schema: `s${this.#schemas++}`,
      ssl: null,
      timeoutMs: 30_000,
      maxConnections: 4,
      ...changes,
    };
  }

  /** Asks it something as its superuser, in a schema. */
  async query(sql: string, schema = "public"): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ ...this.#client(), options: `-c search_path=${schema}` });
    client.on("error", () => {}); // what is asked may end the connection
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  /** The process id of the server itself, whose death its children notice. */
  get pid(): number {
    return Number(readFileSync(join(this.directory, "data", "postmaster.pid"), "utf8").split("\n")[0]);
  }

  /** As if the power had gone: no process of it does anything more. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    const gone = once(child, "close");
    const { pid } = this;
    // A stopped server replaces none of its processes, and buries none: those that are killed stay as zombies.
    process.kill(pid, "SIGSTOP");
    for (let living = childrenOf(pid); living.length > 0; living = childrenOf(pid))
      for (const one of living) process.kill(one, "SIGKILL");
    process.kill(pid, "SIGKILL");
    await gone;
  }

  /** An orderly end, which waits for nobody. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    const gone = once(child, "close");
    child.kill("SIGINT");
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }

  #client(): pg.ClientConfig {
    const { port } = this;
    return { host: "127.0.0.1", port, user: USER, password: PASSWORD, database: "postgres" };
  }
}

/** Processes of a process that still do something. */
function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1")
    .split(" ")
    .map(Number)
    .filter((one) => one > 0 && !/\) Z /.test(readFileSync(`/proc/${one}/stat`, "latin1")));
}
