/**
 * Escapes that must reach nothing, whatever of the fence is in force: with all of it, without the seal, and
 * without any filter of system calls, when namespaces, root directory, uid and limits hold alone.
 */
import { spawnSync } from "node:child_process";
import { getRawPointer } from "node:ffi";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { Worker } from "node:worker_threads";
import { loopback, systemCall, unixAddress } from "./native.ts";
import type { Escape, Targets } from "./targets.ts";

const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_RDWR = 2;
const O_CREAT = 0o100;
const SIGKILL = 9;
const EINPROGRESS = -115;

const require = createRequire(import.meta.url);

/** The names of those that did not fail. */
function successful(attempts: Record<string, () => unknown>): string[] {
  return Object.entries(attempts).flatMap(([name, run]) => {
    try {
      const result = run();
      return (typeof result === "number" && result < 0) || result === false ? [] : [`${name} (${result})`];
    } catch {
      return [];
    }
  });
}

const open = (path: string, flags: number) => systemCall("openat", AT_FDCWD, path, flags, 0o666);

function outsidePaths({ sentinel, prefix, gatewayPid }: Targets): string[] {
  const up = "../".repeat(20);
  return [
    ...[sentinel, `${up}${sentinel}`, `/room/${up}${sentinel}`, prefix, `${prefix}/cordon/private`],
    ...[
      "/etc/passwd",
      "/etc/shadow",
      "/root",
      "/home",
      "/tmp",
      "/var",
      "/dev/mem",
      "/dev/null",
      "/usr/bin",
      "/bin/sh",
    ],
    ...["/sys", "/proc", "/proc/1/environ", "/proc/self/environ", "/proc/self/mem", "/proc/kcore"],
    ...[`/proc/${gatewayPid}/root${sentinel}`, `/proc/${gatewayPid}/environ`, `/proc/${gatewayPid}/fd`],
    ...["/run", "/sys/fs/cgroup", "/run/systemd/private", "/var/run/docker.sock"],
  ];
}

const readsFiles: Escape = (targets) =>
  outsidePaths(targets).flatMap((path) =>
    successful({
      [`open ${path}`]: () => open(path, O_RDONLY),
      [`read ${path}`]: () => readFileSync(path).length,
      [`list ${path}`]: () => readdirSync(path).length,
      [`know of ${path}`]: () => existsSync(path) && path.startsWith("/etc"),
      [`openat2 ${path}`]: () => systemCall("openat2", AT_FDCWD, path, Buffer.alloc(24), 24),
    }),
  );

const writesFiles: Escape = ({ sentinel, prefix }) =>
  ["/", "/room", "/lib", "/tmp", prefix, "."]
    .flatMap((folder) =>
      successful({
        [`create in ${folder}`]: () => open(`${folder}/escaped`, O_RDWR | O_CREAT),
        [`write to ${folder}`]: () => writeFileSync(`${folder}/escaped`, "x") === undefined,
        [`mkdir in ${folder}`]: () => systemCall("mkdirat", AT_FDCWD, `${folder}/escaped.d`, 0o777),
        [`symlink in ${folder}`]: () =>
          systemCall("symlinkat", "/etc/passwd", AT_FDCWD, `${folder}/escaped.l`),
        [`link in ${folder}`]: () =>
          systemCall("linkat", AT_FDCWD, "/room/node", AT_FDCWD, `${folder}/node2`, 0),
        [`mknod in ${folder}`]: () => systemCall("mknodat", AT_FDCWD, `${folder}/mem`, 0o20666, 0x101),
      }),
    )
    .concat(
      ["/room/isolate.cjs", "/room/node", "/room/package.json", sentinel].flatMap((file) =>
        successful({
          [`write ${file}`]: () => open(file, O_RDWR),
          [`truncate ${file}`]: () => systemCall("truncate", file, 0),
          [`remove ${file}`]: () => systemCall("unlinkat", AT_FDCWD, file, 0),
          [`rename ${file}`]: () => systemCall("renameat2", AT_FDCWD, file, AT_FDCWD, "/room/other", 0),
          [`chmod ${file}`]: () => systemCall("fchmodat", AT_FDCWD, file, 0o777),
          [`chown ${file}`]: () => systemCall("fchownat", AT_FDCWD, file, process.getuid?.() ?? 0, -1, 0),
        }),
      ),
    );

