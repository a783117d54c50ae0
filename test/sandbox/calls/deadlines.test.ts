/** What a data thread that was itself held up makes of its guests' deadlines. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryContext } from "../context.ts";
import { accessPlugin, bundleSource, RecordingHost, settings, startSandbox } from "../sandbox.ts";

const GOOD = `ctx.request.headers.set("X-Good", "yes");`;
const WALL_MS = 250;

test("a thread that is held up before a call has left it does not have the call's cordon killed", async () => {
  const sandbox = await startSandbox();
  try {
    const artifact = await bundleSource(accessPlugin(GOOD));
    const hooks = sandbox.client.hooks(
      settings(artifact, { limits: { wallMs: WALL_MS } }),
      new RecordingHost(),
    );
    await hooks.access?.(new MemoryContext());
    const ctx = new MemoryContext();
    const call = new Promise<unknown>((resolve) => {
      // What is asked for here leaves after the timers' next turn, in which deadlines are looked at.
      setImmediate(() => {
        resolve(hooks.access?.(ctx));
        const until = performance.now() + 3 * WALL_MS;
        while (performance.now() < until);
      });
    });
    await call;
    assert.equal(ctx.request.headers.get("x-good"), "yes");
    assert.equal(sandbox.supervisor.status().deaths, 0);
  } finally {
    await sandbox.close();
  }
});
