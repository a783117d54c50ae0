/**
 * What the bench needs besides the gateway: Debian's nginx-extras, haproxy, wrk and ab, and peers from npm in
 * bench/peers. Installs what is missing, and says which versions were measured.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";
import { dirname, join } from "node:path";

const PEERS = join(import.meta.dirname, "peers");
export const NGINX_MODULES = "/usr/share/nginx/modules";

const NEEDED = [
  { package: "wrk", present: () => has("wrk") },
  { package: "apache2-utils", present: () => has("ab") },
  { package: "openssl", present: () => has("openssl") },
  { package: "haproxy", present: () => has("haproxy") },
  {
    package: "nginx-extras",
    present: () => has("nginx") && existsSync(join(NGINX_MODULES, "ngx_http_lua_module.so")),
  },
] as const;

function has(command: string): boolean {
  const path = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  return path.some((folder) => existsSync(join(folder, command)));
}

/** Installs what is missing, or throws one sentence that says what to install. */
export function installMissing(): void {
  for (const command of ["taskset", "chrt", "setsid"]) {
    if (!has(command)) throw new Error(`The bench needs ${command}; install Debian's util-linux.`);
  }
  const missing = NEEDED.filter((tool) => !tool.present()).map((tool) => tool.package);
  if (missing.length > 0) {
    const names = missing.join(" ");
    if (process.getuid?.() !== 0 || !has("apt-get")) {
      throw new Error(
        `The bench needs ${names}; install with: apt-get update && apt-get install -y ${names}`,
      );
    }
    console.error(`Installing ${names} from Debian's packages …`);
    installDebian(missing);
    const still = NEEDED.filter((tool) => !tool.present()).map((tool) => tool.package);
    if (still.length > 0)
      throw new Error(`apt-get installed ${names}, but ${still.join(" ")} cannot be found.`);
  }
  if (!installed()) {
    console.error("Installing the peers from npm into bench/peers …");
    const result = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: PEERS,
      env: outsideNpmRun(),
      encoding: "utf8",
    });
    if (result.status !== 0) {
      throw new Error(
        `The npm peers could not be installed (npm ci in bench/peers): ${result.stderr.trim()}`,
      );
    }
  }
  // Debian puts nginx and haproxy into /usr/sbin, which is not on every user's PATH.
  process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
}

function installDebian(names: string[]): void {
  const before = new Map(["nginx", "haproxy"].map((name) => [name, has(name)]));
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", ...names]]) {
    const result = spawnSync("apt-get", args, { env, encoding: "utf8" });
    if (result.status !== 0) {
      const reason = (result.stderr ?? "").trim().split("\n").at(-1) ?? "";
      throw new Error(`apt-get ${args.join(" ")} failed (${reason}); install ${names.join(" ")} by hand.`);
    }
  }
  // Debian starts a service when it installs one. Ours are started per measurement; one that was there
  // before belongs to the machine's owner and stays.
  for (const [service, wasThere] of before) {
    if (wasThere) continue;
    if (has("systemctl")) spawnSync("systemctl", ["stop", service]);
    else if (existsSync(`/etc/init.d/${service}`)) spawnSync(`/etc/init.d/${service}`, ["stop"]);
  }
}

function lockedPeers(): Record<string, string> {
  const manifest = JSON.parse(readFileSync(join(PEERS, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  return manifest.dependencies;
}

function installed(): boolean {
  return Object.entries(lockedPeers()).every(([name, version]) => {
    const manifest = join(PEERS, "node_modules", name, "package.json");
    if (!existsSync(manifest)) return false;
    return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version === version;
  });
}

/** The environment without what `npm run` adds, which would point the inner npm at the outer package. */
function outsideNpmRun(): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^npm_(package|lifecycle|command|node_execpath|execpath|config_local_prefix)/.test(name))
      delete env[name];
  }
  delete env.INIT_CWD;
  return env;
}

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  arch: string;
  kernel: string;
  versions: Record<string, string>;
}

/** The machine and the versions measured; nothing in it names the host. */
export function machine(): Machine {
  const first = (command: string, args: string[], pattern: RegExp) => {
    const result = spawnSync(command, args, { encoding: "utf8" });
    return pattern.exec(`${result.stdout}${result.stderr}`)?.[1] ?? "unknown";
  };
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    arch: arch(),
    kernel: release(),
    versions: {
      node: process.versions.node,
      nginx: first("nginx", ["-v"], /nginx\/(\S+)/),
      haproxy: first("haproxy", ["-v"], /version (\S+)/),
      openssl: first("openssl", ["version"], /OpenSSL (\S+)/),
      ab: first("ab", ["-V"], /Version (\S+)/),
      wrk: first("wrk", ["-v"], /wrk \S*?([\d.]+\S*)/),
      ...lockedPeers(),
    },
  };
}

/** The commit measured, short, with `+` when the source differs from it. */
export function commit(): string {
  const root = dirname(import.meta.dirname);
  const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
  try {
    const changed = git("status", "--porcelain", "--", "src", "sdk", "plugins", "bench", ":!bench/results");
    return git("rev-parse", "--short", "HEAD") + (changed === "" ? "" : "+");
  } catch {
    return "unknown";
  }
}
