/** The smoke run of an upload: a guest is brought up once where it can harm nobody, and its author hears why it cannot. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, describe, it } from "node:test";
import type { Phase } from "@gatehouse/sdk";
import { digestOf, forgeArtifact } from "../../../src/sandbox/forge/forge.ts";
import { DEFAULT_FORGE_LIMITS } from "../../../src/sandbox/forge/limits.ts";
import { type Smoke, type SmokeOptions, smokeRun } from "../../../src/sandbox/forge/smoke.ts";
import type { GuestConfig } from "../../../src/sandbox/protocol/engine.ts";
import { accessPlugin, bundleSource, LIMITS, place } from "../sandbox.ts";
import { assemble } from "../wasm/guests.ts";

const OK = '(func (export "access") (result i32) (i32.const 0))';
const PLUGIN = 'name: "under-test", version: "1.0.0", priority: 1, schema: { type: "record", fields: {} }';

function configOf(
  runtime: GuestConfig["runtime"],
  digest: string,
  config: unknown,
  fuel: number,
): GuestConfig {
  const limits = { ...LIMITS, fuel };
  const phases: Phase[] = ["access"];
  return { digest, runtime, phases, instance: "resident", pluginId: "tried", config, asks: [], limits };
}

describe("a guest that is tried at its upload", () => {
  let where: SmokeOptions;
  before(async () => {
    where = await place(["isolate", "wasm"]);
  });

  async function tryWasm(
    text: string,
    options: Partial<SmokeOptions> = {},
    startFuel = 1_000_000,
  ): Promise<Smoke> {
    const limits = { ...DEFAULT_FORGE_LIMITS, startFuel };
    const forged = await forgeArtifact(assemble(text), "extism", ["access"], limits);
    assert.ok(forged.ok, forged.ok ? "" : forged.reasons.join("; "));
    const config = configOf("extism", forged.digest, {}, limits.startFuel);
    return smokeRun({ artifact: forged.emitted, config }, { ...where, ...options });
  }

  function tryIsolate(
    source: string | Uint8Array,
    { config }: { config?: unknown } = { config: {} },
  ): Promise<Smoke> {
    const artifact = Buffer.from(source);
    return smokeRun({ artifact, config: configOf("isolate", digestOf(artifact), config, 0) }, where);
  }

  it("passes with the fuel and the memory that its start took, the same each time", async () => {
    const module = `(module (memory 2) (func $s (local $i i32)
      (loop (br_if 0 (i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100)))))
      (start $s) ${OK})`;
    const first = await tryWasm(module);
    assert.ok(first.ok, JSON.stringify(first));
    assert.ok(first.fuel > 100 && first.fuel < 2000, `${first.fuel}`);
    assert.equal(first.memoryBytes >> 16, 2);
    assert.deepEqual(await tryWasm(module), first);
  });

  it("passes as an isolate's bundle whose create gives a hook for each phase", async () => {
    const smoke = await tryIsolate(await bundleSource(accessPlugin("return;")));
    assert.ok(smoke.ok, JSON.stringify(smoke));
    assert.ok(smoke.memoryBytes > 0);
  });

  it("is only evaluated when its schema's defaults are no config", async () => {
    const smoke = await tryIsolate(
      `export default { ${PLUGIN}, create(config) { throw new Error(config.missing.field); } };`,
      {},
    );
    assert.ok(smoke.ok, JSON.stringify(smoke));
  });

  const wasm: [what: string, module: string, reason: RegExp][] = [
    ["loops in its start function", `(module (func $s (loop (br 0))) (start $s) ${OK})`, /start-up fuel/],
    ["traps in its start function", `(module (func $s (unreachable)) (start $s) ${OK})`, /unreachable/],
    [
      "loops in _initialize",
      `(module (func (export "_initialize") (loop (br 0))) ${OK})`,
      /used up its start-up fuel in _initialize/,
    ],
    [
      "grows its memory without end in its start function",
      `(module (memory 1) (func $s (loop (drop (memory.grow (i32.const 1))) (br 0))) (start $s) ${OK})`,
      /start-up fuel/,
    ],
    [
      "recurses without end in its start function",
      `(module (func $s (call $s)) (start $s) ${OK})`,
      /could not be started|call stack/,
    ],
    [
      "has data outside its memory",
      `(module (memory 1) (data (i32.const 65536) "x") ${OK})`,
      /could not be started.*out of bounds/,
    ],
  ];
  for (const [what, module, reason] of wasm) {
    it(`is refused if it ${what}`, async () => {
      const smoke = await tryWasm(module);
      assert.ok(!smoke.ok);
      assert.match(smoke.reason, reason);
    });
  }

  const isolate: [what: string, source: string, reason: RegExp][] = [
    ["throws when it is evaluated", 'throw new Error("no"); export default 1;', /no/],
    ["never ends being evaluated", "while (true); export default 1;", /timed out/],
    ["exports no plugin", "export default 1;", /default export is not a plugin/],
    ["throws in create", `export default { ${PLUGIN}, create() { throw new Error("sad"); } };`, /Error: sad/],
    ["never ends in create", `export default { ${PLUGIN}, create() { while (true); } };`, /timed out/],
    [
      "has no hook for a phase of its manifest",
      `export default { ${PLUGIN}, create: () => ({ header_filter() {} }) };`,
      /create\(\) returned no access, which the manifest's phases promise/,
    ],
    [
      "reaches for Node",
      `export default { ${PLUGIN}, create() { process.exit(0); } };`,
      /process is not defined/,
    ],
    [
      "allocates without end in create",
      `export default { ${PLUGIN}, create() { const all = []; for (;;) all.push(new Array(1e5).fill(7)); } };`,
      /memory limit|timed out|MiB of memory|killed the process|not up within/,
    ],
    [
      "aborts the process that it is tried in",
      `export default { ${PLUGIN}, create() { 'x'.padEnd(2**29-30).split(''); } };`,
      /memory limit|timed out|MiB of memory|killed the process|not up within/,
    ],
  ];
  for (const [what, source, reason] of isolate) {
    it(`is refused if it ${what}`, async () => {
      const smoke = await tryIsolate(source);
      assert.ok(!smoke.ok, JSON.stringify(smoke));
      assert.match(smoke.reason, reason);
    });
  }

  it("is refused when it is not up in time, however often it is tried", async () => {
    const endless = `(module (func $s (loop (br 0))) (start $s) ${OK})`;
    const smoke = await tryWasm(endless, { deadlineMs: 0 }, 1e15);
    assert.deepEqual(smoke, { ok: false, reason: "it was not up within 0 ms" });
  });

  it("is refused when the bytes are not those that the forge named", async () => {
    const artifact = assemble(`(module ${OK})`);
    const config = configOf("extism", digestOf(Uint8Array.of(1)), {}, 1000);
    const smoke = await smokeRun({ artifact, config }, where);
    assert.ok(!smoke.ok);
    assert.match(smoke.reason, /has other bytes/);
  });

  it("leaves no process behind", async () => {
    const earlier = children();
    await Promise.all([tryWasm(`(module ${OK})`), tryIsolate("while (true); export default 1;")]);
    assert.equal(children(), earlier);
  });
});

/** Processes that this one has started and that are still there. */
function children(): string {
  return readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8");
}
