/** Cordons under real data threads: who is served, who is blamed, and what is left when something dies. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import type { ToSupervisor } from "../../src/sandbox/protocol/messages.ts";
import { Supervisor } from "../../src/sandbox/supervisor/supervisor.ts";
import { processEntry } from "../gateway/processes.ts";
import { MemoryContext } from "./context.ts";
import {
  accessPlugin,
  bundleSource,
  type GuestParts,
  type LogLine,
  PATIENT,
  place,
  RecordingHost,
  settings,
  startSandbox,
} from "./sandbox.ts";
import type { Order, Outcome } from "./thread.ts";

const GOOD = `ctx.request.headers.set("X-Good", "yes");`;
/** Neither a timer nor an interrupt reaches it: only the parent ends it. */
const STUCK = `Array(1e9).fill(0);`;

class DataThread {
  readonly worker = new Worker(new URL("./thread.ts", import.meta.url));
  #nextOrder = 1;

  constructor(supervisor: Supervisor) {
    let listener: (message: ToSupervisor) => void = () => {};
    this.worker.on("message", (said) => {
      if (said.from === "client") listener(said.message);
    });
    const remove = supervisor.addThread({
      post: (message) => this.#order({ to: "client", message }),
      onMessage: (given) => {
        listener = given;
      },
    });
    this.worker.once("exit", remove);
  }

  #order(order: Order): void {
    this.worker.postMessage(order);
  }

  async guest(source: string, parts: GuestParts): Promise<void> {
    const artifact = await bundleSource(accessPlugin(source));
    this.#order({ to: "thread", type: "guest", settings: settings(artifact, parts), artifact });
  }

  async call(plugin: string, times: number, atOnce: number): Promise<Outcome> {
    const order = this.#nextOrder++;
    this.#order({ to: "thread", type: "call", order, plugin, times, atOnce });
    for (;;) {
      const [said] = await once(this.worker, "message");
      if (said.from === "thread" && said.outcome.order === order) return said.outcome;
    }
  }
}

async function withThreads(
  count: number,
  run: (threads: DataThread[], supervisor: Supervisor, log: LogLine[]) => Promise<void>,
): Promise<void> {
  const log: LogLine[] = [];
  const supervisor = new Supervisor({
    ...(await place()),
    log: (level, message, fields) => log.push({ level, message, fields }),
  });
  const threads = Array.from({ length: count }, () => new DataThread(supervisor));
  try {
    await run(threads, supervisor, log);
  } finally {
    await supervisor.close();
    for (const thread of threads) await thread.worker.terminate();
  }
}

test("two threads share one cordon of a workspace", () =>
  withThreads(2, async ([one, two], supervisor) => {
    assert.ok(one && two);
    await one.guest(GOOD, { name: "good", limits: PATIENT });
    await two.guest(GOOD, { name: "good", limits: PATIENT });
    await one.call("good", 1, 1);
    await two.call("good", 1, 1);
    const outcomes = await Promise.all([one.call("good", 2000, 16), two.call("good", 2000, 16)]);
    for (const { good, failures } of outcomes)
      assert.deepEqual({ good, failures }, { good: 2000, failures: {} });
    const serving = supervisor.status().cordons.filter((cordon) => cordon.calls > 0);
    assert.deepEqual(
      serving.map((cordon) => cordon.workspace),
      ["default"],
    );
  }));

test("a call that hangs in one thread costs the other thread's calls of the same workspace nothing", () =>
  withThreads(2, async ([one, two], _supervisor, log) => {
    assert.ok(one && two);
    await one.guest(STUCK, { name: "stuck" });
    await two.guest(GOOD, { name: "good", limits: PATIENT });
    await two.call("good", 1, 1);
    const [hung, served] = await Promise.all([one.call("stuck", 2, 1), two.call("good", 3000, 8)]);
    assert.deepEqual(hung.failures, { deadline: 2 });
    assert.deepEqual(served, { order: served.order, good: 3000, failures: {} });
    const deaths = log.filter((line) => line.message === "a cordon died");
    assert.deepEqual(
      deaths.map((line) => [line.fields.plugin, line.fields.kind, line.fields.workspace]),
      [
        ["stuck", "deadline", "default"],
        ["stuck", "deadline", "default"],
      ],
    );
  }));

