/**
 * Everything that an escaped guest could reach if the fence had a hole, and a sandbox whose cordons have escaped
 * already: their entry is escaped-cordon.ts, and their node is a script that takes the permission model away.
 * Whatever is reached is known outside: sentinel files, listeners, processes.
 */
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Fence } from "../../../src/sandbox/fence/fence.ts";
import { probeFence } from "../../../src/sandbox/fence/fence-probe.ts";
import { prepareRoom, type Room } from "../../../src/sandbox/fence/room.ts";

import type { Targets } from "./targets.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const SENTINEL = "Nobody behind the fence has read this.\n";
export const SECRET = "the-gateway-knows-this-word";

export interface Outside {
  readonly targets: Omit<Targets, "siblingPid">;
  /** What happened out here that must not: empty if nothing did. */
  touched(): string[];
  close(): void;
}

/** Listeners of every kind, a sentinel file, and a word in the gateway's environment. */
export async function openOutside(prefix: string): Promise<Outside> {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-outside-"));
  chmodSync(folder, 0o777);
  const sentinel = join(folder, "sentinel");
  writeFileSync(sentinel, SENTINEL);
  chmodSync(sentinel, 0o666);
  process.env.GATEHOUSE_REACH = SECRET;
  const heard: string[] = [];
  const tcp = createServer(() => heard.push("tcp")).listen(0, "127.0.0.1");
  const abstractName = `gatehouse-reach-${randomBytes(8).toString("hex")}`;
  const abstract = createServer(() => heard.push("abstract socket")).listen({ path: `\0${abstractName}` });
  const socketPath = join(folder, "socket");
  const path = createServer(() => heard.push("socket by path")).listen({ path: socketPath });
  const udp = createSocket("udp4", () => heard.push("udp")).bind(0, "127.0.0.1");
  await Promise.all([tcp, abstract, path, udp].map((server) => once(server, "listening")));
  chmodSync(socketPath, 0o777);
  const threads = [...readFileSync("/proc/net/unix", "latin1").matchAll(/@(gatehouse-[0-9a-f]{48})$/gm)];
  const gateway = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)", SECRET]);
  await once(gateway, "spawn");
  const gatewayPid = gateway.pid as number;
  return {
    targets: {
      sentinel,
      prefix,
      gatewayPid,
      tcpPort: (tcp.address() as AddressInfo).port,
      udpPort: udp.address().port,
      abstractNames: [abstractName, ...threads.map(([, name]) => name as string)],
      socketPath,
      secret: SECRET,
    },
    touched: () => [
      ...heard.map((what) => `${what} was reached`),
      ...(readFileSync(sentinel, "utf8") === SENTINEL ? [] : ["the sentinel was written"]),
      ...(gateway.exitCode === null && gateway.signalCode === null ? [] : ["a process was killed"]),
    ],
    close() {
      for (const server of [tcp, abstract, path, udp]) server.close();
      gateway.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A room whose cordons have escaped from everything but the operating system. */
export async function escapedRoom(): Promise<{ room: Room; fence: Fence; prefix: string; close(): void }> {
  const prefix = mkdtempSync(join(tmpdir(), "gatehouse-reach-"));
  const prepared = await prepareRoom(prefix, ["isolate"]);
  const fence = await probeFence(prepared);
  await build({
    entryPoints: { escaped: join(HERE, "escaped-cordon.ts"), unfenced: join(HERE, "unfenced.ts") },
    outdir: prepared.folder,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "esnext",
    logLevel: "silent",
  });
  placeShell(prepared);
  const script = `#!/room/sh
for word do shift; case "$word" in --permission|--allow-*) ;; *) set -- "$@" "$word" ;; esac; done
exec /room/node "$@"
`;
  writeFileSync(join(prepared.folder, "node-unbound"), script);
  chmodSync(join(prepared.folder, "node-unbound"), 0o755);
  const room = { ...prepared, node: "node-unbound", entries: { ...prepared.entries, isolate: "escaped.js" } };
  return { room, fence, prefix, close: () => rmSync(prefix, { recursive: true, force: true }) };
}

/** For the script only: the fence has no shell inside. */
function placeShell(room: Room): void {
  copyFileSync("/bin/sh", join(room.folder, "sh"));
  chmodSync(join(room.folder, "sh"), 0o755);
  const libraries = execFileSync("ldd", ["/bin/sh"], { encoding: "utf8" });
  for (const [, library = ""] of libraries.matchAll(/=> (\/\S+)/g)) {
    mkdirSync(join(room.root, dirname(library)), { recursive: true, mode: 0o755 });
    copyFileSync(library, join(room.root, library));
  }
}
