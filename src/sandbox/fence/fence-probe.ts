/**
 * Finds out what fence works here, once, when the gateway starts: a process is started behind each that could,
 * the strongest first, and tries to get out. What the machine is said to be able to do counts for nothing.
 */
import { spawn } from "node:child_process";
import { readlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findCgroup } from "./cgroup.ts";
import { behindFence, type Command, type Fence, findTool, insideHome, SHARED_ID, uidOf } from "./fence.ts";
import { GUEST_UIDS, PROBE_SLOT, uidProblem } from "./guest-users.ts";
import type { Room } from "./room.ts";

export interface FenceWishes {
  /** False leaves the fence down, whatever the machine can do. Default true. */
  readonly allow?: boolean;
  /** Setting `cordon_launcher`. Default none. */
  readonly launcher?: readonly string[];
  /** Setting `cordon_uid_first`. */
  readonly firstUid?: number;
  /** Setting `cordon_cgroup`. Default the gateway's own. */
  readonly cgroup?: string;
}

export const DEFAULT_FIRST_UID = 1_900_000_000;
const PROBE_TIMEOUT_MS = 10_000;

/** What filters there may be, the strongest first. */
const FILTERS = [
  { filtered: true, sealed: true },
  { filtered: true, sealed: false },
  { filtered: false, sealed: false },
];

export async function probeFence(room: Room, wishes: FenceWishes = {}): Promise<Fence> {
  const { allow = true, launcher = [], firstUid = DEFAULT_FIRST_UID, cgroup = "" } = wishes;
  const group = findCgroup(cgroup);
  const root = process.getuid?.() === 0;
  const ways: Fence["by"][] =
    launcher.length > 0 ? ["launcher"] : root ? ["root", "user-namespaces"] : ["user-namespaces"];
  const failures = allow ? [] : ["switched off by the operator"];
  for (const by of allow ? ways : []) {
    const missing = by === "user-namespaces" ? [`a uid for each cordon: ${NEEDS_ROOT}`] : [];
    const problem = by === "root" ? uidProblem(firstUid) : null;
    if (problem !== null) missing.push(`a uid for each cordon: ${problem}; set cordon_uid_first`);
    const uids = by === "root" && problem === null ? firstUid : null;
    const tried = cannot(room, by) ?? (await strongest(room, { by, launcher, firstUid: uids }));
    if (typeof tried !== "string") return described(tried.fence, group, [...missing, ...tried.missing]);
    failures.push(`${BY[by]}: ${tried}`);
  }
  const bare = await strongest(room, { by: "nothing", launcher: [], firstUid: null });
  const fence = typeof bare === "string" ? bareFence : bare.fence;
  const why = failures.join("; ");
  return described(
    { ...fence, inForce: false, why },
    group,
    typeof bare === "string" ? [bare] : bare.missing,
  );
}

const NEEDS_ROOT = "only root can give it";
const BY: Readonly<Record<Fence["by"], string>> = {
  root: "as root",
  "user-namespaces": "by user namespaces",
  launcher: "by cordon_launcher",
  nothing: "without a fence",
};

/** Why it need not be tried; null if it may work. */
function cannot(room: Room, by: Fence["by"]): string | null {
  if (by === "launcher") return null;
  if (process.platform !== "linux") return `there are no namespaces on ${process.platform}`;
  if (room.enter === null) return `cordons cannot be entered on ${process.arch}, only on x64 and arm64`;
  const tools = by === "root" ? ROOT_TOOLS : [...ROOT_TOOLS, "sh", "mount"];
  const missing = tools.filter((tool) => findTool(tool) === null);
  return missing.length === 0 ? null : `the tools ${missing.join(", ")} are missing (util-linux)`;
}

const ROOT_TOOLS = ["setpriv", "unshare", "prlimit"];

type Candidate = Pick<Fence, "by" | "launcher" | "firstUid">;

const bareFence: Fence = {
  ...{ inForce: false, by: "nothing", why: "", means: [], missing: [], firstUid: null },
  ...{ filtered: false, sealed: false, launcher: [], cgroup: null },
};

