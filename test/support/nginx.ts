/** A real nginx for a test: its own prefix, a port that the system chose, one server block written by the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireProgram, untilListening } from "./services.ts";

/** Starts nginx with `server` as the body of its only server block; `listen` is added. */
export async function startNginx(server: string): Promise<Nginx> {
  const program = requireProgram("nginx");
  const prefix = await mkdtemp(join(tmpdir(), "gatehouse-nginx-"));
  const port = await freePort();
  await writeFile(
    join(prefix, "nginx.conf"),
    `daemon off; master_process off; worker_processes 1; pid ${prefix}/pid; error_log ${prefix}/error.log;
     events { worker_connections 256; }
     http {
       access_log off; client_max_body_size 0; client_body_temp_path ${prefix}/body;
       proxy_temp_path ${prefix}/proxy; fastcgi_temp_path ${prefix}/fastcgi;
       uwsgi_temp_path ${prefix}/uwsgi; scgi_temp_path ${prefix}/scgi;
       server { listen 127.0.0.1:${port}; root ${prefix}; ${server} }
     }`,
  );
  const child = spawn(
    program,
    ["-p", prefix, "-c", join(prefix, "nginx.conf"), "-e", join(prefix, "error.log")],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  const nginx = new Nginx(child, prefix, port);
  await nginx.answers();
  return nginx;
}

export class Nginx implements AsyncDisposable {
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
    return untilListening(this.port, () => (this.#child.exitCode === null ? null : `nginx: ${this.#stderr}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGTERM");
      await once(this.#child, "close");
    }
    await rm(this.prefix, { recursive: true, force: true });
  }
}

/** A port that nobody listens on; also an address that refuses connections. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
