/** Tries of uploads that follow each other: who waits for a process, who does not, and what is left when none come. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { digestOf, forgeArtifact } from "../../../src/sandbox/forge/forge.ts";
import { DEFAULT_FORGE_LIMITS } from "../../../src/sandbox/forge/limits.ts";
import type { SmokeJob, SmokeOptions } from "../../../src/sandbox/forge/smoke.ts";
import { Trials } from "../../../src/sandbox/forge/trials.ts";
import { accessPlugin, bundleSource, LIMITS, place } from "../sandbox.ts";
import { assemble } from "../wasm/guests.ts";

describe("uploads that are tried one after the other", () => {
  let where: SmokeOptions;
  before(async () => {
    where = await place(["isolate", "wasm"]);
  });

  const job = (artifact: Uint8Array, runtime: "isolate" | "extism" = "isolate"): SmokeJob => ({
    artifact,
    config: {
      digest: digestOf(artifact),
      runtime,
      phases: ["access"],
      instance: "resident",
      pluginId: "tried",
      config: {},
      asks: [],
      limits: { ...LIMITS, fuel: DEFAULT_FORGE_LIMITS.startFuel },
    },
  });
  const good = async () => job(await bundleSource(accessPlugin("return;")));
  const wasm = async () => {
    const module = assemble('(module (func (export "access") (result i32) (i32.const 0)))');
    const forged = await forgeArtifact(module, "extism", ["access"], DEFAULT_FORGE_LIMITS);
    assert.ok(forged.ok);
    return job(forged.emitted, "extism");
  };

  it("find a cordon started for them, each a new one, whichever engine was tried before", async () => {
    const trials = new Trials({ ...where, queueLength: 4 });
    const seen: string[] = [];
    for (const next of [await good(), await good(), await wasm(), await good()]) {
      const smoke = await trials.run(next, "default");
      assert.ok(smoke?.ok, JSON.stringify(smoke));
      const waiting = children();
      seen.push(waiting);
      // It starts behind the gateway: the first program of its chain sees to that.
      while (getPriority(Number(waiting)) <= getPriority()) await soon();
    }
    assert.ok(
      seen.every((pids) => /^\d+$/.test(pids)),
      `each time one cordon waits: ${seen}`,
    );
    assert.equal(new Set(seen).size, seen.length, "none waits twice");
    await trials.close();
    assert.equal(children(), "");
  });

  it("are judged alone: one that kills its process leaves the next a sound one", async () => {
    const trials = new Trials({ ...where, queueLength: 4 });
    const bad = job(Buffer.from("while (true); export default 1;"));
    const [first, second] = await Promise.all([trials.run(bad, "one"), trials.run(await good(), "two")]);
    assert.equal(first?.ok, false);
    assert.equal(second?.ok, true);
    await trials.close();
  });

  it("leave no process when none has come for a while", async () => {
    const trials = new Trials({ ...where, queueLength: 4, idleMs: 1 });
    assert.equal((await trials.run(await wasm(), "default"))?.ok, true);
    while (children() !== "") await soon();
    assert.equal((await trials.run(await wasm(), "default"))?.ok, true);
    await trials.close();
    assert.equal(children(), "");
  });
});

/** A while in which others have the core: what is waited for is another process's doing. */
function soon(): Promise<void> {
  return setTimeout(5);
}

/** Processes that this one has started and that are still there, esbuild's service aside. */
function children(): string {
  const pids = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim().split(" ");
  return pids
    .filter((pid) => pid !== "" && !readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("esbuild"))
    .join(" ");
}
