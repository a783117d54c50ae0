/** Cordons that die, in whatever state they are: what becomes of the calls, and that no process stays. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { FetchRequest, Hooks } from "@gatehouse/sdk";
import { turnFrame } from "../../src/sandbox/protocol/frames.ts";
import { UNEXPLAINED } from "../../src/sandbox/supervisor/unexplained.ts";
import { descendants, type ProcessEntry, processEntry } from "../gateway/processes.ts";
import { MemoryContext } from "./context.ts";
import {
  accessPlugin,
  bundleSource,
  cordonRunning,
  type GuestParts,
  PATIENT,
  place,
  RecordingHost,
  type Sandbox,
  settings,
  startSandbox,
} from "./sandbox.ts";

const GOOD = `ctx.request.headers.set("X-Good", "yes");`;
/** Between two looks at processes, which nobody announces. */
const LOOK_MS = 5;
const ENDLESS = { wallMs: 60_000, cpuMs: 60_000 };

async function guest(sandbox: Sandbox, body: string, parts: GuestParts, host = new RecordingHost()) {
  return sandbox.client.hooks(settings(await bundleSource(accessPlugin(body)), parts), host);
}

async function isGood(hooks: Hooks): Promise<boolean> {
  const ctx = new MemoryContext();
  await hooks.access?.(ctx);
  return ctx.request.headers.get("x-good") === "yes";
}

/** Waits for the kernel to be done with these processes, zombies included. */
async function gone(entries: readonly ProcessEntry[]): Promise<void> {
  const stays = ({ pid, startedAt }: ProcessEntry) => processEntry(pid)?.startedAt === startedAt;
  while (entries.some(stays)) await delay(LOOK_MS);
}

