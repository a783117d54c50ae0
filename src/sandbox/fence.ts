/**
 * The operating system's fence around a cordon, and how it is started with or without one.
 *
 * With root and util-linux at hand a cordon gets its own namespaces for network, mounts, processes, IPC and
 * host name, a root directory that holds nothing but its room and the system's libraries, an unprivileged
 * uid, no capabilities and no way to new ones. Node's permission model lies over it, and under it nothing
 * depends on that model: it is not a boundary against code that escaped.
 *
 * Two traps that shaped the command. The spawned process is `unshare`, and the cordon its child: each of the
 * two gets a parent-death signal of its own, because a change of uid clears it. And limits on address space
 * are left out: together with V8's own caps they made cordons abort now and then.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { EngineKind } from "./engine.ts";
import type { Room } from "./room.ts";

export interface Fence {
  /** Whether escaped code is held by the operating system. */
  readonly inForce: boolean;
  /** What holds it, for the log and `/status`. */
  readonly means: readonly string[];
  /** Why the fence is, or is not, in force. */
  readonly why: string;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
}

/** `nobody`: cordons share it, and their own process namespaces keep them apart. */
const FENCED_ID = 65534;
const MAX_OPEN_FILES = 256;
const PROBE_TIMEOUT_MS = 10_000;

/** Builds the room's root out of mounts, then becomes the command in it. `$0` is the root directory. */
const ENTER = [
  'mount -o bind,ro /usr "$0/usr"',
  'for d in lib lib64 lib32; do if [ -d "$0/$d" ] && [ ! -L "$0/$d" ]; then mount -o bind,ro "/$d" "$0/$d"; fi; done',
  'mount -t proc -o nosuid,nodev,noexec proc "$0/proc"',
  'cd "$0"',
  'exec chroot "$0" "$@"',
].join(" && ");

const V8_FLAGS: Record<EngineKind, readonly string[]> = {
  isolate: ["--max-old-space-size=128", "--enable-experimental-regexp-engine-on-excessive-backtracks"],
  wasm: [
    "--max-old-space-size=128",
    "--wasm-max-mem-pages=4096",
    "--wasm-max-table-size=10000",
    "--wasm-max-module-size=16777216",
    "--wasm-max-committed-code-mb=128",
  ],
};

/** The command line that starts a cordon on `sockets` file descriptors from 3 on. */
export function cordonCommand(room: Room, fence: Fence, engine: EngineKind, sockets: number): Command {
  const home = fence.inForce ? "/room" : room.folder;
  const node = [
    join(home, room.node),
    "--permission",
    `--allow-fs-read=${home}/`,
    ...(engine === "isolate" ? ["--allow-addons"] : []),
    "--no-warnings",
    "--disallow-code-generation-from-strings",
    "--max-semi-space-size=2",
    ...V8_FLAGS[engine],
    join(home, room.entries[engine]),
    String(sockets),
  ];
  if (fence.inForce) return behindFence(room, node);
  const setpriv = findTool("setpriv");
  if (setpriv === null) return { file: node[0] as string, args: node.slice(1), cwd: room.folder };
  return { file: setpriv, args: ["--pdeathsig=KILL", "--no-new-privs", ...node], cwd: room.folder };
}

/** The same fence around any command; its paths are seen from inside. */
export function behindFence(room: Room, command: readonly string[]): Command {
  const args = [
    "--pdeathsig=KILL",
    "unshare",
    ...["--net", "--mount", "--pid", "--ipc", "--uts", "--fork"],
    ...["sh", "-c", ENTER, room.root],
    "prlimit",
    `--nofile=${MAX_OPEN_FILES}`,
    "--core=0",
    "setpriv",
    "--pdeathsig=KILL",
    `--reuid=${FENCED_ID}`,
    `--regid=${FENCED_ID}`,
    "--clear-groups",
    "--no-new-privs",
    "--bounding-set=-all",
    ...command,
  ];
  return { file: findTool("setpriv") ?? "setpriv", args, cwd: "/" };
}

const FENCE_MEANS = [
  "own network namespace without interfaces",
  "own process, mount, IPC and host name namespaces",
  "root directory with nothing but the cordon's room and the system's libraries",
  `uid and gid ${FENCED_ID}, no capabilities, no new privileges`,
  "node --permission",
];

/**
 * Finds out whether the fence works here by starting a process behind it that tries to get out. `allow` set
 * to false leaves the fence down whatever the machine can do.
 */
export async function probeFence(room: Room, allow = true): Promise<Fence> {
  const down = (why: string): Fence => ({
    inForce: false,
    means: [
      "node --permission (Node's own documentation says that it is no boundary against malicious code)",
      ...(findTool("setpriv") === null ? [] : ["no new privileges"]),
    ],
    why,
  });
  if (!allow) return down("switched off by the operator");
  if (process.getuid?.() !== 0) return down("the gateway does not run as root, so it cannot make namespaces");
  const missing = ["setpriv", "unshare", "mount", "chroot", "prlimit", "sh"].filter(
    (tool) => findTool(tool) === null,
  );
  if (missing.length > 0) return down(`the tools ${missing.join(", ")} are missing (util-linux, coreutils)`);
  const said = await runProbe(behindFence(room, ["/room/node", "-e", PROBE]));
  return said === "held"
    ? { inForce: true, means: FENCE_MEANS, why: "a process was started behind it and could not get out" }
    : down(`a process behind the fence did not come up as expected: ${said}`);
}

/** Prints `held` if uid, process tree, network and files are as a fenced process must see them. */
const PROBE = `
const fs = require("node:fs"), os = require("node:os"), { execPath } = process;
const seen = [];
if (process.getuid() !== ${FENCED_ID} || process.getgid() !== ${FENCED_ID}) seen.push("uid " + process.getuid());
if (process.pid !== 1) seen.push("pid " + process.pid);
if (Object.keys(os.networkInterfaces()).length > 0) seen.push("a network");
for (const path of ["/etc", "/root", "/home", "/var", "/tmp"]) if (fs.existsSync(path)) seen.push(path);
try { fs.writeFileSync("/room/x", ""); seen.push("a writable room"); } catch {}
console.log(seen.length === 0 ? "held" : "it sees " + seen.join(", "));
`;

/** What a probe has printed. One that takes too long is tried once more: a machine may be busy, and not unable. */
export async function runProbe(command: Command, timeoutMs = PROBE_TIMEOUT_MS): Promise<string> {
  const said = (await outputOf(command, timeoutMs)) ?? (await outputOf(command, timeoutMs));
  return said ?? `it did not end within ${timeoutMs / 1000} seconds, twice`;
}

/** Null if it did not end in time. */
function outputOf(command: Command, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn(command.file, [...command.args], {
      cwd: command.cwd,
      env: {},
      stdio: ["ignore", "pipe", "pipe"],
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    let said = "";
    child.stdout.on("data", (part: Buffer) => {
      said += part.toString();
    });
    child.stderr.on("data", (part: Buffer) => {
      said += part.toString();
    });
    child.on("error", (error) => {
      clearTimeout(timer);
      resolve(error.message);
    });
    child.on("close", () => {
      clearTimeout(timer);
      resolve(late ? null : said.trim().slice(0, 500) || "nothing was printed");
    });
  });
}

const TOOL_FOLDERS = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

function findTool(name: string): string | null {
  for (const folder of TOOL_FOLDERS) {
    const path = join(folder, name);
    if (existsSync(path)) return path;
  }
  return null;
}
