/**
 * The sandbox as tests of an author's plugin open it: the package as `plugin pack` makes it, through the forge, in a cordon
 * behind the fence, with the grants and limits of its manifest. `@gatehouse/sdk/testing` loads this module where
 * `gatehouse plugin test` says so.
 *
 * Two things differ from a gateway. A failure is always the request's, whatever the manifest's `fail` says: a test must
 * hear of it. And time is measured on a machine that does other things, so that calls may take longer than in traffic;
 * fuel and memory are held to the byte.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { access } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Context, type Host, schemaFromJson, validate } from "@gatehouse/sdk";
import type { CallCost, OpenInSandbox } from "@gatehouse/sdk/testing";
import { describeViolations, PackError, packDirectory, SOURCE_FILE } from "../cli/pack.ts";
import { boundedPatterns } from "../registry/config-schema.ts";
import { forgeBy } from "../registry/forge.ts";
import type { Manifest } from "../registry/manifest.ts";
import { openPackage } from "../registry/package.ts";
import type { Forge } from "../registry/registry.ts";
import type { CallWitness, Witness } from "../sandbox/calls/witness.ts";
import { DetachedGuests } from "../sandbox/detached.ts";
import { probeFence } from "../sandbox/fence/fence-probe.ts";
import { prepareRoom } from "../sandbox/fence/room.ts";
import { digestOf } from "../sandbox/forge/forge.ts";
import { createForge, type Forge as ForgeClient } from "../sandbox/forge/forge-client.ts";
import { cpuAllowance, DEFAULT_LIMITS, lowered } from "../sandbox/limits.ts";
import type { GuestLimits } from "../sandbox/protocol/engine.ts";

/** How many times its time a call may take in a test. */
const PATIENCE = 10;
/** The sandbox is closed so long after the last plugin was: a test file ends when nothing is left of it. */
const IDLE_MS = 200;

interface Admitted {
  readonly manifest: Manifest;
  readonly digest: string;
}

interface Parts {
  readonly prefix: string;
  readonly forge: ForgeClient;
  readonly guests: DetachedGuests;
  readonly codes: Map<string, Uint8Array>;
  /** How often guests have failed. */
  readonly failures: { count: number };
}

/** Cordons of this process, and what runs there. */
class TestSandbox {
  readonly #parts: Parts;
  readonly #admit: Forge;
  readonly #admitted = new Map<string, Promise<Admitted>>();
  readonly #costs = new WeakMap<Context, CallCost[]>();