/** Everything that was started under this process but for the bundler's service, which comes and goes. */
function family(): ProcessEntry[] {
  return descendants(process.pid).filter(({ pid }) => !commandOf(pid).includes("esbuild"));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return "";
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Sends requests that nobody answers. */
class SendingHost extends RecordingHost {
  readonly signals: (AbortSignal | undefined)[] = [];
  override fetch(_request: FetchRequest, signal?: AbortSignal): Promise<never> {
    this.signals.push(signal);
    return new Promise(() => {});
  }
}

test("what a guest has sent is aborted when its call ends, well or not", async () => {
  const sandbox = await startSandbox();
  try {
    const host = new SendingHost();
    const parts = { grants: { httpHosts: ["api.test"] } };
    const send = `host.fetch({ url: "https://api.test/" })`;
    const left = await guest(
      sandbox,
      `void ${send}; ${GOOD}`,
      { name: "left", ...parts, limits: PATIENT },
      host,
    );
    assert.ok(await isGood(left));
    const late = await guest(
      sandbox,
      `await ${send};`,
      { name: "late", ...parts, limits: { wallMs: 20 } },
      host,
    );
    await assert.rejects(async () => late.access?.(new MemoryContext()), { failure: "deadline" });
    assert.deepEqual(
      host.signals.map((signal) => signal?.aborted),
      [true, true],
    );
  } finally {
    await sandbox.close();
  }
});

interface State {
  /** What the cordon is at when it is killed. */
  readonly state: string;
  /** Body of an access hook that is called before; absent if no call is open. */
  readonly body?: string;
  readonly parts?: GuestParts;
  /** Whether the call that is open has ended otherwise, or how it fails. */
  readonly failure?: string;
}

/** Never answers. */
class SilentHost extends RecordingHost {
  override findConsumer(): Promise<never> {
    return new Promise(() => {});
  }
}

const STATES: State[] = [
  { state: "is idle" },
  { state: "is in a loop", body: "for (;;);", parts: { limits: ENDLESS }, failure: "crashed" },
  {
    state: "waits for a host call",
    body: `await host.findConsumer("c-1");`,
    parts: { limits: ENDLESS, grants: { consumer: true } },
    failure: "crashed",
  },
  {
    state: "allocates",
    body: `const all = []; for (;;) { all.push(new Array(1000).fill(all.length)); if (all.length > 500) all.length = 0; }`,
    parts: { limits: ENDLESS },
    failure: "crashed",
  },
];
for (const { state, body, parts, failure } of STATES)
  test(`a cordon that is killed while it ${state} is replaced, and nothing of it stays`, async () => {
    const sandbox = await startSandbox({ spares: 0 });
    try {
      const good = await guest(sandbox, GOOD, { name: "good", limits: PATIENT });
      assert.ok(await isGood(good));
      const pid = sandbox.supervisor.status().cordons[0]?.pid as number;
      const processes = family();
      let end: Promise<unknown> = Promise.resolve();
      if (body !== undefined) {
        const busy = await guest(sandbox, body, { name: "busy", ...parts }, new SilentHost());
        end = Promise.resolve(busy.access?.(new MemoryContext()));
        end.catch(() => {});
        while ((sandbox.supervisor.status().cordons[0]?.calls ?? 0) < 2) await delay(LOOK_MS);
      }
      const known = once(sandbox.events, "gone");
      kill(pid);
      if (failure === undefined) await end;
      else await assert.rejects(end, { failure });
      await known;
      assert.ok(await isGood(good));
      await gone(processes);
      assert.deepEqual(sandbox.supervisor.status().heldBack, []);
    } finally {
      await sandbox.close();
    }
    await gone(family());
  });

test("a cordon that is killed while it starts is started again, and its calls do not notice", async () => {
  const sandbox = await startSandbox({ spares: 0 });
  try {
    const good = await guest(sandbox, GOOD, { limits: PATIENT });
    const calls = Array.from({ length: 20 }, () => isGood(good));
    // It is killed as early as it can be seen: once it is ready its first call may have begun.
    while (family().length === 0) await new Promise(setImmediate);
    const processes = family();
    assert.deepEqual(
      sandbox.supervisor.status().cordons.map(({ pid }) => pid),
      [null],
    );
    for (const { pid } of processes) kill(pid);
    assert.deepEqual(await Promise.all(calls), Array(20).fill(true));
    await gone(processes);
  } finally {
    await sandbox.close();
  }
  await gone(family());
});

test("a spare that is killed is replaced, and a workspace's first call does not notice", async () => {
  const sandbox = await startSandbox({ warm: ["isolate"] });
  const spare = () => sandbox.supervisor.status().cordons.find(({ pid }) => pid !== null)?.pid;
  try {
    const good = await guest(sandbox, GOOD, { limits: PATIENT });
    while (spare() === undefined) await delay(LOOK_MS);
    const first = spare() as number;
    const known = once(sandbox.events, "gone");
    kill(first);
    await known;
    assert.ok(await isGood(good));
    const used = spare();
    assert.notEqual(used, first);
    while (!sandbox.supervisor.status().cordons.some((one) => one.workspace === null && one.pid !== null))
      await delay(LOOK_MS);
  } finally {
    await sandbox.close();
  }
  await gone(family());
});

test("a cordon that dies in the middle of a frame fails the call that ran, and no other", async () => {
  const half = turnFrame(1, {
    kind: "verdict",
    verdict: {},
    hostCalls: [],
    usage: { cpuMicros: 1, fuel: 0, memoryBytes: 1 },
  }).slice(0, -3);
  const sandbox = await cordonRunning(`send(${JSON.stringify(half)});`, { spares: 0 });
  try {
    const hooks = await guest(sandbox, GOOD, { name: "cut", limits: PATIENT });
    const ends = Array.from({ length: 2 }, () => Promise.resolve(hooks.access?.(new MemoryContext())));
    for (const end of ends) end.catch(() => {});
    const serving = (calls: number) =>
      sandbox.supervisor.status().cordons.find((one) => one.pid !== null && one.calls === calls);
    while (serving(2) === undefined) await delay(LOOK_MS);
    kill(serving(2)?.pid as number);
    await assert.rejects(ends[0] as Promise<unknown>, { failure: "crashed", plugin: "cut", phase: "access" });
    // The other one went to the successor, which does the same.
    while (serving(1) === undefined) await delay(LOOK_MS);
    kill(serving(1)?.pid as number);
    await assert.rejects(ends[1] as Promise<unknown>, { failure: "crashed" });
    assert.equal(sandbox.supervisor.status().deaths, 2);
    const told = sandbox.log.filter(({ message }) => message === "a cordon died");
    assert.deepEqual(
      told.map(({ fields }) => [fields.workspace, fields.kind]),
      Array(2).fill(["default", "crashed"]),
    );
  } finally {
    await sandbox.close();
  }
});

test("a cordon that closes its socket and lives on is killed, and no call waits for it for ever", async () => {
  const sandbox = await cordonRunning(`socket.end(); setInterval(() => {}, 60_000);`, { spares: 0 });
  try {
    const hooks = await guest(sandbox, GOOD, { name: "mute", limits: PATIENT });
    await assert.rejects(async () => hooks.access?.(new MemoryContext()), {
      failure: "violation",
      plugin: "mute",
    });
    const told = sandbox.log.filter(({ message }) => message === "a cordon died");
    assert.deepEqual(
      told.map(({ fields }) => [fields.plugin, fields.kind, fields.reason]),
      [["mute", "violation", "the cordon closed its socket"]],
    );
  } finally {
    await sandbox.close();
  }
});

test("a cordon that burns CPU time without an open call is killed, and the plugin that ran last is kept apart", async () => {
  const turn = turnFrame(1, {
    kind: "verdict",
    verdict: {},
    hostCalls: [],
    usage: { cpuMicros: 1, fuel: 0, memoryBytes: 1 },
  });
  const burn = `setTimeout(() => { for (;;); }, 20);`;
  const sandbox = await cordonRunning(`send(${JSON.stringify(turn)}); ${burn}`, { spares: 0 });
  try {
    const hooks = await guest(sandbox, GOOD, { name: "burner", limits: PATIENT });
    for (let deaths = 1; deaths <= 2; deaths++) {
      const known = once(sandbox.events, "gone");
      const died = once(sandbox.events, "a cordon died");
      await hooks.access?.(new MemoryContext());
      const [death] = await died;
      await known;
      assert.equal(death.kind, "timeout");
      assert.match(death.reason, /^it used \d+ ms of CPU time within \d+ ms, and calls were open for /);
    }
    while (sandbox.supervisor.status().heldBack.length === 0) await delay(LOOK_MS);
    assert.equal(sandbox.supervisor.status().heldBack[0]?.blame.plugin, "burner");
  } finally {
    await sandbox.close();
  }
});

test("a workspace whose cordons end by themselves between calls, again and again, gets none for a while", async () => {
  const usage = { cpuMicros: 1, fuel: 0, memoryBytes: 1 };
  const answer = turnFrame(1, { kind: "verdict", verdict: {}, hostCalls: [], usage });
  const sandbox = await cordonRunning(
    `socket.write(${JSON.stringify(answer)}, "latin1", () => process.exit(1));`,
  );
  try {
    const hooks = await guest(sandbox, GOOD, { limits: PATIENT });
    const held = once(
      sandbox.events,
      "a workspace gets no cordon for a while: its cordons keep dying outside of calls",
    );
    let suspended = false;
    void held.then(() => {
      suspended = true;
    });
    let served = 0;
    while (!suspended) {
      const died = once(sandbox.events, "gone");
      await hooks.access?.(new MemoryContext());
      served++;
      await died;
    }
    assert.ok(served >= UNEXPLAINED);
    await assert.rejects(async () => hooks.access?.(new MemoryContext()), { failure: "unavailable" });
    assert.deepEqual(sandbox.supervisor.status().heldBack, [], "no plugin is blamed");
    const [{ engine, workspace, plugin }] = (await held) as [Record<string, unknown>];
    assert.deepEqual([engine, workspace, plugin], ["isolate", "default", null]);
  } finally {
    await sandbox.close();
  }
});

test("cordons die with the gateway, in every state and behind the fence", async () => {
  const script = fileURLToPath(new URL("./supervisor/orphan-maker.ts", import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(await place())], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (part) => {
    said += part;
  });
  while (!said.includes("\n")) await once(child.stdout, "data");
  const pids: number[] = JSON.parse(said);
  assert.ok(pids.length >= 5);
  // Stopped first, so that it starts nothing between the look and its end.
  child.kill("SIGSTOP");
  const orphans = descendants(child.pid as number);
  for (const pid of pids) assert.ok(orphans.some((entry) => entry.pid === pid));
  child.kill("SIGKILL");
  await once(child, "exit");
  // They are not ours to wait for: whoever inherits them does it when it gets to it.
  const stays = ({ pid, startedAt }: ProcessEntry) => {
    const now = processEntry(pid);
    return now !== null && now.startedAt === startedAt && now.state !== "Z";
  };
  while (orphans.some(stays)) await delay(LOOK_MS);
});
