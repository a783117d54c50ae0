/** The ways to a fence besides the gateway's own as root, and what a cordon behind it is allowed. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Cgroup, findCgroup } from "../../../src/sandbox/fence/cgroup.ts";
import type { Fence } from "../../../src/sandbox/fence/fence.ts";
import { DEFAULT_FIRST_UID, type FenceWishes, probeFence } from "../../../src/sandbox/fence/fence-probe.ts";
import { GUEST_UIDS, uidProblem } from "../../../src/sandbox/fence/guest-users.ts";
import { prepareRoom } from "../../../src/sandbox/fence/room.ts";
import { requireProgram } from "../../support/services.ts";
import { MemoryContext } from "../context.ts";
import {
  accessPlugin,
  bundleSource,
  isAlive,
  pidOf,
  place,
  RecordingHost,
  settings,
  startSandbox,
} from "../sandbox.ts";

const isRoot = process.getuid?.() === 0;
const SOMEBODY = 4242;
const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const ELSEWHERE = fileURLToPath(new URL("./fence-elsewhere.ts", import.meta.url));

const AS_SOMEBODY = ["setpriv", `--reuid=${SOMEBODY}`, `--regid=${SOMEBODY}`, "--clear-groups"] as const;

/** The fence that a gateway finds whose user is not root, and the status that a guest behind it replied. */
async function asSomebody(wishes: FenceWishes = {}): Promise<{ fence: Fence; answered: number }> {
  const prefix = mkdtempSync(join(tmpdir(), "gatehouse-somebody-"));
  const tree = mkdtempSync(join(tmpdir(), "gatehouse-tree-"));
  try {
    return JSON.parse((await commandOfSomebody(prefix, tree, JSON.stringify(wishes))).stdout);
  } finally {
    rmSync(prefix, { recursive: true, force: true });
    rmdirSync(tree);
  }
}

async function commandOfSomebody(prefix: string, tree: string, wishes: string): Promise<{ stdout: string }> {
  const args = [ELSEWHERE, prefix, wishes];
  if (!isRoot) return run(process.execPath, args);
  chownSync(prefix, SOMEBODY, SOMEBODY);
  const isOpen = await run(AS_SOMEBODY[0], [...AS_SOMEBODY.slice(1), "test", "-r", ELSEWHERE]).then(
    () => true,
    () => false,
  );
  if (isOpen) return run(AS_SOMEBODY[0], [...AS_SOMEBODY.slice(1), process.execPath, ...args]);
  // The checkout lies where only root may enter: this one command sees it somewhere else as well.
  chmodSync(tree, 0o755);
  const there = (path: string) => path.replace(ROOT, `${tree}/`);
  const mount = [
    "--mount",
    "sh",
    "-c",
    'mount --bind "$0" "$1" && cd "$1" && shift && exec "$@"',
    ROOT,
    tree,
  ];
  return run("unshare", [...mount, ...AS_SOMEBODY, ...[process.execPath, ...args].map(there)]);
}

