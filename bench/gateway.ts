/**
 * The gateway as a variant: one data thread, the whole process tree on the subject's core, configured from a
 * declarative file; with a guest, the package is uploaded to the running gateway as its author would.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { buildGuest } from "../wasm-plugins/build.ts";
import { certificateIn } from "./certificate.ts";
import { freePort, moveTo, start, tree, until } from "./processes.ts";
import { fillStore } from "./stored.ts";
import {
  CHANGE_EVERY_MS,
  JIT_WARM_SECONDS,
  type Running,
  type Site,
  shortCount,
  type Variant,
  type Watched,
} from "./variants.ts";

const ROOT = dirname(import.meta.dirname);
const MAIN = join(ROOT, "src", "main.ts");
const GUESTS = join(ROOT, "bench", "guests");

/** The policy of the bench; peers/nginx-lua/policy.lua is its twin, proof.ts checks that both do all of it. */
export const POLICY = [
  { name: "key-auth" },
  { name: "rate-limiting", config: { minute: 1_000_000_000, policy: "local" } },
  {
    name: "request-transformer",
    config: { remove: { headers: ["X-Bench-Secret"] }, add: { headers: ["X-Bench-Added:yes"] } },
  },
  {
    name: "response-transformer",
    config: { remove: { headers: ["X-Bench-Internal"] }, add: { headers: ["X-Bench-Response:yes"] } },
  },
];

export type GuestRuntime = "isolate" | "extism";

type PluginEntity = { name: string; config?: Record<string, unknown> };

export interface GatewayOptions {
  plugins?: PluginEntity[];
  /** Adds a TLS listener. */
  tls?: boolean;
  /** So many routes `/r/<n>/` in place of the one. */
  routes?: number;
  threads?: number;
  /** Cores in place of the subject's. */
  cores?: string;
  /** The whole configuration, in place of the one made from the above. */
  document?: string;
  /** The configuration is in a store, and not in a file. */
  stored?: boolean;
  /** More settings. */
  env?: Record<string, string>;
}

/**
 * JSON is YAML too, so the same text serves as a file and as the body of POST /config. With `moved`, the path of
 * route 7 is another one: what the reloads change.
 */
function configuration(upstreamPort: number, options: GatewayOptions, moved = false): string {
  const routes =
    options.routes === undefined
      ? [{ name: "bench", paths: ["/"] }]
      : Array.from({ length: options.routes }, (_, i) => ({
          name: `bench-${i}`,
          paths: [i === 7 && moved ? "/r/7-moved/" : `/r/${i}/`],
          strip_path: false,
        }));
  return JSON.stringify({
    _format_version: "3.0",
    services: [
      { name: "bench", url: `http://127.0.0.1:${upstreamPort}`, routes, plugins: options.plugins ?? [] },
    ],
    consumers: [{ username: "bench-consumer", keyauth_credentials: [{ key: "bench-key-1" }] }],
  });
}

interface Ports {
  proxy: number;
  admin: number;
}

/** A gateway as an operator would start it, ready to serve. */
export async function startGateway(
  site: Site,
  options: GatewayOptions,
  watched?: Watched,
): Promise<Running & { ports: Ports; prefix: string }> {
  const prefix = mkdtempSync(join(site.folder, "gateway-"));
  const config = join(prefix, "gateway.yml");
  const text = options.document ?? configuration(site.upstreamPort, options);
  if (options.stored) await fillStore(prefix, text);
  else writeFileSync(config, text);
  const tlsPort = options.tls ? await freePort() : undefined;
  const { certificate, key } = options.tls ? certificateIn(site.folder) : { certificate: "", key: "" };
  const process_ = start(
    "gateway",
    options.cores ?? site.subjectCore,
    process.execPath,
    [...(watched?.nodeFlags ?? []), MAIN, "start", ...(options.stored ? [] : ["--config", config])],
    {
      watch: watched?.watch,
      env: {
        NODE_ENV: "production",
        GATEHOUSE_PREFIX: prefix,
        GATEHOUSE_PROXY_LISTEN: `127.0.0.1:0${options.tls ? `, 127.0.0.1:${tlsPort} ssl` : ""}`,
        GATEHOUSE_ADMIN_LISTEN: "127.0.0.1:0",
        GATEHOUSE_STATUS_LISTEN: "127.0.0.1:0",
        GATEHOUSE_DATA_THREADS: String(options.threads ?? 1),
        GATEHOUSE_PROXY_ACCESS_LOG: "off",
        // As many as nginx keeps here; with 1,000 clients the default would close connections after use.
        GATEHOUSE_UPSTREAM_KEEPALIVE_POOL_SIZE: "1024",
        // The peers keep connections for ever, too.
        GATEHOUSE_MAX_REQUESTS_PER_CONNECTION: "0",
        GATEHOUSE_UPSTREAM_KEEPALIVE_MAX_REQUESTS: "0",
        ...(options.tls ? { GATEHOUSE_SSL_CERT: certificate, GATEHOUSE_SSL_CERT_KEY: key } : {}),
        ...options.env,
      },
    },
  );
  const file = join(prefix, "ports.json");
  const ports = await until(process_, () => {
    if (!existsSync(file)) return undefined;
    try {
      return JSON.parse(readFileSync(file, "utf8")) as Ports;
    } catch {
      return undefined;
    }
  });
  await until(process_, async () => {
    try {
      const path = options.routes === undefined ? "/small" : "/r/0/small";
      const answer = await fetch(`http://127.0.0.1:${ports.proxy}${path}`, {
        headers: { connection: "close" },
      });
      await answer.arrayBuffer();
      // 401 is a served request as well: key-auth is in the chain.
      return answer.status === 200 || answer.status === 401 ? true : undefined;
    } catch {
      return undefined;
    }
  });
  return { process: process_, port: ports.proxy, tlsPort, ports, prefix };
}

