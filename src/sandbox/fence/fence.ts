/**
 * The operating system's fence around a cordon, and how it is started with or without one.
 *
 * As root, a cordon gets its own namespaces for network, mounts, processes, IPC and host name, a root directory
 * that holds nothing but its room and the libraries that it loads, a uid that nobody else has, limits, and a
 * filter of system calls. Without root the same is done by way of a user namespace, or by the operator's own
 * launcher. Node's permission model lies over it, and under it nothing depends on that model: it is not a
 * boundary against code that escaped.
 *
 * Two traps that shaped the command. The spawned process is `unshare`, and the cordon its child: each of the
 * two gets a parent-death signal of its own, because a change of uid clears it. And limits on address space
 * are left out: together with V8's own caps they made cordons abort now and then.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { EngineKind } from "../protocol/engine.ts";
import { FORGE_SLOT } from "./guest-users.ts";
import type { Room } from "./room.ts";

/** Plain data: a fence that was tried can be told to another process. */
export interface Fence {
  /** Whether escaped code is held by the operating system. */
  readonly inForce: boolean;
  /** Who makes the namespaces. */
  readonly by: "root" | "user-namespaces" | "launcher" | "nothing";
  /** Why the fence is, or is not, in force. */
  readonly why: string;
  /** What holds a guest that escaped, for the log and `/status`. */
  readonly means: readonly string[];
  /** What else there is, and why it is not in force here. */
  readonly missing: readonly string[];
  /** The first of a range of uids, one for each slot; null if all cordons share `nobody`, or the gateway's own. */
  readonly firstUid: number | null;
  /** Whether the filter of system calls is set before Node starts. */
  readonly filtered: boolean;
  /** Whether a cordon gives up all but a few system calls before it serves. */
  readonly sealed: boolean;
  /** The operator's command that is put before the cordon's; empty if there is none. */
  readonly launcher: readonly string[];
  /** The directory of cgroup v2 that each cordon gets a cgroup in; null if there is none. */
  readonly cgroup: string | null;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
}

/** `nobody`, where cordons cannot have uids of their own: their own process namespaces keep them apart. */
export const SHARED_ID = 65534;
const MAX_OPEN_FILES = 256;
/** Threads of one uid: Node's and V8's are eleven, and isolated-vm's as many as there are processors. */
const MAX_THREADS = 64 + 4 * availableParallelism();

const V8_FLAGS: Record<EngineKind, readonly string[]> = {
  // Flags that change what V8 compiles are set later, by isolate-main.ts: with one of them here V8 would take
  // nothing from the code cache that Node's modules come with, which costs a start 5 ms.
  isolate: ["--max-old-space-size=128"],
  wasm: [
    "--max-old-space-size=128",
    // For memory of instances, of which V8's collector knows too late; see wasm/remains.ts.
    "--expose-gc",
    "--disallow-code-generation-from-strings",
    "--wasm-max-mem-pages=4096",
    "--wasm-max-table-size=32768",
    "--wasm-max-module-size=16777216",
    "--wasm-max-committed-code-mb=128",
  ],
};

/** The command line that starts the cordon of a slot on `sockets` file descriptors from 3 on. */
export function cordonCommand(
  room: Room,
  fence: Fence,
  engine: EngineKind,
  sockets: number,
  slot: number,
): Command {
  const home = insideHome(room, fence);
  return behindFence(room, fence, slot, [
    join(home, room.node),
    "--permission",
    `--allow-fs-read=${home}/`,
    ...(engine === "isolate" ? ["--allow-addons"] : []),
    ...(fence.sealed ? ["--allow-ffi"] : []),
    "--no-warnings",
    "--max-semi-space-size=2",
    // Threads that compile and collect beside the guest: each has its own memory, and takes a core from somebody.
    "--v8-pool-size=1",
    ...V8_FLAGS[engine],
    join(home, room.entries[engine]),
    String(sockets),
    fence.sealed ? "sealed" : "open",
  ]);
}