const usesSqlite: Escape = ({ sentinel, prefix }) => {
  const { DatabaseSync } = require("node:sqlite") as typeof import("node:sqlite");
  return [`${sentinel}.db`, sentinel, "/room/escaped.db", `${prefix}/escaped.db`, "/tmp/escaped.db"].flatMap(
    (path) =>
      successful({
        [`database ${path}`]: () => new DatabaseSync(path).exec("create table t(x)") === undefined,
        [`attached ${path}`]: () =>
          new DatabaseSync(":memory:").exec(`attach '${path}' as a; create table a.t(x)`) === undefined,
      }),
  );
};

const AF_UNIX = 1;
const AF_INET = 2;
const STREAM = 1;
const DATAGRAM = 2;

function connected(family: number, type: number, address: Buffer): number {
  const socket = systemCall("socket", family, type, 0);
  return socket < 0 ? socket : systemCall("connect", socket, address, address.length);
}

const opensSockets: Escape = async ({ tcpPort, udpPort, abstractNames, socketPath }) => {
  const unix = [...abstractNames.map((name) => `\0${name}`), `${socketPath}\0`, "/var/run/docker.sock\0"];
  const reached = successful({
    tcp: () => connected(AF_INET, STREAM, loopback(tcpPort)),
    udp: () => {
      const socket = systemCall("socket", AF_INET, DATAGRAM, 0);
      const address = loopback(udpPort);
      return socket < 0 ? socket : systemCall("sendto", socket, "escaped", 7, 0, address, address.length);
    },
    netlink: () => connected(16, 3, Buffer.from([16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])),
    packets: () => systemCall("socket", 17, 3, 0x0300),
    raw: () => systemCall("socket", AF_INET, 3, 1),
    vsock: () => connected(40, STREAM, Buffer.from([40, 0, 0, 0, 0x50, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])),
    ...Object.fromEntries(
      unix.map((path) => [
        `socket ${JSON.stringify(path)}`,
        () => connected(AF_UNIX, STREAM, unixAddress(path)),
      ]),
    ),
  }).filter((one) => !one.endsWith(`(${EINPROGRESS})`));
  const attempt = (to: { host: string; port: number } | { path: string }) =>
    new Promise<string[]>((resolve) => {
      const socket = connect(to, () => resolve([`connect ${JSON.stringify(to)}`]));
      socket.on("error", () => resolve([]));
    });
  const addresses = [
    { host: "127.0.0.1", port: tcpPort },
    { host: "::1", port: tcpPort },
    { host: "169.254.169.254", port: 80 },
    ...abstractNames.map((name) => ({ path: `\0${name}` })),
    { path: socketPath },
  ];
  return [...reached, ...(await Promise.all(addresses.map(attempt))).flat()];
};

const signalsOthers: Escape = ({ gatewayPid, siblingPid }) =>
  [gatewayPid, siblingPid, -gatewayPid, -1, process.ppid].flatMap((pid) =>
    // Signal 0 asks for leave only: if this ever succeeds, the test machine shall survive it.
    successful({
      [`kill ${pid}`]: () => pid !== 0 && systemCall("kill", pid, 0),
      [`process.kill ${pid}`]: () => pid !== 0 && process.kill(pid, 0),
      [`tkill ${pid}`]: () => pid > 0 && systemCall("tkill", pid, 0),
      [`tgkill ${pid}`]: () => pid > 0 && systemCall("tgkill", pid, pid, 0),
      [`sigqueue ${pid}`]: () => pid > 0 && systemCall("rt_sigqueueinfo", pid, 0, Buffer.alloc(128)),
      [`pidfd ${pid}`]: () => pid > 0 && systemCall("pidfd_open", pid, 0),
    }),
  );

const killsSibling: Escape = ({ siblingPid }) =>
  successful({
    kill: () => systemCall("kill", siblingPid, SIGKILL),
    tkill: () => systemCall("tkill", siblingPid, SIGKILL),
  });