/** Whether this kernel lets anybody make user namespaces. */
async function hasUserNamespaces(): Promise<boolean> {
  const command = ["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "true"];
  const [program = "", ...args] = isRoot ? [...AS_SOMEBODY, "unshare", ...command] : ["unshare", ...command];
  return run(program, args).then(
    () => true,
    () => false,
  );
}

test("without root the fence is made of user namespaces, or told not to be in force", async () => {
  const { fence, answered } = await asSomebody();
  assert.equal(answered, 207);
  if (await hasUserNamespaces()) {
    assert.deepEqual([fence.inForce, fence.by], [true, "user-namespaces"], fence.why);
    assert.match(fence.missing[0] ?? "", /a uid for each cordon/);
  } else {
    assert.deepEqual([fence.inForce, fence.by], [false, "nothing"]);
    assert.match(fence.why, /by user namespaces: /);
  }
});

const BUBBLEWRAP =
  "--unshare-all --die-with-parent --new-session --uid 65534 --gid 65534 --ro-bind {root} / --chdir /";

test("the operator's launcher makes the fence, and what it starts is killed and reaped like any cordon", async () => {
  const launcher = [requireProgram("bwrap"), ...BUBBLEWRAP.split(" ")];
  if (!isRoot && !(await hasUserNamespaces())) return; // bubblewrap needs the one or the other
  const { room } = await place();
  const fence = await probeFence(room, { launcher });
  assert.deepEqual([fence.inForce, fence.by, fence.sealed], [true, "launcher", true], fence.why);
  const sandbox = await startSandbox({ room, fence });
  const stuck = settings(await bundleSource(accessPlugin("for (;;) Array(1e9).fill(0);")));
  await assert.rejects(
    async () => sandbox.client.hooks(stuck, new RecordingHost()).access?.(new MemoryContext()),
    {
      failure: /timeout|deadline|memory/,
    },
  );
  const pids = sandbox.supervisor.status().cordons.flatMap(({ pid }) => pid ?? []);
  await sandbox.close();
  for (const pid of pids) assert.equal(existsSync(`/proc/${pid}`), false, `${pid} is left`);
});

for (const by of ["user-namespaces", "launcher"] as const)
  test(`cordons that are fenced by ${by} die with a gateway that is killed`, async () => {
    const launcher = [requireProgram("bwrap"), ...BUBBLEWRAP.split(" ")];
    const { room, fence } = await place();
    const other: Fence =
      by === "launcher" ? await probeFence(room, { launcher }) : { ...fence, by, firstUid: null };
    if (!other.inForce) return; // what is made here is asserted above
    const script = fileURLToPath(new URL("../supervisor/orphan-maker.ts", import.meta.url));
    const child = spawn(process.execPath, [script, JSON.stringify({ room, fence: other })], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface(child.stdout);
    const [line] = (await once(lines, "line")) as [string];
    const pids: number[] = JSON.parse(line);
    assert.ok(pids.length >= 2);
    child.kill("SIGKILL");
    await once(child, "exit");
    for (const pid of pids) while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 5));
  });

