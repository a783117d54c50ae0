/**
 * What a process behind the fence can reach when nothing of Node or V8 holds it any more: it runs without
 * the permission model, as native code would. And what becomes of a cordon that speaks nonsense.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import type { Reply } from "@gatehouse/sdk";
import { behindFence } from "../../../src/sandbox/fence/fence.ts";
import { probeFence } from "../../../src/sandbox/fence/fence-probe.ts";
import { FROM_CORDON, readyFrame, turnFrame } from "../../../src/sandbox/protocol/frames.ts";
import { frame } from "../../../src/sandbox/protocol/wire.ts";
import { MemoryContext } from "../context.ts";
import {
  accessPlugin,
  bundleSource,
  cordonRunning,
  PATIENT,
  place,
  RecordingHost,
  settings,
  startSandbox,
} from "../sandbox.ts";

test("the fence is in force as root, and says honestly why it is not", async () => {
  const { room, fence } = await place();
  const isRoot = process.getuid?.() === 0;
  assert.equal(fence.inForce, isRoot, fence.why);
  const without = await probeFence(room, { allow: false });
  assert.equal(without.inForce, false);
  assert.match(without.why, /switched off/);
  assert.match(without.means.at(-1) ?? "", /no boundary/);
});

/** Does no harm where it succeeds: it asks for access, sends signal 0, and mounts over the room only. */
const ESCAPED = `
const fs = require("node:fs"), net = require("node:net"), [, parent, sibling, port, secret] = process.argv;
const reached = [];
const attempt = (what, run) => { try { if (run() !== false) reached.push(what); } catch {} };
for (const path of ["/etc/passwd", "/etc/shadow", "/root", "/home", "/tmp", "/var", "/sys", "/dev/mem", secret])
  attempt(path, () => fs.accessSync(path));
attempt("environment", () => Object.keys(process.env).filter((name) => name !== "PWD" && name !== "OLDPWD" && name !== "_" && name !== "SHLVL").length > 0);
for (const pid of [parent, sibling, process.ppid])
  attempt("signal " + pid, () => Number(pid) > 0 && process.kill(Number(pid), 0));
attempt("other processes", () => fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && name !== "1").length > 0);
for (const folder of ["/room", "/usr", "/proc", "/"]) attempt("write " + folder, () => fs.accessSync(folder, fs.constants.W_OK));
attempt("sqlite", () => { const { DatabaseSync } = require("node:sqlite"); new DatabaseSync("/room/x.db").exec("create table t(x)"); });
attempt("root", () => process.setuid(0));
attempt("mount", () => require("node:child_process").execFileSync("/usr/bin/mount", ["-t", "tmpfs", "none", "/room"], { stdio: "ignore" }));
attempt("unshare", () => require("node:child_process").execFileSync("/usr/bin/unshare", ["-Um", "/usr/bin/true"], { stdio: "ignore" }) && false);
const connection = (to) => new Promise((done) => {
  const socket = net.connect(to, () => { reached.push("connect " + JSON.stringify(to)); socket.destroy(); done(); });
  socket.on("error", () => done());
});
Promise.all([connection({ host: "127.0.0.1", port: Number(port) }), connection({ host: "169.254.169.254", port: 80 }),
  connection({ path: "\\0gatehouse-fence-test" })]).then(() => console.log(JSON.stringify(reached)));
`;

test("escaped code reaches no file, process, network or other room", async (t) => {
  const { room, fence } = await place();
  if (!fence.inForce) {
    // Without root there is no fence to test; that this is said is asserted above.
    assert.notEqual(process.getuid?.(), 0);
    return;
  }
  const tcp = createServer().listen(0, "127.0.0.1");
  const abstract = createServer().listen({ path: "\0gatehouse-fence-test" });
  const sibling = spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"]);
  t.after(() => {
    tcp.close();
    abstract.close();
    sibling.kill("SIGKILL");
  });
  await Promise.all([once(tcp, "listening"), once(abstract, "listening"), once(sibling, "spawn")]);
  const { port } = tcp.address() as AddressInfo;
  const command = behindFence(room, fence, 7, [
    "/room/node",
    "-e",
    ESCAPED,
    String(process.pid),
    String(sibling.pid),
    String(port),
    join(room.folder, room.entries.isolate),
  ]);
  const child = spawn(command.file, [...command.args], { env: {}, cwd: command.cwd });
  const [said, complaint] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.deepEqual(JSON.parse(said || `"${complaint}"`), []);
});

