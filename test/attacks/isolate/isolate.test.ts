/**
 * Every hostile guest of attacks.ts in a real cordon, with a neighbour in another workspace that is called all
 * the while. Asserted for each: a verdict of the right kind, no failed call of the neighbour, the gateway's
 * process alive, memory under the cap, and the same plugin's next good call.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { Hooks, Reply } from "@gatehouse/sdk";
import { GuestFailure } from "../../../src/sandbox/guest.ts";
import { MemoryContext } from "../../sandbox/context.ts";
import {
  accessPlugin,
  bundleGuest,
  bundleSource,
  PATIENT,
  RecordingHost,
  type Sandbox,
  settings,
  startSandbox,
} from "../../sandbox/sandbox.ts";
import { ATTACKS } from "./attacks.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const MAX_RSS = 256 * 1024 * 1024;

describe("hostile isolate guests", () => {
  let sandbox: Sandbox;
  let neighbour: Hooks;
  let goodArtifact: Uint8Array;
  before(async () => {
    sandbox = await startSandbox({ spares: ["isolate"], maxRssBytes: MAX_RSS });
    goodArtifact = await bundleSource(accessPlugin(`ctx.request.headers.set("X-Good", "yes");`));
    neighbour = sandbox.client.hooks(
      settings(goodArtifact, { workspace: "neighbour", name: "good", limits: PATIENT }),
      new RecordingHost(),
    );
    await neighbour.access?.(new MemoryContext());
  });
  after(() => sandbox.close());

  for (const attack of ATTACKS)
    test(attack.file, async () => {
      const workspace = `ws-${attack.file}`;
      const artifact = await bundleGuest(join(HERE, `${attack.file}.js`));
      const hostile = sandbox.client.hooks(
        settings(artifact, { workspace, name: attack.file }),
        new RecordingHost(),
      );
      let done = false;
      let neighbourCalls = 0;
      const neighbourRuns = (async () => {
        do {
          const ctx = new MemoryContext();
          await neighbour.access?.(ctx);
          assert.equal(ctx.request.headers.get("x-good"), "yes");
          neighbourCalls++;
        } while (!done);
      })();
      try {
        for (let round = 0; round < 2; round++) {
          const outcome = await verdictOf(hostile);
          if (attack.kinds.length === 0) assert.deepEqual(outcome, []);
          else assert.ok(attack.kinds.includes(outcome as never), `unexpected: ${JSON.stringify(outcome)}`);
        }
      } finally {
        done = true;
        await neighbourRuns;
      }
      assert.ok(neighbourCalls > 0);
      const row = sandbox.client.ledger().find((one) => one.plugin === attack.file);
      assert.equal(row?.calls, 2);
      const failures = Object.values(row.failures).reduce((sum, count) => sum + count, 0);
      assert.equal(failures, attack.kinds.length === 0 ? 0 : 2);

      const fixed = sandbox.client.hooks(
        settings(goodArtifact, { workspace, name: attack.file, limits: PATIENT }),
        new RecordingHost(),
      );
      const ctx = new MemoryContext();
      await fixed.access?.(ctx);
      assert.equal(ctx.request.headers.get("x-good"), "yes");
      for (const cordon of sandbox.supervisor.status().cordons) assert.ok(cordon.rssBytes < MAX_RSS);
    });
});

/** What the guest replied, or the kind of its failure. */
async function verdictOf(hooks: Hooks): Promise<unknown> {
  try {
    const reply = (await hooks.access?.(new MemoryContext())) as Reply;
    return JSON.parse(Buffer.from(reply.body as Uint8Array).toString());
  } catch (error) {
    if (error instanceof GuestFailure) return error.failure;
    throw error;
  }
}