const tracesOthers: Escape = ({ gatewayPid, siblingPid }) =>
  [gatewayPid, siblingPid].flatMap((pid) => {
    const memory = Buffer.alloc(64);
    const here = Buffer.alloc(16);
    const there = Buffer.alloc(16);
    there.writeBigUInt64LE(0x400000n, 0);
    there.writeBigUInt64LE(64n, 8);
    here.writeBigUInt64LE(64n, 8);
    return successful({
      [`attach to ${pid}`]: () => systemCall("ptrace", 16, pid, 0, 0),
      [`seize ${pid}`]: () => systemCall("ptrace", 0x4206, pid, 0, 0),
      [`read memory of ${pid}`]: () => systemCall("process_vm_readv", pid, here, 1, there, 1, 0),
      [`write memory of ${pid}`]: () => systemCall("process_vm_writev", pid, here, 1, there, 1, 0),
      [`open memory of ${pid}`]: () => open(`/proc/${pid}/mem`, O_RDWR),
      [`read environment of ${pid}`]: () => open(`/proc/${pid}/environ`, O_RDONLY),
      [`take a descriptor of ${pid}`]: () => systemCall("pidfd_getfd", pid, 3, 0),
      [`limit ${pid}`]: () => systemCall("prlimit64", pid, 7, memory, 0),
      [`slow ${pid} down`]: () => systemCall("setpriority", 0, pid, 19),
      [`move ${pid}`]: () => systemCall("sched_setaffinity", pid, 8, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0])),
    });
  });

const startsPrograms: Escape = () =>
  ["/bin/sh", "/usr/bin/id", "/bin/true", "/usr/bin/mount"].flatMap((program) =>
    successful({
      [`exec ${program}`]: () => systemCall("execve", program, Buffer.alloc(8), Buffer.alloc(8)),
      [`spawn ${program}`]: () => spawnSync(program, ["-c", "exit 0"]).status === 0,
    }),
  );

const becomesRoot: Escape = () =>
  successful({
    setuid: () => systemCall("setuid", 0),
    setgid: () => systemCall("setgid", 0),
    setresuid: () => systemCall("setresuid", 0, 0, 0),
    "another cordon's uid": () => systemCall("setuid", (process.getuid?.() ?? 0) + 1),
    setgroups: () => systemCall("setgroups", 1, Buffer.alloc(4)),
    capset: () => systemCall("capset", capabilityHeader(), Buffer.alloc(24, 0xff)),
    "a user namespace": () => systemCall("unshare", 0x10000000),
    "a mount namespace": () => systemCall("unshare", 0x00020000),
    "the gateway's namespaces": () => systemCall("setns", 3, 0),
    mount: () => systemCall("mount", "none", "/room", "tmpfs", 0, 0),
    umount: () => systemCall("umount2", "/", 2),
    chroot: () => systemCall("chroot", "/room"),
    pivot_root: () => systemCall("pivot_root", "/room", "/room"),
    fsopen: () => systemCall("fsopen", "tmpfs", 0),
    "a file by its handle": () => systemCall("open_by_handle_at", 3, Buffer.alloc(16), 0),
    reboot: () => systemCall("reboot", 0xfee1dead, 672274793, 0, 0),
    "a kernel module": () => systemCall("init_module", Buffer.alloc(8), 8, ""),
    kexec: () => systemCall("kexec_load", 0, 0, 0, 0),
    sethostname: () => systemCall("sethostname", "escaped", 7),
    settimeofday: () => systemCall("settimeofday", Buffer.alloc(16), 0),
    swapon: () => systemCall("swapon", "/room/node", 0),
    acct: () => systemCall("acct", "/room/node"),
    "the kernel's log": () => systemCall("syslog", 3, Buffer.alloc(100), 100),
    "more files": () => raised(7),
    "larger files": () => raised(1),
    "a core": () => raised(4),
  });

function capabilityHeader(): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(0x20080522);
  return header;
}

/** Raises the hard limit of a resource. */
function raised(resource: number): number {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(100_000n, 0);
  limit.writeBigUInt64LE(100_000n, 8);
  return systemCall("prlimit64", 0, resource, limit, 0);
}

const findsSecrets: Escape = ({ secret }) => {
  const seen = JSON.stringify([process.env, process.argv, process.execArgv, process.title, process.cwd()]);
  return [
    ...(seen.includes(secret) ? ["the gateway's environment"] : []),
    ...Object.keys(process.env)
      .filter((name) => !["PWD", "OLDPWD", "SHLVL", "_"].includes(name))
      .map((name) => `the variable ${name}`),
    ...(process.cwd() === "/" ? [] : [`the directory ${process.cwd()}`]),
  ];
};

/**
 * A descriptor over its socket, beside bytes that are no frame: `struct msghdr` with SCM_RIGHTS. Where the call
 * is refused nothing is sent, and the gateway gets the answer.
 */