/** The fence with the strongest filters that held; or what a process without any of them could reach. */
async function strongest(
  room: Room,
  candidate: Candidate,
): Promise<{ fence: Fence; missing: string[] } | string> {
  const said: string[] = [];
  for (const filters of room.enter === null ? FILTERS.slice(2) : FILTERS) {
    const fence: Fence = {
      ...bareFence,
      ...candidate,
      ...filters,
      inForce: candidate.by !== "nothing",
      why: HELD,
    };
    const outcome = await runProbe(probeCommand(room, fence));
    if (outcome === "held") return { fence, missing: missingFilters(fence, said) };
    said.push(outcome);
  }
  return `a process behind the fence did not come up as expected: ${said.at(-1)}${advice(said.at(-1) ?? "")}`;
}

const HELD = "a process was started behind it and could not get out";

function advice(said: string): string {
  return /permission denied|EACCES/i.test(said)
    ? "; the prefix may lie where other users cannot go (a home directory that only its owner may enter): choose " +
        "another `prefix`, or let others pass through the directories above it (chmod o+x)"
    : "";
}

function probeCommand(room: Room, fence: Fence): Command {
  const home = insideHome(room, fence);
  const private_ = join(dirname(room.root), "private");
  writeFileSync(private_, "What a cordon can read of this, it can read of everything here.\n", {
    mode: 0o600,
  });
  return behindFence(room, fence, PROBE_SLOT, [
    ...[join(home, room.node), "--no-warnings", join(home, room.probe)],
    ...[fence.by, String(uidOf(fence, PROBE_SLOT)), fence.sealed ? "sealed" : "open"],
    ...[String(process.pid), ownProcessNamespace(), private_],
  ]);
}

function ownProcessNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "unknown";
  }
}

function missingFilters(fence: Fence, said: readonly string[]): string[] {
  const because = said.length === 0 ? "" : ` (${said.map((one) => one.slice(0, 200)).join("; ")})`;
  if (fence.sealed) return [];
  if (fence.filtered) return [`the filter that leaves only what serving needs${because}`];
  return [`filters of system calls${because}`];
}

/** In words, for the log and `/status`. */
function described(fence: Fence, group: ReturnType<typeof findCgroup>, missing: readonly string[]): Fence {
  const { by, firstUid, filtered, sealed } = fence;
  const namespaced = by === "root" || by === "user-namespaces";
  const last = (firstUid ?? 0) + GUEST_UIDS - 1;
  return {
    ...fence,
    cgroup: "base" in group ? group.base : null,
    missing: "base" in group ? missing : [...missing, `a cgroup for each cordon: ${group.why}`],
    means: [
      ...(namespaced
        ? [
            "own network namespace without interfaces",
            "own process, mount, IPC and host name namespaces",
            "root directory with nothing but the cordon's room and the libraries that it loads",
          ]
        : []),
      ...(by === "root" && firstUid !== null
        ? [`a uid and gid for each cordon, ${firstUid} to ${last}`]
        : []),
      ...(by === "root" && firstUid === null ? [`uid and gid ${SHARED_ID} for all cordons`] : []),
      ...(by === "user-namespaces"
        ? ["no rights of the gateway's user outside the read-only root directory"]
        : []),
      ...(by === "launcher" ? [`the operator's launcher (${fence.launcher[0]})`] : []),
      ...(filtered ? ["system calls for tracing, mounts, namespaces, networks and programs refused"] : []),
      ...("base" in group ? [`a cgroup for each cordon in ${group.base}`] : []),
      ...(sealed ? ["all system calls refused but those that serving needs"] : []),
      "node --permission" +
        (fence.inForce
          ? ""
          : " (Node's own documentation says that it is no boundary against malicious code)"),
    ],
  };
}

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
    child.on("close", (code) => {
      clearTimeout(timer);
      resolve(late ? null : said.trim().slice(0, 500) || `nothing was printed, exit code ${code}`);
    });
  });
}
