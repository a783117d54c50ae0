/** The filters of system calls as the kernel applies them, and the program that sets the first of them. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { servingFilter } from "../../../../src/sandbox/fence/seccomp/call-filter.ts";
import { enterProgram } from "../../../../src/sandbox/fence/seccomp/enter-program.ts";
import { sealFile } from "../../../../src/sandbox/fence/seccomp/seal-file.ts";
import { readSealFile, SEAL_FILE } from "../../../../src/sandbox/fence/seccomp/seal-place.ts";
import { NEVER, PROCESSORS, servingCalls } from "../../../../src/sandbox/fence/seccomp/system-calls.ts";

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "gatehouse-filter-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function place(name: string, filtered: boolean): string {
  const path = join(folder, name);
  const program = enterProgram(filtered);
  assert.ok(program, `a program for ${process.arch}`);
  writeFileSync(path, program);
  chmodSync(path, 0o755);
  return path;
}
const filtered = place("enter-filtered", true);
const plain = place("enter", false);
writeFileSync(join(folder, SEAL_FILE), sealFile() ?? "");
const here = new Set(Object.keys(PROCESSORS[process.arch]?.numbers ?? {}));
const REFUSALS = fileURLToPath(new URL("./refusals.ts", import.meta.url));

test("the program becomes the command that it is given, with its arguments and environment", async () => {
  for (const program of [filtered, plain]) {
    const env = { GIVEN: "yes", PATH: "/usr/bin:/bin" };
    const { stdout } = await run(program, ["/bin/sh", "-c", 'echo "$0 $1 $GIVEN"', "one", "two words"], {
      env,
    });
    assert.equal(stdout, "one two words yes\n");
  }
});

test("what cannot be executed ends it with exit code 126", async () => {
  await assert.rejects(run(filtered, [join(folder, "nothing")]), { code: 126 });
});

test("what no cordon is ever granted is refused before Node starts", async () => {
  const names = NEVER.filter((name) => here.has(name));
  const { stdout } = await run(filtered, [
    process.execPath,
    "--no-warnings",
    REFUSALS,
    JSON.stringify(names),
  ]);
  assert.deepEqual(JSON.parse(stdout), []);
  assert.ok(names.length > 60);
});

test("processes and networks cannot be made, threads and local sockets can", async () => {
  const script = `
    const { spawnSync } = require("node:child_process"), { Worker } = require("node:worker_threads");
    const { connect, createServer } = require("node:net");
    const seen = [];
    if (spawnSync("/bin/true").error === undefined) seen.push("a process");
    new Worker("", { eval: true }).once("exit", () => {
      seen.push("a thread");
      createServer().once("error", () => seen.push("no network")).listen(0, "127.0.0.1", () => seen.push("a network"));
      const local = createServer().listen({ path: "\\0gatehouse-" + process.pid }, () => {
        seen.push("a local socket");
        local.close(() => setImmediate(() => console.log(seen.sort().join(", "))));
      });
    });`;
  const { stdout } = await run(filtered, [process.execPath, "-e", script]);
  assert.equal(stdout, "a local socket, a thread, no network\n");
});

test("a sealed process is refused everything but what serving needs", async () => {
  const left = new Set(servingCalls(1).map(({ name }) => name));
  const others =
    "openat connect bind listen accept4 sendto sendmsg socketpair kill tkill execve dup unlinkat truncate";
  const names = [...NEVER.filter((name) => here.has(name)), "socket", "seccomp", ...others.split(" ")];
  assert.deepEqual(
    names.filter((name) => left.has(name)),
    [],
  );
  const args = [process.execPath, "--no-warnings", REFUSALS, JSON.stringify(names), folder];
  const { stdout } = await run(filtered, args);
  assert.deepEqual(JSON.parse(stdout), []);
});

for (const [arch, machine] of [
  ["x64", 62],
  ["arm64", 183],
] as const)
  test(`the program for ${arch} is an executable for it, and names each call of both lists by a number`, () => {
    const program = enterProgram(true, arch);
    assert.equal(program?.toString("latin1", 0, 4), "\x7fELF");
    assert.equal(program?.readUInt16LE(18), machine);
    const numbers = PROCESSORS[arch]?.numbers ?? {};
    const unique = new Set(Object.values(numbers));
    assert.equal(unique.size, Object.keys(numbers).length, "no number stands for two calls");
    // Older calls that the newer processor never had.
    const former = "epoll_wait time poll fork vfork iopl ioperm modify_ldt mknod uselib".split(" ");
    const lacking = [...NEVER, ...servingCalls(1).map(({ name }) => name)].filter(
      (name) => !(name in numbers),
    );
    assert.deepEqual(lacking.sort(), arch === "x64" ? [] : former.sort());
  });

test("on a processor that is not known there is no program and no seal", () => {
  assert.equal(enterProgram(true, "riscv64"), null);
  assert.equal(sealFile("riscv64"), null);
});

for (const arch of ["x64", "arm64"])
  test(`the seal that lies in the room for ${arch} is the serving filter of the process that reads it`, () => {
    const processor = PROCESSORS[arch];
    const file = sealFile(arch);
    assert.ok(processor && file);
    const { call, filter } = readSealFile(file, 4711);
    assert.equal(call, processor.numbers.seccomp);
    assert.deepEqual(filter, servingFilter(processor, 4711));
  });

test("a seal without a place for the process's id is not taken", () => {
  const file = sealFile("x64") as Buffer;
  const filled = Buffer.concat([file.subarray(0, 4), readSealFile(file, 1).filter]);
  assert.throws(() => readSealFile(filled, 2), /0 places for a process id/);
});