const sendsDescriptors: Escape = () => {
  const control = Buffer.alloc(24);
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(1, 8); // SOL_SOCKET
  control.writeInt32LE(1, 12); // SCM_RIGHTS
  control.writeInt32LE(2, 16);
  const nonsense = Buffer.alloc(64, 0xff);
  const part = Buffer.alloc(16);
  part.writeBigUInt64LE(getRawPointer(nonsense), 0);
  part.writeBigUInt64LE(64n, 8);
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(getRawPointer(part), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(getRawPointer(control), 32);
  message.writeBigUInt64LE(24n, 40);
  for (let i = 0; i < 100; i++) systemCall("sendmsg", 3, message, 0);
  return [];
};

const fillsDescriptors: Escape = () => {
  let count = 0;
  while (count < 5000 && systemCall("dup", 0) >= 0) count++;
  let events = 0;
  while (events < 5000 && systemCall("eventfd2", 0, 0) >= 0) events++;
  return count + events > 256 ? [`${count} + ${events} descriptors`] : [];
};

const MOST_PROCESSES = 200;

/** Children that wait for ever. Each is a copy of this very program, which goes on where it was copied. */
const bombsWithForks: Escape = () => {
  let count = 0;
  for (; count < 2000; count++) {
    const child = systemCall("clone", 17, 0, 0, 0, 0); // SIGCHLD
    if (child === 0) for (;;) systemCall("ppoll", 0, 0, 0, 0, 0);
    if (child < 0) break;
  }
  return count > MOST_PROCESSES ? [`${count} processes`] : [];
};

const bombsWithThreads: Escape = async () => {
  let count = 0;
  const start = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker("setInterval(() => {}, 1e6)", { eval: true });
      worker.once("online", resolve);
      worker.once("error", reject);
    });
  try {
    for (; count < 2000; count++) await start();
  } catch {
    // The next one could not be started.
  }
  return count > MOST_PROCESSES ? [`${count} threads`] : [];
};

const bombsWithMemory: Escape = () => {
  const kept: Buffer[] = [];
  for (let i = 0; i < 64; i++) kept.push(Buffer.alloc(64 * 1024 * 1024, 1));
  return [`${kept.length * 64} MiB`];
};

const floodsItsStderr: Escape = () => {
  const line = `${"x".repeat(65_535)}\n`;
  for (let i = 0; i < 200; i++) systemCall("write", 2, line, line.length);
  return [];
};

const loopsForEver: Escape = () => {
  for (;;) systemCall("getpid");
};

const dumpsItsCore: Escape = () => process.abort();

const exits: Escape = () => process.exit(3);

/** Would live on when the gateway dies. */
const outlives: Escape = () =>
  successful({
    "no death with its parent": () => systemCall("prctl", 1, 0, 0, 0, 0),
    "another signal at its parent's death": () => systemCall("prctl", 1, 17, 0, 0, 0),
  });

export interface Row {
  readonly name: string;
  readonly run: Escape;
  /** Failures that may be reported for it; without any, it must be answered, and have reached nothing. */
  readonly kinds?: readonly string[];
  /** Does no harm where nothing holds it: tried without a fence too, where it must reach something. */
  readonly harmless?: true;
  readonly wallMs?: number;
  /** Held by filters of system calls alone. */
  readonly filtersHold?: true;
}

const ENDS = ["crashed", "deadline", "memory", "violation"];

export const ESCAPES: readonly Row[] = [
  { harmless: true, name: "reads files", run: readsFiles },
  { name: "writes files", run: writesFiles },
  { harmless: true, name: "opens databases", run: usesSqlite },
  { harmless: true, name: "opens sockets", run: opensSockets },
  { harmless: true, name: "signals others", run: signalsOthers },
  { name: "kills a sibling", run: killsSibling },
  { name: "traces others", run: tracesOthers },
  { name: "starts programs", run: startsPrograms },
  { name: "becomes root", run: becomesRoot },
  { name: "finds secrets", run: findsSecrets },
  { name: "sends descriptors", run: sendsDescriptors, kinds: ["violation"] },
  { name: "fills its descriptors", run: fillsDescriptors },
  { name: "outlives its parent", run: outlives, filtersHold: true },
  { name: "bombs with forks", run: bombsWithForks, kinds: ENDS },
  { name: "bombs with threads", run: bombsWithThreads, kinds: ENDS },
  { name: "bombs with memory", run: bombsWithMemory, kinds: ENDS },
  { name: "floods its stderr", run: floodsItsStderr, kinds: ENDS },
  { name: "loops for ever", run: loopsForEver, kinds: ["deadline"], wallMs: 300 },
  { name: "dumps its core", run: dumpsItsCore, kinds: ["crashed"] },
  { name: "exits", run: exits, kinds: ["crashed"] },
  { name: "behaves", run: () => [] },
];