/** The guest's package, built where it is not TypeScript. */
async function packGuest(site: Site, runtime: GuestRuntime): Promise<string> {
  const source = join(GUESTS, runtime);
  const folder = mkdtempSync(join(site.folder, "package-"));
  const ready = runtime === "isolate" ? source : (await buildGuest(source, join(folder, "built"))).folder;
  const archive = join(folder, "guest.tgz");
  execFileSync(process.execPath, [MAIN, "plugin", "pack", ready, "--output", archive], { stdio: "pipe" });
  return archive;
}

/** Uploads the guest and puts it at the end of the policy; its processes go to the guests' core. */
async function addGuest(
  site: Site,
  gateway: Running & { ports: Ports },
  runtime: GuestRuntime,
): Promise<void> {
  const archive = await packGuest(site, runtime);
  const admin = `http://127.0.0.1:${gateway.ports.admin}`;
  const uploaded = await fetch(`${admin}/plugin-packages`, {
    method: "POST",
    headers: { "content-type": "application/gzip" },
    body: readFileSync(archive),
  });
  const answer = (await uploaded.json()) as { name: string; version: string };
  if (!uploaded.ok) throw new Error(`the guest was refused: ${uploaded.status} ${JSON.stringify(answer)}`);

  const guest = { name: `${answer.name}@${answer.version}` };
  const changed = await fetch(`${admin}/config`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: configuration(site.upstreamPort, { plugins: [...POLICY, guest] }),
  });
  if (!changed.ok)
    throw new Error(`the configuration was refused: ${changed.status} ${await changed.text()}`);
  await changed.arrayBuffer();

  await until(gateway.process, async () => {
    const probe = await fetch(`http://127.0.0.1:${gateway.port}/proof`, {
      headers: { apikey: "bench-key-1", connection: "close" },
    });
    await probe.arrayBuffer();
    if (probe.status !== 200 || !probe.headers.has(GUEST_MARK)) return undefined;
    for (const pid of tree(gateway.process.pid).slice(1)) moveTo(site.guestCore, pid);
    return true;
  });
}

/** The header that the guest sets; the upstream shows it as a response header of `/proof`. */
export const GUEST_MARK = "x-bench-guest";

function gatewayVariant(name: string, options: GatewayOptions): Variant {
  return {
    name,
    warmSeconds: JIT_WARM_SECONDS,
    routes: options.routes,
    start: (site, watched) => startGateway(site, options, watched),
  };
}

export const gatewayPlain = gatewayVariant("gateway", {});
export const gatewayPolicy = gatewayVariant("gateway", { plugins: POLICY });
export const gatewayTls = gatewayVariant("gateway", { tls: true });

export function gatewayWithRoutes(count: number): Variant {
  return gatewayVariant(`gateway ${shortCount(count)} routes`, { routes: count });
}

/** Both get the same cores, so that only the number of threads differs. */
export function gatewayWithThreads(threads: number): Variant {
  return {
    name: `gateway ${threads} data ${threads === 1 ? "thread" : "threads"}`,
    warmSeconds: JIT_WARM_SECONDS + 1,
    start: (site, watched) => startGateway(site, { threads, cores: site.pairOfCores }, watched),
  };
}

/** One route among `count` is written over the Admin API, and is another one after each write. */
export function gatewayWriting(count: number): Variant {
  return {
    ...gatewayVariant("gateway written to", { routes: count }),
    changing: true,
    async start(site) {
      const gateway = await startGateway(site, { routes: count, stored: true });
      const bodies = inTurn(
        gateway.prefix,
        JSON.stringify({ paths: ["/r/7-moved/"] }),
        JSON.stringify({ paths: ["/r/7/"] }),
      );
      const send = { port: gateway.ports.admin, method: "PATCH", path: "/routes/bench-7", bodies } as const;
      return { ...gateway, changes: { everyMs: CHANGE_EVERY_MS, send } };
    },
  };
}

/** A whole configuration of `count` routes, in which one is another one, replaces the one before. */
export function gatewayReloading(count: number): Variant {
  return {
    ...gatewayVariant("gateway reloading", { routes: count }),
    changing: true,
    async start(site) {
      const gateway = await startGateway(site, { routes: count });
      const bodies = inTurn(
        gateway.prefix,
        configuration(site.upstreamPort, { routes: count }, true),
        configuration(site.upstreamPort, { routes: count }),
      );
      const send = { port: gateway.ports.admin, method: "POST", path: "/config", bodies } as const;
      return { ...gateway, changes: { everyMs: CHANGE_EVERY_MS, send } };
    },
  };
}

/** Two bodies as files, for the open-loop client. */
function inTurn(folder: string, first: string, second: string): [string, string] {
  const files: [string, string] = [join(folder, "moved.json"), join(folder, "back.json")];
  writeFileSync(files[0], first);
  writeFileSync(files[1], second);
  return files;
}

/** The policy and one guest behind it. */
export function gatewayPolicyAnd(runtime: GuestRuntime): Variant {
  return {
    name: `gateway + ${runtime} guest`,
    warmSeconds: JIT_WARM_SECONDS,
    async start(site, watched) {
      const gateway = await startGateway(site, { plugins: POLICY }, watched);
      try {
        await addGuest(site, gateway, runtime);
      } catch (error) {
        await gateway.process.stop();
        throw error;
      }
      return gateway;
    },
  };
}
