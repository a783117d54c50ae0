/** The gateway of `plugin dev`: a process of its own, on loopback, with a prefix that is removed at the end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { AdminApi, messageOf, Unreachable } from "../admin-api.ts";
import { PackError } from "../pack.ts";
import { freePort } from "./free-port.ts";
import { logLine } from "./log-line.ts";

const CHILD = fileURLToPath(new URL("./gateway-child.ts", import.meta.url));
/** The port that is tried first: what an author types again and again. */
const PROXY_PORT = 8000;

export class DevGateway {
  readonly api: AdminApi;
  readonly proxy: string;
  readonly admin: string;
  readonly prefix: string;
  /** Resolves when the process is gone, with its exit code. */
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcess;

  private constructor(
    child: ChildProcess,
    prefix: string,
    api: AdminApi,
    ports: { proxy: number; admin: number },
    ended: Promise<number | null>,
  ) {
    this.#child = child;
    this.prefix = prefix;
    this.api = api;
    this.proxy = `http://127.0.0.1:${ports.proxy}`;
    this.admin = `http://127.0.0.1:${ports.admin}`;
    this.ended = ended;
  }

  /**
   * @param port of the proxy; null for 8000, or any if that is taken.
   * @throws {Unreachable} with what it said, if it does not come up.
   */
  static async start(port: number | null): Promise<DevGateway> {
    const prefix = await mkdtemp(join(tmpdir(), "gatehouse-dev-"));
    const config = join(prefix, "kong.json");
    await writeFile(config, JSON.stringify({ _format_version: "3.0" }));
    const settings: Readonly<Record<string, string>> = {
      prefix,
      proxy_listen: `127.0.0.1:${port ?? (await freePort(PROXY_PORT))}`,
      admin_listen: "127.0.0.1:0",
      status_listen: "off",
      data_threads: "1",
      log_level: "info",
      proxy_access_log: "off",
      // The echo upstream, and whatever else an author has on this machine.
      egress_allow: "127.0.0.1",
    };
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith("GATEHOUSE_"));
    const given = Object.entries(settings).map(([name, value]) => [`GATEHOUSE_${name.toUpperCase()}`, value]);
    const child = spawn(process.execPath, [CHILD, "start", "--config", config], {
      env: Object.fromEntries([...own, ...given]),
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    const ended = once(child, "exit").then(([code]) => code as number | null);
    try {
      const ports = await ready(child);
      const admin = `http://127.0.0.1:${ports.admin}`;
      return new DevGateway(child, prefix, await AdminApi.open({ admin, prefix }), ports, ended);
    } catch (error) {
      child.kill("SIGKILL");
      await ended;
      await rm(prefix, { recursive: true, force: true });
      throw error;
    }
  }

  /** Puts a package there. @throws {PackError} with every reason against it. */
  async publish(bytes: Uint8Array): Promise<void> {
    const answer = await this.api.ask("POST", "plugin-packages", { body: bytes, type: "application/gzip" });
    if (answer.status !== 201 && answer.status !== 200) throw refused(answer);
  }

  /** Puts a configuration in force. @throws {PackError} with every reason against it. */
  async configure(config: object): Promise<void> {
    const answer = await this.api.ask("POST", "config", { body: JSON.stringify(config) });
    if (answer.status !== 201 && answer.status !== 200) throw refused(answer);
  }

  /** Removes a package that nothing uses any more. */
  async forget(nameAndVersion: string): Promise<void> {
    await this.api.ask("DELETE", `plugin-packages/${encodeURIComponent(nameAndVersion)}`);
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.ended;
    await rm(this.prefix, { recursive: true, force: true });
  }
}

/** Every reason, a line each. */
function refused(answer: Parameters<typeof messageOf>[0]): Error {
  if (answer.status === 429 || answer.status >= 500) return new Unreachable(messageOf(answer));
  const { body } = answer;
  const lines = [...textsIn(body?.fields), ...textsIn(body?.flattened_errors)];
  return new PackError(lines.length === 0 ? [messageOf(answer)] : lines);
}

/** Texts at the leaves of a refusal, with the path that leads there. */
function textsIn(value: unknown, path: readonly string[] = []): string[] {
  if (typeof value === "string") return [path.length === 0 ? value : `${path.join(".")}: ${value}`];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) =>
    textsIn(child, /^(?:\d+|@entity)$/.test(key) ? path : [...path, key]),
  );
}

async function ready(child: ChildProcess): Promise<{ proxy: number; admin: number }> {
  const said: string[] = [];
  child.stderr?.setEncoding("utf8").on("data", (text: string) => said.push(text));
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const told = logLine(line);
    if (told?.msg === "ready") {
      child.stdout?.resume(); // nobody reads the rest, and it must not wait for that
      return told.ports as { proxy: number; admin: number };
    }
    said.push(line);
  }
  throw new Unreachable(`the gateway did not come up:\n${said.join("\n")}`);
}