test("a workspace whose cordon dies again and again is suspended, and its neighbour notices nothing", () =>
  withThreads(2, async ([one, two], _supervisor, log) => {
    assert.ok(one && two);
    for (const thread of [one, two]) {
      await thread.guest(STUCK, { name: "stuck", workspace: "a" });
      await thread.guest(GOOD, { name: "good-a", workspace: "a", limits: PATIENT });
      await thread.guest(GOOD, { name: "good-b", workspace: "b", limits: PATIENT });
    }
    await two.call("good-b", 1, 1);
    let done = false;
    const neighbour = (async () => {
      const sum = { good: 0, failures: {} };
      while (!done) {
        const { good, failures } = await two.call("good-b", 200, 4);
        sum.good += good;
        Object.assign(sum.failures, failures);
      }
      return sum;
    })();
    const { failures } = await one.call("stuck", 12, 1);
    assert.equal(failures.deadline, 5);
    assert.equal(failures.suspended, 7);
    assert.deepEqual((await one.call("good-a", 20, 2)).failures, {});
    done = true;
    const served = await neighbour;
    assert.ok(served.good > 0);
    assert.deepEqual(served.failures, {});
    const suspension = log.find((line) => line.message.startsWith("a plugin is suspended"));
    assert.equal(suspension?.fields.plugin, "stuck");
    assert.equal(suspension?.fields.workspace, "a");
  }));

test("under a storm of kill -9 every call gets an answer, and the last ones are good", async () => {
  const sandbox = await startSandbox({ warm: ["isolate"] });
  try {
    const hooks = sandbox.client.hooks(
      settings(await bundleSource(accessPlugin(GOOD)), { name: "good", limits: PATIENT }),
      new RecordingHost(),
    );
    const call = async () => {
      const ctx = new MemoryContext();
      await hooks.access?.(ctx);
      return ctx.request.headers.get("x-good");
    };
    await call();
    for (let round = 0; round < 4; round++) {
      const calls = Array.from({ length: 300 }, call);
      const { cordons } = sandbox.supervisor.status();
      for (const { pid, workspace } of cordons)
        if (workspace === "default" && pid !== null) process.kill(pid, "SIGKILL");
      const ends = await Promise.allSettled(calls);
      for (const end of ends) {
        if (end.status === "fulfilled") assert.equal(end.value, "yes");
        else assert.equal(end.reason.failure, "crashed");
      }
      assert.ok(ends.filter((end) => end.status === "fulfilled").length >= 299);
      assert.equal(await call(), "yes");
    }
  } finally {
    await sandbox.close();
  }
});

test("calls that find no cordon in time or no place in the queue fail as unavailable", async () => {
  const sandbox = await startSandbox({ maxCordons: 0 });
  try {
    const hooks = sandbox.client.hooks(settings(await bundleSource(accessPlugin(GOOD))), new RecordingHost());
    const calls = Array.from({ length: 1100 }, async () => hooks.access?.(new MemoryContext()));
    for (const end of await Promise.allSettled(calls)) {
      assert.equal(end.status, "rejected");
      assert.equal(end.status === "rejected" && end.reason.failure, "unavailable");
    }
  } finally {
    await sandbox.close();
  }
});

test("a thread that ends in the middle of its calls takes its cordons with it, and the others' calls go on", () =>
  withThreads(2, async ([one, two], supervisor) => {
    assert.ok(one && two);
    await one.guest("for (;;);", { name: "stuck", limits: { wallMs: 60_000, cpuMs: 60_000 } });
    for (const thread of [one, two]) {
      await thread.guest(GOOD, { name: "good", limits: PATIENT });
      await thread.call("good", 1, 1);
    }
    await two.call("good", 1, 1);
    const serving = () => supervisor.status().cordons.filter(({ workspace }) => workspace !== null);
    const calls = () => serving().reduce((sum, cordon) => sum + cordon.calls, 0);
    const before = calls();
    const pids = serving().map(({ pid }) => pid as number);
    void one.call("stuck", 1, 1);
    while (calls() === before) await new Promise((resolve) => setTimeout(resolve, 5));
    const served = two.call("good", 200, 8);
    await one.worker.terminate();
    assert.deepEqual((await served).failures, {});
    assert.deepEqual((await two.call("good", 20, 2)).failures, {});
    // They are killed when their calls have had time to end; their end is the kernel's to announce.
    while (pids.some((pid) => processEntry(pid) !== null))
      await new Promise((resolve) => setTimeout(resolve, 5));
    assert.ok(!serving().some(({ pid }) => pids.includes(pid as number)));
  }));
