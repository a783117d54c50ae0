/** A real HAProxy for a test: one frontend on a port that the system chose, everything passed on to one server. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./nginx.ts";
import { requireProgram, untilListening } from "./services.ts";

export interface HaproxyOptions {
  /** Whether it passes on requests or bytes. */
  readonly mode?: "http" | "tcp";
  /** Options of its `server` line, such as `send-proxy`. */
  readonly server?: string;
}

/** Starts HAProxy in front of a server at `port` of this machine. */
export async function startHaproxy(
  serverPort: number,
  { mode = "http", server = "" }: HaproxyOptions = {},
): Promise<Haproxy> {
  const program = requireProgram("haproxy");
  const prefix = await mkdtemp(join(tmpdir(), "gatehouse-haproxy-"));
  const port = await freePort();
  await writeFile(
    join(prefix, "haproxy.cfg"),
    `global
  maxconn 500
  stats socket ${prefix}/stats level admin
  tune.bufsize 65536
defaults
  mode ${mode}
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
frontend requests
  bind 127.0.0.1:${port}
  default_backend server
backend server
  server one 127.0.0.1:${serverPort} ${server}
`,
  );
  const child = spawn(program, ["-db", "-q", "-f", join(prefix, "haproxy.cfg")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const haproxy = new Haproxy(child, prefix, port);
  await haproxy.answers();
  return haproxy;
}

export class Haproxy implements AsyncDisposable {
  readonly prefix: string;
  readonly port: number;
  readonly #child: ChildProcess;
  #stderr = "";

  constructor(child: ChildProcess, prefix: string, port: number) {
    this.#child = child;
    this.prefix = prefix;
    this.port = port;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  answers(): Promise<void> {
    return untilListening(this.port, () =>
      this.#child.exitCode === null ? null : `haproxy: ${this.#stderr}`,
    );
  }

  /** Requests that its frontend has seen so far, refused ones included. */
  async requests(): Promise<number> {
    const socket = connect(join(this.prefix, "stats"));
    socket.end("show stat\n");
    let text = "";
    for await (const chunk of socket.setEncoding("utf8")) text += chunk;
    const [header = "", ...rows] = text.split("\n");
    const column = header.split(",").indexOf("req_tot");
    const frontend = rows.find((row) => row.startsWith("requests,FRONTEND,"));
    return Number(frontend?.split(",")[column]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGTERM");
      await once(this.#child, "close");
    }
    await rm(this.prefix, { recursive: true, force: true });
  }
}