  private constructor(parts: Parts) {
    this.#parts = parts;
    // Whether it comes up is seen by the first request.
    this.#admit = forgeBy(parts.forge, async () => ({ ok: true, fuel: 0, memoryBytes: 0 }));
    parts.guests.client.watch(this.#witness);
  }

  static async open(): Promise<TestSandbox> {
    const prefix = mkdtempSync(join(tmpdir(), "gatehouse-test-"));
    process.once("exit", () => rmSync(prefix, { recursive: true, force: true }));
    const room = await prepareRoom(prefix);
    const fence = await probeFence(room);
    const codes = new Map<string, Uint8Array>();
    const failures = { count: 0 };
    const guests = await DetachedGuests.open({
      room,
      fence,
      log: () => {},
      cpuAllowance: () => cpuAllowance(DEFAULT_LIMITS),
      cpuTotalMsPerSecond: Number.POSITIVE_INFINITY,
      memoryOf: () => DEFAULT_LIMITS.workspaceMemoryBytes,
      clock: () => Date.now(),
      onFailure: () => failures.count++,
      artifact(digest) {
        const code = codes.get(digest);
        if (code === undefined) throw new Error(`no code for ${digest}`);
        return code;
      },
    });
    return new TestSandbox({
      prefix,
      forge: createForge({ place: { room, fence } }),
      guests,
      codes,
      failures,
    });
  }

  /** @throws {PackError} with every reason why it is no plugin. */
  async plugin(directory: string, given: unknown, host: Host) {
    const known = this.#admitted.get(directory) ?? this.#read(directory);
    this.#admitted.set(directory, known);
    const { manifest, digest } = await known;
    const { name, version, runtime, phases, instance, grants } = manifest;
    const { client } = this.#parts.guests;
    const hooks = client.hooks(
      {
        digest,
        runtime,
        phases: [...phases],
        instance,
        pluginId: host.pluginId,
        config: checkedConfig(manifest, given),
        limits: patient(lowered(DEFAULT_LIMITS, manifest.limits)),
        // A plugin that killed its cordon is held back under its workspace: the next test begins in another.
        workspace: `test-${this.#parts.failures.count}`,
        name,
        version,
        fail: "closed",
        grants,
        cpuWaitMs: DEFAULT_LIMITS.cpuWaitMs,
      },
      host,
    );
    return {
      name,
      hooks,
      costs: (ctx: Context) => this.#costs.get(ctx) ?? [],
      close: () => client.release(hooks),
    };
  }

  async close(): Promise<void> {
    const { prefix, forge, guests } = this.#parts;
    await Promise.all([forge.close(), guests.close()]);
    rmSync(prefix, { recursive: true, force: true });
  }

  async #read(directory: string): Promise<Admitted> {
    const { bytes, manifest } = await packDirectory(directory, { build: await hasSource(directory) });
    const { opened, violations } = await openPackage(bytes);
    if (violations) throw new PackError(describeViolations("plugin.yaml", violations));
    const limits = lowered(DEFAULT_LIMITS, manifest.limits);
    const { artifact } = opened;
    const forged = await this.#admit({ workspace: "default", artifact, manifest, limits });
    if (!forged.ok) throw new PackError("busy" in forged ? ["the forge is busy"] : forged.reasons);
    const digest = digestOf(forged.emitted);
    this.#parts.codes.set(digest, forged.emitted);
    return { manifest, digest };
  }

  readonly #witness: Witness = (_guest, ctx, phase): CallWitness => {
    let costs = this.#costs.get(ctx);
    if (costs === undefined) {
      costs = [];
      this.#costs.set(ctx, costs);
    }
    const all = costs;
    const sum = { cpuMs: 0, fuel: 0, memoryBytes: 0, hostCalls: 0 };
    return {
      turn({ cpuMicros, fuel, memoryBytes }, hostCalls) {
        sum.cpuMs += cpuMicros / 1000;
        sum.fuel += fuel;
        sum.memoryBytes = Math.max(sum.memoryBytes, memoryBytes);
        sum.hostCalls += hostCalls.length;
      },
      end: ({ wallMs }) => all.push({ phase, wallMs, ...sum }),
    };
  };
}

/** A plugin that is there as source is built anew: what lies beside it may be old. */
function hasSource(directory: string): Promise<boolean> {
  return access(join(directory, SOURCE_FILE)).then(
    () => true,
    () => false,
  );
}

function patient(limits: GuestLimits): GuestLimits {
  return { ...limits, cpuMs: limits.cpuMs * PATIENCE, wallMs: limits.wallMs * PATIENCE };
}

function checkedConfig({ schema, name }: Manifest, given: unknown): unknown {
  const { value, violations } = validate(schemaFromJson(schema), given ?? {}, { compile: boundedPatterns() });
  if (violations.length === 0) return value;
  throw new TypeError(
    violations.map(({ path, message }) => `${name}: config.${path.join(".")}: ${message}`).join("\n"),
  );
}

let sandbox: Promise<TestSandbox> | null = null;
let open = 0;
let idle: NodeJS.Timeout | undefined;

export const openInSandbox: OpenInSandbox = async (directory, config, host) => {
  clearTimeout(idle);
  open++;
  let left = false;
  const leave = () => {
    if (left) return;
    left = true;
    if (--open === 0) idle = setTimeout(closeIdle, IDLE_MS);
  };
  try {
    sandbox ??= TestSandbox.open();
    const plugin = await (await sandbox).plugin(directory, config, host);
    return {
      ...plugin,
      close() {
        plugin.close();
        leave();
      },
    };
  } catch (error) {
    leave();
    throw error;
  }
};

async function closeIdle(): Promise<void> {
  const old = sandbox;
  sandbox = null;
  await (await old)?.close();
}
