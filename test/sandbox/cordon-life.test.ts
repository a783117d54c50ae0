/** Which cordons a workspace has: one, more while it is under load, and one for each plugin that kills them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Hooks } from "@gatehouse/sdk";
import type { GuestFailure } from "../../src/sandbox/calls/guest.ts";
import type { SupervisorOptions } from "../../src/sandbox/supervisor/supervisor-options.ts";
import { MemoryContext } from "./context.ts";
import {
  accessPlugin,
  bundleSource,
  type GuestParts,
  PATIENT,
  RecordingHost,
  type Sandbox,
  settings,
  startSandbox,
} from "./sandbox.ts";

const GOOD = `ctx.request.headers.set("X-Good", "yes");`;
const STUCK_IF_ASKED = `if (ctx.request.headers.get("x-stuck")) for (;;);`;
/** Some milliseconds of work. */
const WORK = `let n = 0; for (let i = 0; i < 3e6; i++) n += i % 7; ctx.request.headers.set("X-Good", "yes");`;

/** Between two looks at what nobody announces. */
const LOOK_MS = 5;

type Options = Partial<SupervisorOptions>;

async function withSandbox(options: Options, run: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = await startSandbox(options);
  try {
    await run(sandbox);
  } finally {
    await sandbox.close();
  }
}

async function guest(sandbox: Sandbox, source: string, parts: GuestParts): Promise<Hooks> {
  return sandbox.client.hooks(settings(await bundleSource(source), parts), new RecordingHost());
}

async function isGood(hooks: Hooks): Promise<boolean> {
  const ctx = new MemoryContext();
  await hooks.access?.(ctx);
  return ctx.request.headers.get("x-good") === "yes";
}

/** Calls the plugin so that it takes its cordon down. */
async function kill(hooks: Hooks): Promise<void> {
  const ctx = new MemoryContext({ headers: [["X-Stuck", "1"]] });
  await assert.rejects(async () => hooks.access?.(ctx), { failure: "deadline" });
}

function cordonsOf(sandbox: Sandbox, workspace: string, plugin: string | null = null) {
  return sandbox.supervisor
    .status()
    .cordons.filter((cordon) => cordon.workspace === workspace && cordon.plugin === plugin);
}

/** With so much CPU time only the parent's deadline ends it, by ending its cordon. */
const STUCK_PARTS = {
  name: "stuck",
  workspace: "a",
  grants: { requestHeaders: ["x-stuck"] },
  limits: { cpuMs: 60_000, wallMs: 250 },
};

test("a plugin that kills its cordon twice gets one of its own, and takes nobody with it any more", () =>
  withSandbox({}, async (sandbox) => {
    const stuck = await guest(sandbox, accessPlugin(STUCK_IF_ASKED), STUCK_PARTS);
    const good = await guest(sandbox, accessPlugin(GOOD), { name: "good", workspace: "a", limits: PATIENT });
    await kill(stuck);
    assert.deepEqual(sandbox.supervisor.status().heldBack, []);
    await kill(stuck);
    assert.deepEqual(sandbox.supervisor.status().heldBack, [
      { blame: { workspace: "a", plugin: "stuck" }, apart: true, untilMs: null },
    ]);
    assert.ok(await isGood(good));
    const [common] = cordonsOf(sandbox, "a");
    assert.ok(common);
    for (let deaths = 2; deaths < 4; deaths++) {
      const end = kill(stuck);
      assert.deepEqual(
        await Promise.all(Array.from({ length: 50 }, () => isGood(good))),
        Array(50).fill(true),
      );
      await end;
    }
    assert.deepEqual(
      cordonsOf(sandbox, "a").map(({ pid }) => pid),
      [common.pid],
    );
    assert.deepEqual(
      sandbox.log
        .filter(({ level }) => level === "warn")
        .map(({ message, fields }) => [message.slice(0, 29), fields.plugin]),
      [
        ["a cordon died", "stuck"],
        ["a cordon died", "stuck"],
        ["a plugin gets a cordon of its", "stuck"],
        ["a cordon died", "stuck"],
        ["a cordon died", "stuck"],
      ],
    );
    await kill(stuck);
    const suspended = new MemoryContext();
    await assert.rejects(async () => stuck.access?.(suspended), { failure: "suspended" });
  }));

