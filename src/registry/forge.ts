/**
 * The real forge as the registry asks for it: admission and metering by manifest, which names the runtime, the
 * phases and the limits, and then one try in a cordon of its own.
 */

import { type ForgeReport, listed } from "../sandbox/forge/forge.ts";
import type { Forge as ForgeClient } from "../sandbox/forge/forge-client.ts";
import type { Smoke, SmokeJob } from "../sandbox/forge/smoke.ts";
import type { GuestLimits } from "../sandbox/protocol/engine.ts";
import { asksOf, ungranted } from "../sandbox/wasm/abi.ts";
import { defaultConfig } from "./config-schema.ts";
import type { Manifest } from "./manifest.ts";
import type { Forge } from "./registry.ts";

const PAGE_BYTES = 65_536;

/** `tryGuest` answers null where too many uploads wait for their try. */
export function forgeBy(
  client: ForgeClient,
  tryGuest: (job: SmokeJob, workspace: string) => Promise<Smoke> | null,
): Forge {
  return async ({ workspace, artifact, manifest, limits }) => {
    const memoryPages = Math.max(1, Math.floor(limits.memoryBytes / PAGE_BYTES));
    const { runtime, phases } = manifest;
    const forged = await client.forge(artifact, runtime, phases, { memoryPages }, workspace);
    if (!forged.ok && "busy" in forged) return forged;
    const asked = ungranted((forged.ok ? forged.report.imports : forged.imports) ?? [], manifest.grants);
    if (!forged.ok) return { ok: false, reasons: [...forged.reasons, ...asked] };
    if (asked.length > 0) return { ok: false, reasons: asked };
    const job = {
      artifact: forged.emitted,
      config: startConfig(manifest, limits, forged.digest, forged.report.startFuel),
    };
    const smoke = await tryGuest(job, workspace);
    if (smoke === null) return { ok: false, busy: true };
    return smoke.ok
      ? { ok: true, emitted: forged.emitted, report: reportJson(forged.report, smoke) }
      : { ok: false, reasons: [`cannot be started: ${smoke.reason}`] };
  };
}

/** A guest with the defaults of its schema. One that cannot do without more is only evaluated. */
function startConfig(
  manifest: Manifest,
  limits: GuestLimits,
  digest: string,
  startFuel?: number,
): SmokeJob["config"] {
  const { name, runtime, phases, grants } = manifest;
  return {
    digest,
    runtime,
    phases: [...phases],
    instance: "resident",
    pluginId: name,
    config: defaultConfig(manifest.schema),
    asks: asksOf(grants),
    limits: { ...limits, fuel: startFuel ?? 0 },
  };
}

/** What the author is answered; docs/packages.md lists it. */
function reportJson(report: ForgeReport, { fuel, memoryBytes }: Extract<Smoke, { ok: true }>): object {
  const { bytesIn, bytesOut, imports, exports, notes } = report;
  const common = {
    bytes_in: bytesIn,
    bytes_out: bytesOut,
    imports: listed([...new Set(imports)]),
    exports,
    notes,
  };
  if (report.startFuel === undefined) return { ...common, start: { memory_bytes: memoryBytes } };
  return {
    ...common,
    functions: report.functions,
    memory_pages: report.memoryPages,
    tables: report.tables,
    features: report.features,
    start: { fuel, fuel_limit: report.startFuel, memory_bytes: memoryBytes },
  };
}
