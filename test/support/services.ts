/**
 * Programs that tests need beside Node: found, or installed from Debian's packages when run as root, or
 * refused in one sentence. Never skipped silently.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, globSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

/** The package that holds each program. */
const PACKAGES = {
  nginx: "nginx-core",
  haproxy: "haproxy",
  openssl: "openssl",
  curl: "curl",
  bwrap: "bubblewrap",
  "redis-server": "redis-server",
  postgres: "postgresql",
  initdb: "postgresql",
  clang: "clang",
  "wasm-ld": "lld",
} as const;
export type Program = keyof typeof PACKAGES;
/** Every program that some test needs. The runner sees to them before any test, one installation at a time. */
export const PROGRAMS = Object.keys(PACKAGES) as Program[];

/** The absolute path of a program. @throws {Error} if it is neither there nor can be installed. */
export function requireProgram(program: Program): string {
  const found = find(program);
  if (found !== undefined) return found;
  const debianPackage = PACKAGES[program];
  const wanted = `these tests need '${program}' (Debian package ${debianPackage})`;
  if (process.getuid?.() !== 0)
    throw new Error(`${wanted}: install it, or run them as root to have it installed.`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const step of [["update"], ["install", "-y", "--no-install-recommends", debianPackage]]) {
    const { status, stderr, error } = spawnSync("apt-get", step, { env, encoding: "utf8" });
    const why = error?.message ?? stderr?.trim().split("\n").at(-1);
    if (status !== 0) throw new Error(`${wanted}, and 'apt-get ${step.join(" ")}' failed: ${why}.`);
  }
  const installed = find(program);
  if (installed === undefined) throw new Error(`${wanted}, which its package did not bring.`);
  return installed;
}

/**
 * Waits until a program listens that tells nobody so: connections are tried until one is taken.
 * @param ended what it said, once it has ended; then waiting is in vain
 */
export async function untilListening(port: number, ended: () => string | null): Promise<void> {
  for (;;) {
    const last = ended();
    if (last !== null) throw new Error(`it ended before it listened: ${last}`);
    const socket = connect({ port, host: "127.0.0.1" });
    const taken = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (taken) return;
    await setTimeout(20);
  }
}

function find(program: string): string | undefined {
  const directories = [...(process.env.PATH ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  // Debian keeps the programs of each version of PostgreSQL apart.
  directories.push(...globSync("/usr/lib/postgresql/*/bin").sort().reverse());
  for (const directory of directories.filter((name) => name.startsWith("/"))) {
    const path = join(directory, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this directory.
    }
  }
}
