/**
 * A real gateway for a test: its own process, its own prefix, ports that the system chose.
 *
 *     await using gateway = await startGateway({ config: { _format_version: "3.0", services: [...] } });
 *     const response = await send(`${gateway.url}/path`);
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { send } from "./client.ts";

const REPOSITORY = join(import.meta.dirname, "..", "..");

/** A gateway that is not ready by then never will be: the test fails with what it said. */
const START_TIMEOUT_MS = 60_000;

/** A configuration in Kong's format: text as it stands, or an object to be written as JSON. */
export type ConfigFile = string | Record<string, unknown>;

export interface GatewayOptions {
  /** Null for a gateway that keeps its entities in a store. */
  config: ConfigFile | null;
  /** Settings by their names in the settings table: `{ data_threads: "2" }`. */
  settings?: Readonly<Record<string, string>>;
  /** A command and its options that become the gateway, such as `setpriv --no-new-privs`. */
  under?: readonly string[];
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg?: unknown };

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Starts a gateway and waits until it serves. @throws {Error} with its output if it ends first. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = await Gateway.spawn(options);
  try {
    await gateway.ready();
    return gateway;
  } catch (error) {
    await gateway.stop("SIGKILL");
    await gateway[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts a gateway that is expected to refuse its configuration: how it ended, and all it said. */
export async function startRefused(options: GatewayOptions): Promise<Exit & { readonly output: string }> {
  await using gateway = await Gateway.spawn(options);
  const outcome = await Promise.race([gateway.exited, gateway.ready().catch(() => gateway.exited)]);
  if (outcome === undefined)
    throw new Error("the gateway started although it should have refused its configuration");
  return { ...outcome, output: gateway.output() };
}

export class Gateway implements AsyncDisposable {
  readonly prefix: string;
  readonly configFile: string;
  /** Every line of its log so far, parsed. Lines that are not JSON are `{ msg: line }`. */
  readonly logs: LogLine[] = [];
  readonly exited: Promise<Exit>;
  /** `proxy_ssl` is there where a listener speaks TLS. */
  ports = { proxy: 0, proxy_ssl: 0, admin: 0, admin_ssl: 0, status: 0 };
  /** Header fields by which the Admin API takes a request for the operator's. */
  adminHeaders: Readonly<Record<string, string>> = {};
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #stderr = "";

  private constructor(child: ChildProcess, prefix: string, configFile: string) {
    this.#child = child;
    this.prefix = prefix;
    this.configFile = configFile;
    this.exited = once(child, "close").then(([code, signal]) => ({ code, signal }));
    // Whoever waits for a log line learns of the end too.
    this.exited.then(() => this.#wake());
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      this.logs.push(parseLine(line));
      this.#wake();
    });
  }

  static async spawn({ config, settings = {}, under = [] }: GatewayOptions): Promise<Gateway> {
    const prefix = await mkdtemp(join(tmpdir(), "gatehouse-test-"));
    const configFile = join(prefix, typeof config === "string" ? "kong.yaml" : "kong.json");
    if (config !== null) await writeFile(configFile, textOf(config));
    const env: NodeJS.ProcessEnv = { ...process.env };
    const all = {
      prefix,
      proxy_listen: "127.0.0.1:0",
      admin_listen: "127.0.0.1:0",
      status_listen: "127.0.0.1:0",
      // Origins of tests are on this machine, those of tenants too.
      egress_allow: "127.0.0.1",
      ...settings,
    };
    for (const [name, value] of Object.entries(all)) env[`GATEHOUSE_${name.toUpperCase()}`] = value;
    const from = config === null ? [] : ["--config", configFile];
    const command = [...under, process.execPath, "src/main.ts", "start", ...from];
    const child = spawn(command[0] as string, command.slice(1), {
      cwd: REPOSITORY,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    return new Gateway(child, prefix, configFile);
  }

  get url(): string {
    return `http://127.0.0.1:${this.ports.proxy}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.ports.admin}`;
  }

  get statusUrl(): string {
    return `http://127.0.0.1:${this.ports.status}`;
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** All it has said, for the message of a failed test. */
  output(): string {
    return `${this.logs.map((line) => JSON.stringify(line)).join("\n")}\n${this.#stderr}`;
  }

  /** Waits until every data thread serves. */
  async ready(): Promise<undefined> {
    const line = await this.log((entry) => entry.msg === "ready", START_TIMEOUT_MS);
    this.ports = line.ports as typeof this.ports;
    const token = await readFile(join(String(line.prefix), "admin-token"), "utf8").catch(() => null);
    this.adminHeaders = token === null ? {} : { "kong-admin-token": token.trim() };
    const { status, body } = await send(`${this.statusUrl}/status/ready`);
    if (status !== 200) throw new Error(`/status/ready answered ${status} ${body} after "ready" was logged`);
  }

  /** The first log line, past or future, that a predicate accepts. */
  async log(accept: (line: LogLine) => boolean, timeoutMs = 30_000): Promise<LogLine> {
    const deadline = AbortSignal.timeout(timeoutMs);
    let seen = 0;
    for (;;) {
      for (; seen < this.logs.length; seen++) {
        const line = this.logs[seen] as LogLine;
        if (accept(line)) return line;
      }
      if (this.#child.exitCode !== null || this.#child.signalCode !== null)
        throw new Error(`the gateway ended before it logged what the test waits for:\n${this.output()}`);
      if (deadline.aborted)
        throw new Error(
          `the gateway did not log what the test waits for in ${timeoutMs} ms:\n${this.output()}`,
        );
      await this.#change(deadline);
    }
  }

  /** Replaces the configuration over the Admin API; it is live on every thread once this returns. */
  async reload(config: ConfigFile): Promise<void> {
    const type = typeof config === "string" ? "text/yaml" : "application/json";
    const headers = { "content-type": type, ...this.adminHeaders };
    const answer = await send(`${this.adminUrl}/config`, { method: "POST", headers, body: textOf(config) });
    if (answer.status >= 300) throw new Error(`POST /config answered ${answer.status} ${answer.body}`);
  }

  /** Replaces the configuration file in one step, as an editor does; the gateway watches it. */
  async rewriteConfigFile(config: ConfigFile): Promise<void> {
    const fresh = `${this.configFile}.new`;
    await writeFile(fresh, textOf(config));
    await rename(fresh, this.configFile);
  }

  /** Asks it to end and waits until it has. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill(signal);
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await rm(this.prefix, { recursive: true, force: true });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #change(deadline: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        deadline.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      deadline.addEventListener("abort", wake, { once: true });
    });
  }
}

function textOf(config: ConfigFile): string {
  return typeof config === "string" ? config : JSON.stringify(config, null, 2);
}

function parseLine(line: string): LogLine {
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === "object" && parsed !== null) return parsed as LogLine;
  } catch {
    // Not a log line of the gateway's own, such as a crash report of the runtime: kept as it is.
  }
  return { msg: line };
}