test("a version on trial that keeps killing its cordon harms neither the version that runs nor its neighbours", () =>
  withSandbox({}, async (sandbox) => {
    const running = await guest(sandbox, accessPlugin(GOOD), { ...STUCK_PARTS, limits: PATIENT });
    const parts = { ...STUCK_PARTS, version: "2.0.0", onTrial: true };
    const tried = await guest(sandbox, accessPlugin(STUCK_IF_ASKED + GOOD), parts);
    assert.ok((await isGood(running)) && (await isGood(tried)));
    const [common] = cordonsOf(sandbox, "a");
    assert.equal(cordonsOf(sandbox, "a", "stuck@2.0.0").length, 1);
    for (let deaths = 0; deaths < 5; deaths++) {
      const end = kill(tried);
      assert.ok(await isGood(running));
      await end;
    }
    const suspended = new MemoryContext();
    await assert.rejects(async () => tried.access?.(suspended), { failure: "suspended" });
    assert.ok(await isGood(running));
    assert.deepEqual(
      cordonsOf(sandbox, "a").map(({ pid }) => pid),
      [common?.pid],
    );
  }));

test("what waits of a plugin when it is suspended kills no further cordon", () =>
  withSandbox({}, async (sandbox) => {
    const stuck = await guest(sandbox, accessPlugin(STUCK_IF_ASKED), STUCK_PARTS);
    let deaths = 0;
    sandbox.events.once("a plugin is suspended: it keeps killing its cordon", () => {
      deaths = sandbox.supervisor.status().deaths;
    });
    const failures: string[] = [];
    const keepCalling = async () => {
      while (deaths === 0) {
        const ctx = new MemoryContext({ headers: [["X-Stuck", "1"]] });
        await assert.rejects(
          async () => stuck.access?.(ctx),
          ({ failure }: GuestFailure) => {
            failures.push(failure);
            return true;
          },
        );
      }
    };
    await Promise.all(Array.from({ length: 8 }, keepCalling));
    assert.equal(sandbox.supervisor.status().deaths, deaths);
    assert.ok(failures.includes("suspended"));
  }));

test("a plugin that behaves again comes back to its workspace's cordon", () =>
  withSandbox({ forgivenAfterMs: 1000 }, async (sandbox) => {
    const stuck = await guest(sandbox, accessPlugin(STUCK_IF_ASKED + GOOD), STUCK_PARTS);
    const back = once(sandbox.events, "a plugin that behaved is back in its workspace's cordon");
    while (sandbox.supervisor.status().heldBack.length === 0) await kill(stuck);
    await back;
    assert.ok(await isGood(stuck));
    assert.equal(cordonsOf(sandbox, "a").length, 1);
    assert.deepEqual(sandbox.supervisor.status().heldBack, []);
  }));

test("a workspace under load gets further cordons, up to the maximum, and gives them up", () =>
  withSandbox({ maxReplicas: 3, slackMs: 300 }, async (sandbox) => {
    const worker = await guest(sandbox, accessPlugin(WORK), { workspace: "a", limits: PATIENT });
    const quiet = await guest(sandbox, accessPlugin(GOOD), { workspace: "b", limits: PATIENT });
    assert.ok(await isGood(quiet));
    let most = 0;
    const work = async (enough: () => boolean) => {
      while (!enough()) {
        assert.ok(await isGood(worker));
        most = Math.max(most, cordonsOf(sandbox, "a").length);
      }
    };
    const all = () => {
      const serving = cordonsOf(sandbox, "a").filter(({ calls }) => calls > 20);
      return serving.length === 3;
    };
    await Promise.all(Array.from({ length: 24 }, () => work(all)));
    assert.equal(most, 3);
    assert.equal(cordonsOf(sandbox, "b").length, 1);
    const added = "a workspace gets another cordon: those it has are busy all the time";
    const gaveUp = "a workspace gives a cordon up: the others have room";
    const count = (message: string) => sandbox.log.filter((line) => line.message === message).length;
    while (count(gaveUp) < count(added)) await once(sandbox.events, gaveUp);
    assert.ok(await isGood(worker));
    assert.deepEqual(sandbox.failures, []);
  }));