for (const [what, launcher, why] of [
  ["holds nothing", ["/usr/bin/env"], /by cordon_launcher: .*it reaches .*the gateway's process/],
  ["is not there", ["/usr/bin/no-such-launcher"], /by cordon_launcher: .*ENOENT/],
  ["fails", ["/bin/false"], /by cordon_launcher: .*exit code 1/],
] as const)
  test(`a launcher that ${what} is no fence, and the gateway's own does not stand in for it`, async () => {
    const fence = await probeFence((await place()).room, { launcher });
    assert.deepEqual([fence.inForce, fence.by], [false, "nothing"]);
    assert.match(fence.why, why);
  });

test("a prefix in a home that only its owner may enter is no hindrance", async () => {
  const home = mkdtempSync(join(tmpdir(), "gatehouse-home-"));
  try {
    chmodSync(home, 0o700);
    const prefix = join(home, "prefix");
    mkdirSync(prefix, { mode: 0o700 });
    const fence = await probeFence(await prepareRoom(prefix, ["isolate"]));
    assert.equal(fence.inForce, isRoot || (await hasUserNamespaces()), fence.why);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test("each cordon has a uid of its own, no capability, no way to new ones, and narrow limits", async () => {
  const { room, fence } = await place();
  if (fence.by !== "root") return;
  const sandbox = await startSandbox({ room, fence });
  try {
    const good = await bundleSource(accessPlugin("return reply(200);"));
    const seen = new Set<string>();
    for (const workspace of ["one", "two"]) {
      const limits = { wallMs: 10_000, cpuMs: 1000 };
      await sandbox.client
        .hooks(settings(good, { workspace, limits }), new RecordingHost())
        .access?.(new MemoryContext());
      const pid = await pidOf(sandbox, workspace);
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      const field = (name: string) =>
        new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1]?.trim() ?? "";
      const [uid = "", ...others] = field("Uid").split(/\s+/);
      assert.deepEqual([...new Set(others)], [uid]);
      assert.deepEqual(field("Gid").split(/\s+/), [uid, uid, uid, uid]);
      assert.ok(Number(uid) >= DEFAULT_FIRST_UID && Number(uid) < DEFAULT_FIRST_UID + GUEST_UIDS);
      seen.add(uid);
      assert.equal(field("Groups"), "");
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapAmb"]) assert.match(field(set), /^0+$/);
      assert.deepEqual([field("NoNewPrivs"), field("Seccomp"), field("Seccomp_filters")], ["1", "2", "2"]);
      const limitsText = readFileSync(`/proc/${pid}/limits`, "utf8");
      const hard = (name: string) => new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, "m").exec(limitsText)?.[2];
      assert.deepEqual(["Max open files", "Max core file size", "Max file size"].map(hard), [
        "256",
        "0",
        "0",
      ]);
      assert.ok(Number(hard("Max processes")) < 1000);
    }
    assert.equal(seen.size, 2);
  } finally {
    await sandbox.close();
  }
});

const FREE = { "/proc/self/uid_map": "0 0 4294967295\n", "/proc/self/gid_map": "0 0 4294967295\n" };
const COLLISIONS: [string, Record<string, string>, RegExp | null][] = [
  ["nobody has them", FREE, null],
  [
    "a user has one of them",
    { ...FREE, "/etc/passwd": "ada:x:5003:5003::/:/bin/sh\n" },
    /user ada has id 5003/,
  ],
  ["a user has the one before", { ...FREE, "/etc/passwd": "ada:x:4999:4999::/:/bin/sh\n" }, null],
  ["a group has the last", { ...FREE, "/etc/group": `g:x:${5000 + GUEST_UIDS - 1}:\n` }, /group g has id/],
  [
    "containers may use them",
    { ...FREE, "/etc/subuid": "ada:4000:65536\n" },
    /subuid gives ada the ids from 4000/,
  ],
  [
    "this user namespace lacks them",
    { ...FREE, "/proc/self/uid_map": "0 1000 1\n1 100000 4000\n" },
    /do not exist/,
  ],
];
for (const [what, files, problem] of COLLISIONS)
  test(`uids from 5000 on are ${problem === null ? "taken" : "left alone"} if ${what}`, () => {
    const found = uidProblem(5000, (path) => files[path] ?? "");
    if (problem === null) assert.equal(found, null);
    else assert.match(found ?? "", problem);
  });

test("uids that somebody has are not used: cordons then share one, and the reason is told", async () => {
  const { room } = await place();
  if (!isRoot) return;
  const fence = await probeFence(room, { firstUid: 65_000 }); // `nobody` is in this range
  assert.deepEqual([fence.inForce, fence.firstUid], [true, null]);
  assert.match(fence.missing[0] ?? "", /a uid for each cordon: user nobody has id 65534.*cordon_uid_first/);
});

test("where cordons can have no cgroup the reason is told; where they can, each is put into its own", async () => {
  const found = findCgroup("");
  if ("why" in found) assert.match(found.why, /cgroup|memory|EROFS|EACCES|ENOENT/);
  assert.match((findCgroup("/no/such/cgroup") as { why: string }).why, /ENOENT/);
  const mount = /^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 /m.exec(
    readFileSync("/proc/self/mountinfo", "utf8"),
  )?.[1];
  const base = "base" in found ? found.base : mount;
  if (base === undefined || !isRoot) return;
  const { room, fence } = await place();
  const sandbox = await startSandbox({ room, fence: { ...fence, cgroup: base } });
  const guest = settings(await bundleSource(accessPlugin("return reply(200);")));
  await sandbox.client.hooks(guest, new RecordingHost()).access?.(new MemoryContext());
  const pid = await pidOf(sandbox, "default");
  const cordon = sandbox.supervisor.status().cordons.find((one) => one.pid === pid);
  const path = join(base, `gatehouse-${process.pid}-${cordon?.id}`);
  assert.ok(readFileSync(join(path, "cgroup.procs"), "utf8").split("\n").includes(String(pid)));
  await sandbox.close();
  while (existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5));
  new Cgroup("/no/such/cgroup", 1, 1).take(process.pid); // says nothing: the fence does not stand on it
});