const emptyTurn = turnFrame(0, {
  kind: "verdict",
  verdict: {},
  hostCalls: [],
  usage: { cpuMicros: 1, fuel: 0, memoryBytes: 1 },
});
const NONSENSE: [string, string][] = [
  ["random bytes", JSON.stringify("\x01\x02\x03\x04 something else altogether")],
  ["a frame of 4 GiB", JSON.stringify("\xff\xff\xff\xff\0\0\0\0\0")],
  ["the answer of another call", JSON.stringify(emptyTurn)],
  ["a second readiness", JSON.stringify(readyFrame())],
  ["a batch that nobody sent", JSON.stringify(frame(0, FROM_CORDON.batch, "\xff\xff"))],
  ["a frame of an unknown type", JSON.stringify(frame(0, 99, ""))],
];
for (const [what, bytes] of NONSENSE)
  test(`a cordon that sends ${what} is killed, and its call fails as a violation`, async () => {
    const sandbox = await cordonRunning(`send(${bytes});`);
    try {
      const hooks = sandbox.client.hooks(
        settings(await bundleSource(accessPlugin(`return reply(200);`)), { name: "taken" }),
        new RecordingHost(),
      );
      await assert.rejects(async () => hooks.access?.(new MemoryContext()), { failure: "violation" });
      const death = sandbox.log.find((line) => line.message === "a cordon died");
      assert.deepEqual([death?.fields.plugin, death?.fields.kind], ["taken", "violation"]);
    } finally {
      await sandbox.close();
    }
  });

test("a cordon that answers every call with a forged identity fails the call", async () => {
  const forged = turnFrame(1, {
    kind: "verdict",
    verdict: { authenticated: { consumer: "c-1", credential: null } },
    hostCalls: [],
    usage: { cpuMicros: 1, fuel: 0, memoryBytes: 1 },
  });
  const sandbox = await cordonRunning(`send(${JSON.stringify(forged)});`);
  try {
    const hooks = sandbox.client.hooks(
      settings(await bundleSource(accessPlugin(`return reply(200);`))),
      new RecordingHost(),
    );
    const ctx = new MemoryContext();
    await assert.rejects(async () => hooks.access?.(ctx), { failure: "violation" });
    assert.equal(ctx.consumer, null);
  } finally {
    await sandbox.close();
  }
});

test("a stranger that guesses a data thread's socket, but not a token, is not spoken to", async () => {
  const sandbox = await startSandbox();
  try {
    const names = [...readFileSync("/proc/net/unix", "latin1").matchAll(/@(gatehouse-[0-9a-f]{48})$/gm)];
    assert.ok(names.length > 0);
    const strangers = names.map(([, name]) => connect({ path: `\0${name}` }));
    let heard = 0;
    for (const stranger of strangers) {
      stranger.on("data", () => heard++);
      stranger.on("error", () => {});
      stranger.write("0".repeat(64) + readyFrame(), "latin1");
    }
    const hooks = sandbox.client.hooks(
      settings(await bundleSource(accessPlugin(`return reply(201);`)), { limits: PATIENT }),
      new RecordingHost(),
    );
    const reply = (await hooks.access?.(new MemoryContext())) as Reply | undefined;
    assert.equal(reply?.status, 201);
    assert.equal(heard, 0);
    for (const stranger of strangers) stranger.destroy();
  } finally {
    await sandbox.close();
  }
});
