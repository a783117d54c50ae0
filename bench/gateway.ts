/**
 * The gateway as a variant: one data thread, the whole process tree on the subject's core, configured from a
 * declarative file; with a guest, the package is uploaded to the running gateway as its author would.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { moveTo, start, tree, until } from "./processes.ts";
import { JIT_WARM_SECONDS, type Running, type Site, type Variant } from "./variants.ts";

const ROOT = dirname(import.meta.dirname);
const MAIN = join(ROOT, "src", "main.ts");
const GUEST = join(ROOT, "bench", "guest");

/** The policy of the bench; peers/nginx-lua/policy.lua is its twin, proof.ts checks that both do all of it. */
const POLICY = [
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

type PluginEntity = { name: string; config?: Record<string, unknown> };

// JSON is YAML too, so the same text serves as a file and as the body of POST /config.
function configuration(upstreamPort: number, plugins: PluginEntity[]): string {
  return JSON.stringify({
    _format_version: "3.0",
    services: [
      {
        name: "bench",
        url: `http://127.0.0.1:${upstreamPort}`,
        routes: [{ name: "bench", paths: ["/"] }],
        plugins,
      },
    ],
    consumers: [{ username: "bench-consumer", keyauth_credentials: [{ key: "bench-key-1" }] }],
  });
}

interface Ports {
  proxy: number;
  admin: number;
}

async function startGateway(site: Site, plugins: PluginEntity[]): Promise<Running & { ports: Ports }> {
  const prefix = mkdtempSync(join(site.folder, "gateway-"));
  const config = join(prefix, "gateway.yml");
  writeFileSync(config, configuration(site.upstreamPort, plugins));
  const process_ = start("gateway", site.subjectCore, process.execPath, [MAIN, "start", "--config", config], {
    env: {
      NODE_ENV: "production",
      GATEHOUSE_PREFIX: prefix,
      GATEHOUSE_PROXY_LISTEN: "127.0.0.1:0",
      GATEHOUSE_ADMIN_LISTEN: "127.0.0.1:0",
      GATEHOUSE_STATUS_LISTEN: "127.0.0.1:0",
      GATEHOUSE_DATA_THREADS: "1",
      GATEHOUSE_PROXY_ACCESS_LOG: "off",
    },
  });
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
      const answer = await fetch(`http://127.0.0.1:${ports.proxy}/small`, {
        headers: { connection: "close" },
      });
      await answer.arrayBuffer();
      // 401 is a served request as well: key-auth is in the chain.
      return answer.status === 200 || answer.status === 401 ? true : undefined;
    } catch {
      return undefined;
    }
  });
  return { process: process_, port: ports.proxy, ports };
}

/** Uploads the example guest and puts it at the end of the policy; its processes go to the guests' core. */
async function addGuest(site: Site, gateway: Running & { ports: Ports }): Promise<void> {
  const archive = join(mkdtempSync(join(site.folder, "package-")), "guest.tgz");
  execFileSync(process.execPath, [MAIN, "plugin", "pack", GUEST, "--output", archive], { stdio: "pipe" });
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
    body: configuration(site.upstreamPort, [...POLICY, guest]),
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

export const gatewayPlain: Variant = {
  name: "gateway",
  warmSeconds: JIT_WARM_SECONDS,
  start: (site) => startGateway(site, []),
};

export const gatewayPolicy: Variant = {
  name: "gateway",
  warmSeconds: JIT_WARM_SECONDS,
  start: (site) => startGateway(site, POLICY),
};

export const gatewayPolicyAndIsolate: Variant = {
  name: "gateway + isolate guest",
  warmSeconds: JIT_WARM_SECONDS,
  async start(site) {
    const gateway = await startGateway(site, POLICY);
    try {
      await addGuest(site, gateway);
    } catch (error) {
      await gateway.process.stop();
      throw error;
    }
    return gateway;
  },
};
