/**
 * The peers, and the upstream behind them: how each is configured and started. One worker or thread each, pinned
 * to a core, keep-alive on both sides, no access log. Every one sends the same forwarded headers as the gateway.
 */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { certificateIn } from "./certificate.ts";
import type { ChangePlan } from "./load/changes.ts";
import { freePort, type Started, start, until } from "./processes.ts";
import { NGINX_MODULES } from "./tools.ts";

/** What a sitting gives to every variant it starts. */
export interface Site {
  /** A folder of this sitting, removed at its end. */
  folder: string;
  upstreamPort: number;
  upstreamPid: number;
  subjectCore: number;
  loadCore: number;
  /** Where sandbox processes go: a core of their own if there is one, else the load's. */
  guestCore: number;
  /** Cores for a subject of two threads: two of its own where there are four, else all there are. */
  pairOfCores: string;
}

export interface Running {
  process: Started;
  port: number;
  /** Port of its TLS listener, if it was asked for one. */
  tlsPort?: number;
  /** How its configuration is changed while it serves, if that is what the case measures. */
  changes?: ChangePlan;
}

export interface Variant {
  name: string;
  /** Time under load before measuring; JIT compilers need more. */
  warmSeconds: number;
  /** How many routes it has, `/r/0/` and up; without it, one route for everything. */
  routes?: number;
  /** Its configuration is changed while it is measured at a constant rate. */
  changing?: boolean;
  start(site: Site, watched?: Watched): Promise<Running>;
}

/** How the gateway is started to be looked into (profile.ts); peers take no notice of it. */
export interface Watched {
  nodeFlags: string[];
  /** Gets everything that the process prints. */
  watch?(output: string): void;
}

const PEERS = join(import.meta.dirname, "peers");
const NATIVE_WARM_SECONDS = 1;
export const JIT_WARM_SECONDS = 4;
/** Time between two changes of configuration. */
export const CHANGE_EVERY_MS = 1000;

/** 10000 is "10k": names of variants hold no comma, since --variants takes a list of them. */
export function shortCount(count: number): string {
  return count % 1000 === 0 ? `${count / 1000}k` : String(count);
}

function fill(template: string, values: Record<string, string | number>): string {
  return readFileSync(join(PEERS, template), "utf8").replace(/@([A-Z]+)@/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${template} asks for @${name}@, which the bench does not give`);
    return String(value);
  });
}

interface NginxOptions {
  core: number;
  tls?: boolean;
  routes?: number;
}

async function startNginx(name: string, template: string, site: Partial<Site>, options: NginxOptions) {
  const folder = site.folder!;
  const port = await freePort();
  const tlsPort = options.tls ? await freePort() : undefined;
  const home = mkdtempSync(join(folder, "nginx-"));
  mkdirSync(join(home, "files"));
  for (const [file, size] of [
    ["1k", 1024] as const,
    ["100k", 102_400] as const,
    ["1m", 1_048_576] as const,
  ]) {
    writeFileSync(join(home, "files", file), "gatehouse".repeat(size / 9 + 1).slice(0, size));
  }
  const config = join(home, "nginx.conf");
  const prefixes = options.routes ? Array.from({ length: options.routes }, (_, i) => `/r/${i}/`) : ["/"];
  writeFileSync(
    config,
    fill(template, {
      PORT: port,
      UPSTREAM: site.upstreamPort ?? 0,
      MODULES: NGINX_MODULES,
      HERE: join(PEERS, "nginx-lua"),
      LOCATIONS: prefixes.map((prefix) => `    location ${prefix} { proxy_pass http://bench; }`).join("\n"),
      TLS: tlsPort === undefined ? "" : nginxTls(folder, tlsPort),
      // As root, nginx would drop its worker to a user who may not read the sitting's folder.
      USER: process.getuid?.() === 0 ? "user root;" : "",
    }),
  );
  const started = start(name, options.core, "nginx", ["-p", home, "-c", config, "-e", "stderr"]);
  await listening(started, port);
  return { process: started, port, tlsPort };
}