/** The command line of the forge's child, which parses what strangers upload. */
export function forgeCommand(room: Room, fence: Fence, heapMb: number): Command {
  const home = insideHome(room, fence);
  return behindFence(room, fence, FORGE_SLOT, [
    join(home, room.node),
    "--permission",
    `--allow-fs-read=${home}/`,
    ...(fence.sealed ? ["--allow-ffi"] : []),
    "--no-warnings",
    `--max-old-space-size=${heapMb}`,
    "--experimental-vm-modules",
    join(home, room.forge),
    fence.sealed ? "sealed" : "open",
  ]);
}

/** Where the room is, seen from inside the fence. A launcher changes the root directory if it speaks of it. */
export function insideHome(room: Room, fence: Fence): string {
  if (fence.by === "nothing") return room.folder;
  if (fence.by === "launcher" && !fence.launcher.some((part) => part.includes("{root}"))) return room.folder;
  return "/room";
}

/** The uid that a process of this slot has; null if it is the gateway's own or a launcher's choice. */
export function uidOf(fence: Fence, slot: number): number | null {
  if (fence.by === "user-namespaces") return SHARED_ID;
  if (fence.by !== "root") return null;
  return fence.firstUid === null ? SHARED_ID : fence.firstUid + slot;
}

/** The fence around any command of the room; its paths are seen from inside. */
export function behindFence(room: Room, fence: Fence, slot: number, command: readonly string[]): Command {
  const enter = room.enter === null ? [] : [join(insideHome(room, fence), enterName(room, fence))];
  const inside = [...enter, ...command];
  switch (fence.by) {
    case "root":
      return run([...limits(fence), ...DIES_WITH_PARENT, ...asRoot(room, uidOf(fence, slot)), ...inside]);
    case "user-namespaces":
      return run([...limits(fence), ...DIES_WITH_PARENT, ...asAnybody(room), ...inside]);
    case "launcher": {
      const place = { "{root}": room.root, "{slot}": String(slot) };
      const launcher = fence.launcher.map((part) =>
        part.replace(/\{root\}|\{slot\}/g, (at) => place[at as "{root}"]),
      );
      return run([...launcher, ...inside]);
    }
    case "nothing":
      return run(
        [...(findTool("prlimit") === null ? [] : limits(fence)), ...orphanless(room), ...inside],
        room.folder,
      );
  }
}

/** Where there is no program to enter by, a tool makes the cordon die with its parent. */
function orphanless(room: Room): string[] {
  return room.enter !== null || findTool("setpriv") === null ? [] : [...DIES_WITH_PARENT, "--no-new-privs"];
}

function enterName(room: Room, fence: Fence): string {
  return (fence.filtered ? room.enter?.filtered : room.enter?.plain) ?? "";
}

const DIES_WITH_PARENT = ["setpriv", "--pdeathsig=KILL"];
const NAMESPACES = ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork"];

function limits(fence: Fence): string[] {
  const threads = fence.firstUid === null ? [] : [`--nproc=${MAX_THREADS}`];
  return ["prlimit", `--nofile=${MAX_OPEN_FILES}`, "--core=0", "--fsize=0", ...threads];
}

function asRoot(room: Room, uid: number | null): string[] {
  return ["unshare", ...NAMESPACES, `--root=${room.root}`, "--wd=/", `--setgid=${uid}`, `--setuid=${uid}`];
}

/**
 * Two user namespaces, one in the other: the first may mount, and makes the root directory read-only, because
 * its files belong to the user that cordons are outside; in the second that user is `nobody`.
 */
function asAnybody(room: Room): string[] {
  const nobody = ["--user", `--map-user=${SHARED_ID}`, `--map-group=${SHARED_ID}`];
  return [
    ...["unshare", "--user", "--map-root-user", ...NAMESPACES, "sh", "-c"],
    'mount -o bind,ro,nosuid,nodev "$0" "$0" && exec "$@"',
    ...[room.root, "setpriv", "--pdeathsig=KILL", "unshare", ...nobody, `--root=${room.root}`, "--wd=/"],
  ];
}

function run(words: readonly string[], cwd = "/"): Command {
  const [first = "", ...args] = words;
  return { file: first.startsWith("/") ? first : (findTool(first) ?? first), args, cwd };
}

const TOOL_FOLDERS = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];

export function findTool(name: string): string | null {
  for (const folder of TOOL_FOLDERS) {
    const path = join(folder, name);
    if (existsSync(path)) return path;
  }
  return null;
}
