/**
 * Code that has escaped from everything but the operating system's fence, in real cordons: what it tries in
 * escapes.ts reaches nothing. Each escape is tried behind the whole fence, without the seal, and without any
 * filter of system calls, so that no layer is held by another alone. Asserted for each, from outside: no
 * listener heard of it, sentinel and processes are as they were, its siblings live, the gateway has no
 * descriptor more, nothing of it is left, and the same plugin's next call is answered.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import type { Hooks, Reply } from "@gatehouse/sdk";
import { GuestFailure } from "../../../src/sandbox/calls/guest.ts";
import type { Fence } from "../../../src/sandbox/fence/fence.ts";
import { MemoryContext } from "../../sandbox/context.ts";
import { pidOf, RecordingHost, type Sandbox, settings, startSandbox } from "../../sandbox/sandbox.ts";
import { escapedRoom, type Outside, openOutside } from "./arena.ts";
import { ESCAPES } from "./escapes.ts";
import type { Targets } from "./targets.ts";

const LAYERS: [string, Partial<Fence>][] = [
  ["behind the whole fence", {}],
  ["behind the fence without the seal", { sealed: false }],
  ["behind the fence without any filter of system calls", { sealed: false, filtered: false }],
  ["behind the fence of user namespaces, unsealed", { by: "user-namespaces", firstUid: null, sealed: false }],
];
/** What a cordon may hold: its sockets (stderr is one), nothing, and what an event loop is made of. */
const DESCRIPTORS = /^(\/dev\/null|socket:\[\d+\]|pipe:\[\d+\]|anon_inode:\[(eventpoll|eventfd)\])$/;

describe("escaped code", () => {
  let arena: Awaited<ReturnType<typeof escapedRoom>>;
  let open: Awaited<ReturnType<typeof openOutside>>;
  before(async () => {
    arena = await escapedRoom();
    open = await openOutside(arena.prefix);
  });
  after(() => {
    open.close();
    arena.close();
  });

  const escapee = (sandbox: Sandbox, name: string, row: string, targets: Targets, wallMs = 3000) =>
    sandbox.client.hooks(
      settings(Buffer.from(JSON.stringify({ row, targets })), {
        workspace: `ws-${name}`,
        name,
        limits: { wallMs, cpuMs: 3000 },
      }),
      new RecordingHost(),
    );

  test("the fence is in force with all its layers, or the tests do not run as root", () => {
    const { inForce, by, firstUid, filtered, sealed, why } = arena.fence;
    if (process.getuid?.() === 0)
      assert.deepEqual(
        [inForce, by, firstUid !== null, filtered, sealed],
        [true, "root", true, true, true],
        why,
      );
  });

  for (const [layers, without] of LAYERS)
    describe(layers, () => {
      let sandbox: Sandbox;
      let outside: Outside;
      let targets: Targets;
      let sibling: { hooks: Hooks; pid: number };
      before(async () => {
        sandbox = await startSandbox({ room: arena.room, fence: { ...arena.fence, ...without } });
        outside = await openOutside(arena.prefix);
        const hooks = escapee(sandbox, "sibling", "behaves", { ...outside.targets, siblingPid: 0 });
        assert.deepEqual(await answerOf(hooks), []);
        const pid = await pidOf(sandbox, "ws-sibling");
        sibling = { hooks, pid };
        targets = { ...outside.targets, siblingPid: pid };
      });
      after(async () => {
        await sandbox.close();
        outside.close();
      });

      const rows = ESCAPES.filter(({ filtersHold }) => !filtersHold || without.filtered !== false);
      for (const { name, wallMs, kinds = [] } of rows)
        test(`that ${name} reaches nothing`, async (t) => {
          if (!arena.fence.inForce) return;
          const descriptors = readdirSync("/proc/self/fd").length;
          const outcome = await answerOf(escapee(sandbox, name, name, targets, wallMs));
          if (typeof outcome === "string") assert.ok(kinds.includes(outcome), `unexpected: ${outcome}`);
          else assert.deepEqual(outcome, []);
          t.diagnostic(typeof outcome === "string" ? `killed: ${outcome}` : "every way refused");
          assert.deepEqual(outside.touched(), []);
          assert.deepEqual(await answerOf(sibling.hooks), []);
          assert.equal(await pidOf(sandbox, "ws-sibling"), sibling.pid);
          assert.deepEqual(await answerOf(escapee(sandbox, name, "behaves", targets)), []);
          assert.ok(
            readdirSync("/proc/self/fd").length < descriptors + 20,
            "descriptors came over the socket",
          );
        });
    });

  test("and nothing of it is left when its cordons are gone", () => {
    const left = readdirSync("/proc").filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/root`).startsWith(arena.prefix);
      } catch {
        return false;
      }
    });
    assert.deepEqual(left, []);
  });

  test("holds no descriptor but its sockets and its event loop's", async () => {
    if (!arena.fence.inForce) return;
    const sandbox = await startSandbox({ room: arena.room, fence: arena.fence });
    try {
      await answerOf(escapee(sandbox, "holder", "behaves", { ...open.targets, siblingPid: 0 }));
      const folder = `/proc/${await pidOf(sandbox, "ws-holder")}/fd`;
      const links = readdirSync(folder).map((fd) => readlinkSync(`${folder}/${fd}`));
      assert.deepEqual(
        links.filter((link) => !DESCRIPTORS.test(link)),
        [],
      );
      assert.ok(links.filter((link) => link.startsWith("socket:")).length <= 2);
    } finally {
      await sandbox.close();
    }
  });
});

describe("without a fence", () => {
  // The same escapes must succeed where nothing holds them, or the tests above prove nothing.
  let arena: Awaited<ReturnType<typeof escapedRoom>>;
  let outside: Outside;
  before(async () => {
    arena = await escapedRoom();
    outside = await openOutside(arena.prefix);
  });
  after(() => {
    outside.close();
    arena.close();
  });

  for (const { name } of ESCAPES.filter((row) => row.harmless))
    test(`code that ${name} does reach something`, async () => {
      const script = join(arena.room.folder, "unfenced.js");
      const aims: Targets = { ...outside.targets, siblingPid: outside.targets.gatewayPid };
      const { stdout } = await promisify(execFile)(process.execPath, [
        ...["--no-warnings", script, name, JSON.stringify(aims)],
      ]);
      assert.notDeepEqual(JSON.parse(stdout), []);
    });
});

/** What the escapee reached, or the kind of its failure. */
async function answerOf(hooks: Hooks): Promise<string[] | string> {
  try {
    const reply = (await hooks.access?.(new MemoryContext())) as Reply;
    return JSON.parse(Buffer.from(reply.body as Uint8Array).toString());
  } catch (error) {
    if (error instanceof GuestFailure) return error.failure;
    throw error;
  }
}