test("the chunks of a response stay in order and in one cordon while a workspace has several", () =>
  withSandbox({ maxReplicas: 2 }, async (sandbox) => {
    const numbering = `import { definePlugin, record } from "@gatehouse/sdk";
const seen = new Map();
export default definePlugin({ name: "numbering", version: "1.0.0", priority: 1, schema: record({}),
  create() { return { bodyFilter(ctx, data) {
    const id = ctx.request.headers.get("x-id");
    const n = seen.get(id) ?? 0;
    seen.set(id, n + 1);
    return new TextEncoder().encode(n + ":" + new TextDecoder().decode(data) + " ");
  } } } });`;
    const filter = await guest(sandbox, numbering, {
      workspace: "a",
      name: "numbering",
      limits: PATIENT,
      phases: ["body_filter"],
      grants: { responseBodyBytes: 1024, requestHeaders: ["x-id"] },
    });
    const worker = await guest(sandbox, accessPlugin(WORK), { workspace: "a", limits: PATIENT });
    let done = false;
    const load = Array.from({ length: 16 }, async () => {
      while (!done) assert.ok(await isGood(worker));
    });
    const both = () => cordonsOf(sandbox, "a").filter(({ calls }) => calls > 20).length === 2;
    while (!both()) assert.ok(await isGood(worker));
    const expected = Array.from({ length: 12 }, (_, i) => `${i}:c${i} `).join("");
    const streams = Array.from({ length: 30 }, async (_, id) => {
      const ctx = new MemoryContext({
        headers: [["X-Id", String(id)]],
        response: { status: 200, headers: [] },
      });
      let text = "";
      for (let i = 0; i < 12; i++)
        text += Buffer.from((await filter.bodyFilter?.(ctx, Buffer.from(`c${i}`), i === 11)) as Uint8Array);
      return text;
    });
    for (const text of await Promise.all(streams)) assert.equal(text, expected);
    done = true;
    await Promise.all(load);
  }));

/** A call of each workspace, one after the other; which of them have a cordon then. */
async function callEach(sandbox: Sandbox, workspaces: readonly string[], body = GOOD): Promise<string[]> {
  for (const workspace of workspaces)
    assert.ok(await isGood(await guest(sandbox, accessPlugin(body), { workspace, limits: PATIENT })));
  return sandbox.supervisor.status().cordons.flatMap(({ workspace }) => workspace ?? []);
}

test("where there is no place for one more cordon, a spare goes first, then who was idle for the longest time", () =>
  withSandbox({ maxCordons: 3 }, async (sandbox) => {
    await callEach(sandbox, ["a", "b"]);
    while (sandbox.supervisor.status().cordons.length < 3) await delay(LOOK_MS);
    // c takes the spare, for d there is no place: a goes.
    const serving = () => sandbox.supervisor.status().cordons.flatMap(({ workspace }) => workspace ?? []);
    await callEach(sandbox, ["c", "b", "d"]);
    while (serving().length > 3) await delay(LOOK_MS);
    assert.deepEqual(serving().toSorted(), ["b", "c", "d"]);
    // a comes back at the cost of c.
    await callEach(sandbox, ["a"]);
    while (serving().length > 3) await delay(LOOK_MS);
    assert.deepEqual(serving().toSorted(), ["a", "b", "d"]);
    assert.deepEqual(sandbox.failures, []);
  }));

test("cordons over the memory budget are evicted while they are idle, the one used last is not", () =>
  withSandbox({ budgetBytes: 40 << 20, spares: 0 }, async (sandbox) => {
    const hog = `globalThis.kept ??= Array.from({ length: 2e6 }, (_, i) => i + 0.5); ${GOOD}`;
    for (const workspace of ["a", "b", "c", "d"]) await callEach(sandbox, [workspace], hog);
    const live = () => sandbox.supervisor.status().cordons;
    while (live().reduce((sum, { ownBytes }) => sum + ownBytes, 0) > 40 << 20 && live().length > 1)
      await delay(LOOK_MS);
    assert.ok(live().length < 4);
    assert.ok(live().some(({ workspace }) => workspace === "d"));
    // Whoever was evicted is served again.
    await callEach(sandbox, ["a"], hog);
    assert.deepEqual(sandbox.failures, []);
  }));

test("a cordon that nobody has called for the idle time is ended, and a spare is not", () =>
  withSandbox({ idleMs: 300 }, async (sandbox) => {
    await callEach(sandbox, ["a"]);
    const state = () => sandbox.supervisor.status().cordons.map(({ workspace }) => workspace);
    while (state().length !== 1 || state()[0] !== null) await delay(LOOK_MS);
    assert.deepEqual(await callEach(sandbox, ["b"]).then((serving) => serving.filter((w) => w === "b")), [
      "b",
    ]);
  }));

test("a spare goes to one workspace and is replaced; there is none before the first guest", () =>
  withSandbox({}, async (sandbox) => {
    assert.deepEqual(sandbox.supervisor.status().cordons, []);
    await callEach(sandbox, ["a"]);
    const spare = () =>
      sandbox.supervisor.status().cordons.find(({ workspace, pid }) => workspace === null && pid !== null);
    const pids: (number | null)[] = [];
    for (const workspace of ["b", "c", "d"]) {
      while (spare() === undefined) await delay(LOOK_MS);
      const next = spare()?.pid ?? null;
      await callEach(sandbox, [workspace]);
      assert.deepEqual(
        cordonsOf(sandbox, workspace).map(({ pid }) => pid),
        [next],
      );
      pids.push(next);
    }
    assert.equal(new Set(pids).size, 3);
  }));
