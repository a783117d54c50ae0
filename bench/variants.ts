/**
 * The peers, and the upstream behind them: how each is configured and started. One worker or thread each, pinned
 * to a core, keep-alive on both sides, no access log. Every one sends the same forwarded headers as the gateway.
 */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, type Started, start, until } from "./processes.ts";
import { NGINX_MODULES } from "./tools.ts";

/** What a sitting gives to every variant it starts. */
export interface Site {
  /** A folder of this sitting, removed at its end. */
  folder: string;
  upstreamPort: number;
  subjectCore: number;
  loadCore: number;
  /** Where sandbox processes go: a core of their own if there is one, else the load's. */
  guestCore: number;
}

export interface Running {
  process: Started;
  port: number;
}

export interface Variant {
  name: string;
  /** Time under load before measuring; JIT compilers need more. */
  warmSeconds: number;
  start(site: Site): Promise<Running>;
}

const PEERS = join(import.meta.dirname, "peers");
const NATIVE_WARM_SECONDS = 1;
export const JIT_WARM_SECONDS = 4;

function fill(template: string, values: Record<string, string | number>): string {
  return readFileSync(join(PEERS, template), "utf8").replace(/@([A-Z]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${template} asks for @${name}@, which the bench does not give`);
    return String(value);
  });
}

async function startNginx(name: string, template: string, core: number, folder: string, upstream?: number) {
  const port = await freePort();
  const home = mkdtempSync(join(folder, "nginx-"));
  mkdirSync(join(home, "files"));
  for (const [file, size] of [["1k", 1024] as const, ["100k", 102_400] as const]) {
    writeFileSync(join(home, "files", file), "gatehouse".repeat(size / 9 + 1).slice(0, size));
  }
  const config = join(home, "nginx.conf");
  writeFileSync(
    config,
    fill(template, {
      PORT: port,
      UPSTREAM: upstream ?? 0,
      MODULES: NGINX_MODULES,
      HERE: join(PEERS, "nginx-lua"),
      // As root, nginx would drop its worker to a user who may not read the sitting's folder.
      USER: process.getuid?.() === 0 ? "user root;" : "",
    }),
  );
  const started = start(name, core, "nginx", ["-p", home, "-c", config, "-e", "stderr"]);
  await listening(started, port);
  return { process: started, port };
}

async function listening(started: Started, port: number): Promise<void> {
  await until(started, async () => {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/small`, { headers: { connection: "close" } });
      await answer.arrayBuffer();
      return true;
    } catch {
      return undefined;
    }
  });
}

function nodePeer(name: string, file: string): Variant {
  return {
    name,
    warmSeconds: JIT_WARM_SECONDS,
    async start(site) {
      const port = await freePort();
      const env = { PORT: String(port), UPSTREAM: String(site.upstreamPort), NODE_ENV: "production" };
      const started = start(name, site.subjectCore, process.execPath, [join(PEERS, file)], { env });
      await listening(started, port);
      return { process: started, port };
    },
  };
}

/** The upstream of a sitting, on the load's core. */
export function startUpstream(folder: string, core: number): Promise<Running> {
  return startNginx("upstream", "upstream/nginx.conf", core, folder);
}

export const nginx: Variant = {
  name: "nginx",
  warmSeconds: NATIVE_WARM_SECONDS,
  start: (site) => startNginx("nginx", "nginx/nginx.conf", site.subjectCore, site.folder, site.upstreamPort),
};

export const nginxLua: Variant = {
  name: "nginx + Lua",
  // LuaJIT compiles its traces within the first thousand requests.
  warmSeconds: NATIVE_WARM_SECONDS + 1,
  start: (site) =>
    startNginx("nginx + Lua", "nginx-lua/nginx.conf", site.subjectCore, site.folder, site.upstreamPort),
};

export const haproxy: Variant = {
  name: "HAProxy",
  warmSeconds: NATIVE_WARM_SECONDS,
  async start(site) {
    const port = await freePort();
    const config = join(mkdtempSync(join(site.folder, "haproxy-")), "haproxy.cfg");
    writeFileSync(config, fill("haproxy/haproxy.cfg", { PORT: port, UPSTREAM: site.upstreamPort }));
    const started = start("HAProxy", site.subjectCore, "haproxy", ["-db", "-f", config]);
    await listening(started, port);
    return { process: started, port };
  },
};

export const nodeUndici = nodePeer("node:http + undici", "node-undici.js");
export const fastifyHttpProxy = nodePeer("@fastify/http-proxy", "fastify-http-proxy.js");
export const httpProxy3 = nodePeer("http-proxy-3", "http-proxy-3.js");