function nginxTls(folder: string, port: number): string {
  const { certificate, key } = certificateIn(folder);
  return [
    `    listen 127.0.0.1:${port} ssl backlog=4096;`,
    `    ssl_certificate ${certificate};`,
    `    ssl_certificate_key ${key};`,
    "    ssl_protocols TLSv1.2 TLSv1.3;",
    "    ssl_session_cache shared:bench:8m;",
  ].join("\n");
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

const SUBJECT_CORE = 0;
const LOAD_CORE = 1;

/** The cores of a sitting and its upstream, which runs on the load's core until `close`. */
export async function openSite(folder: string): Promise<{ site: Site; close(): Promise<void> }> {
  const upstream = await startNginx("upstream", "upstream/nginx.conf", { folder }, { core: LOAD_CORE });
  const cores = cpus().length;
  return {
    site: {
      folder,
      upstreamPort: upstream.port,
      upstreamPid: upstream.process.pid,
      subjectCore: SUBJECT_CORE,
      loadCore: LOAD_CORE,
      guestCore: Math.min(2, cores - 1),
      pairOfCores: cores >= 4 ? "2,3" : "0,1",
    },
    close: () => upstream.process.stop(),
  };
}

function nginxVariant(name: string, options: { tls?: boolean; routes?: number } = {}): Variant {
  return {
    name,
    warmSeconds: NATIVE_WARM_SECONDS,
    routes: options.routes,
    start: (site) => startNginx(name, "nginx/nginx.conf", site, { core: site.subjectCore, ...options }),
  };
}

export const nginx = nginxVariant("nginx");
export const nginxTlsListener = nginxVariant("nginx", { tls: true });

export function nginxWithRoutes(count: number): Variant {
  return nginxVariant(`nginx ${shortCount(count)} locations`, { routes: count });
}

/** The same again and again: nginx builds everything anew whatever has changed in its file. */
export function nginxReloading(count: number): Variant {
  const quiet = nginxWithRoutes(count);
  return {
    ...quiet,
    name: "nginx reloading",
    changing: true,
    async start(site) {
      const running = await quiet.start(site);
      return { ...running, changes: { everyMs: CHANGE_EVERY_MS, signal: running.process.pid } };
    },
  };
}

export const nginxLua: Variant = {
  name: "nginx + Lua",
  // LuaJIT compiles its traces within the first thousand requests.
  warmSeconds: NATIVE_WARM_SECONDS + 1,
  start: (site) => startNginx("nginx + Lua", "nginx-lua/nginx.conf", site, { core: site.subjectCore }),
};

function haproxyVariant(tls: boolean): Variant {
  return {
    name: "HAProxy",
    warmSeconds: NATIVE_WARM_SECONDS,
    async start(site) {
      const port = await freePort();
      const tlsPort = tls ? await freePort() : undefined;
      const config = join(mkdtempSync(join(site.folder, "haproxy-")), "haproxy.cfg");
      const listener =
        tlsPort === undefined
          ? ""
          : `  bind 127.0.0.1:${tlsPort} backlog 4096 ssl crt ${certificateIn(site.folder).both}`;
      writeFileSync(
        config,
        fill("haproxy/haproxy.cfg", { PORT: port, UPSTREAM: site.upstreamPort, TLS: listener }),
      );
      const started = start("HAProxy", site.subjectCore, "haproxy", ["-db", "-f", config]);
      await listening(started, port);
      return { process: started, port, tlsPort };
    },
  };
}

export const haproxy = haproxyVariant(false);
export const haproxyTlsListener = haproxyVariant(true);

export const nodeUndici = nodePeer("node:http + undici", "node-undici.js");
export const fastifyHttpProxy = nodePeer("@fastify/http-proxy", "fastify-http-proxy.js");
export const httpProxy3 = nodePeer("http-proxy-3", "http-proxy-3.js");
