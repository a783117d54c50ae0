/** What a workspace's processes take together is bounded: over it, the largest one goes, and no other workspace's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { GuestFailure } from "../../../src/sandbox/calls/guest.ts";
import { MemoryWatch, type Sized } from "../../../src/sandbox/supervisor/memory-watch.ts";
import { MemoryContext } from "../context.ts";
import { accessPlugin, bundleSource, RecordingHost, settings, startSandbox } from "../sandbox.ts";

const MIB = 1024 * 1024;

const sized = (workspace: string | null, ownBytes: number, cause: object | null = null): Sized => ({
  workspace,
  ownBytes,
  cause,
});

for (const [title, cordons, over] of [
  ["nobody is over", [sized("acme", 60), sized("globex", 100)], []],
  ["the largest of several", [sized("acme", 30), sized("acme", 50), sized("acme", 40)], [50]],
  ["each workspace by itself", [sized("acme", 101), sized("globex", 40), sized("globex", 70)], [101, 70]],
  ["what is being killed does not count", [sized("acme", 90, {}), sized("acme", 90)], []],
  ["what stands ready for nobody does not count", [sized(null, 500)], []],
] as const)
  test(`over the memory of a workspace: ${title}`, () => {
    const killed: number[] = [];
    const watch = new MemoryWatch<Sized>(
      () => 100,
      ({ ownBytes }) => killed.push(ownBytes),
    );
    for (const cordon of cordons) watch.add(cordon);
    watch.judge();
    assert.deepEqual(killed, over);
    watch.judge();
    assert.deepEqual(killed, over, "sums begin anew");
  });

test("a workspace whose guests hold too much together loses a process, and the next call works", async () => {
  const sandbox = await startSandbox({ memoryOf: (workspace) => (workspace === "acme" ? 100 : 400) * MIB });
  try {
    const artifact = await bundleSource(
      accessPlugin(
        `for (let i = 0; i < Number(ctx.request.query); i++) kept.push(new Uint8Array(1 << 20).fill(1));`,
        { before: "const kept: Uint8Array[] = [];" },
      ),
    );
    const limits = { memoryBytes: 160 * MIB, cpuMs: 20_000, wallMs: 60_000 };
    const hooks = (workspace: string) =>
      sandbox.client.hooks(settings(artifact, { workspace, limits }), new RecordingHost());
    const [acme, globex] = [hooks("acme"), hooks("globex")];
    const call = async (one: typeof acme, megabytes: number) => {
      try {
        await one.access?.(new MemoryContext({ query: String(megabytes) }));
        return "good";
      } catch (error) {
        return (error as GuestFailure).failure;
      }
    };
    assert.equal(await call(acme, 1), "good");
    const outcomes = new Set<string>();
    for (let i = 0; i < 100 && !outcomes.has("memory"); i++) outcomes.add(await call(acme, 5));
    assert.ok(outcomes.has("memory"), [...outcomes].join());
    const line = sandbox.log.find(
      ({ message, fields }) => message === "a cordon died" && fields.kind === "memory",
    );
    assert.match(
      String(line?.fields.reason),
      /its workspace's guests used \d+ bytes of memory, 104857600 are allowed/,
    );
    assert.equal(await call(acme, 1), "good");
    assert.equal(await call(globex, 90), "good", "another workspace has its own");
  } finally {
    await sandbox.close();
  }
});
