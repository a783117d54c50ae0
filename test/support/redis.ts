/** A real Redis for a test: a port that the system chose, nothing on disk. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { freePort } from "./nginx.ts";
import { requireProgram, untilListening } from "./services.ts";

/** Starts a Redis; `options` are further ones of its command line, such as `["--maxmemory", "2mb"]`. */
export async function startRedis(options: readonly string[] = []): Promise<RedisServer> {
  const program = requireProgram("redis-server");
  const port = await freePort();
  const own = [
    "--port",
    String(port),
    "--bind",
    "127.0.0.1",
    "--save",
    "",
    "--appendonly",
    "no",
    "--dir",
    tmpdir(),
  ];
  const child = spawn(program, [...own, ...options], { stdio: ["ignore", "pipe", "ignore"] });
  const server = new RedisServer(child, port);
  await server.answers();
  return server;
}

export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;
  #said = "";

  constructor(child: ChildProcess, port: number) {
    this.port = port;
    this.#child = child;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#said += text;
    });
  }

  answers(): Promise<void> {
    return untilListening(this.port, () => (this.#child.exitCode === null ? null : `redis: ${this.#said}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "close");
  }
}
