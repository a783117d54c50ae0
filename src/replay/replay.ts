/**
 * Recorded requests through two versions of a plugin, one request after the other and both versions side by side, in
 * cordons that do nothing else. No upstream is asked: it answers as it did when the request was recorded. What a guest
 * asks the gateway for is answered by `replay-host.ts`.
 */
import type { Hooks } from "@gatehouse/sdk";
import type { Manifest } from "../registry/manifest.ts";
import type { CredentialNames } from "../sandbox/calls/credential-names.ts";
import type { DetachedGuests, DetachedOptions } from "../sandbox/detached.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";
import { cpuAllowance, lowered, type WorkspaceLimits } from "../sandbox/limits.ts";
import { type Difference, differences } from "./compare.ts";
import { MOST_REPORTED } from "./limits.ts";
import { type Played, type PlayedFailure, play } from "./played.ts";
import { RecordedContext } from "./recorded-context.ts";
import { isWhole, type KeptRecording } from "./recording.ts";
import { ReplayHost } from "./replay-host.ts";

/** How long a call waits for its workspace's CPU time: longer than one in traffic, where a client waits. */
const CPU_WAIT_MS = 4000;

export interface ReplayVersion {
  readonly manifest: Manifest;
  /** Digest of the code that runs. */
  readonly digest: string;
  readonly code: Uint8Array;
}

export interface ReplayJob {
  readonly workspace: string;
  readonly limits: WorkspaceLimits;
  readonly recordings: readonly KeptRecording[];
  readonly from: ReplayVersion;
  readonly to: ReplayVersion;
  /** Valid by the schemas of both. */
  readonly config: { readonly from: unknown; readonly to: unknown };
  /** Under which names clients of the workspace send credentials. */
  readonly credentials: CredentialNames;
}

export type OpenGuests = (
  options: Pick<
    DetachedOptions,
    "artifact" | "onFailure" | "clock" | "cpuAllowance" | "cpuTotalMsPerSecond" | "memoryOf"
  >,
) => Promise<DetachedGuests>;

export interface Side {
  readonly version: string;
  readonly calls: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Units, of all requests; 0 for isolates. */
  readonly fuel: number;
  readonly cpuMs: number;
  /** Of one request, in the middle of all: the first ones pay for the start. */
  readonly medianFuel: number;
  readonly medianCpuMs: number;
  readonly memoryPeakBytes: number;
  /** What it asked the gateway for, and did without. */
  readonly asked: Readonly<Record<string, number>>;
}

export interface DifferingRequest {
  readonly recording: KeptRecording;
  readonly differences: readonly Difference[];
  readonly fuel: { readonly from: number; readonly to: number };
  readonly cpuMs: { readonly from: number; readonly to: number };
}

export interface ReplayReport {
  readonly from: Side;
  readonly to: Side;
  /** Through both versions. */
  readonly replayed: number;
  /** Left out as a body that the plugin may see was cut when it was recorded. */
  readonly cutBodies: number;
  /** Whose response is not known: phases of the response did not run. */
  readonly withoutResponse: number;
  /** Left out as the time was up. */
  readonly late: number;
  readonly different: number;
  /** The first of them. */
  readonly requests: readonly DifferingRequest[];
}

/** @param signal ends it early: what came until then is the report. */
export async function replay(job: ReplayJob, open: OpenGuests, signal: AbortSignal): Promise<ReplayReport> {
  const allowance = cpuAllowance(job.limits);
  const versions = [job.from, job.to];
  let now = Date.now();
  await using guests = disposable(
    await open({
      artifact(digest) {
        const version = versions.find((one) => one.digest === digest);
        if (version === undefined) throw new Error(`no code for ${digest}`);
        return version.code;
      },
      onFailure: ({ workspace, phase, failure, reason }) =>
        sides[workspace === laneOf(job, "from") ? "from" : "to"].failures.push({
          phase,
          failure,
          message: reason.slice(0, 500),
        }),
      clock: () => now,
      cpuAllowance: () => allowance,
      // Both together have what the workspace has.
      cpuTotalMsPerSecond: allowance.msPerSecond,
      memoryOf: () => job.limits.workspaceMemoryBytes,
    }),
  );
  const sides = { from: new Player(job, "from", guests.it), to: new Player(job, "to", guests.it) };
  const tally = { replayed: 0, cutBodies: 0, withoutResponse: 0, late: 0, different: 0 };
  const requests: DifferingRequest[] = [];
  const { promise: over, resolve: end } = Promise.withResolvers<"over">();
  if (signal.aborted) end("over");
  else signal.addEventListener("abort", () => end("over"), { once: true });
  for (const [i, recording] of job.recordings.entries()) {
    if (isCutFor(recording, versions)) {
      tally.cutBodies++;
      continue;
    }
    // The same for both: what they make of the time does not differ.
    now = Date.now();
    const both = signal.aborted
      ? over
      : Promise.all([sides.from.play(recording, now), sides.to.play(recording, now)]);
    const played = await Promise.race([both, over]);
    if (played === "over") {
      tally.late = job.recordings.length - i;
      break;
    }
    const [from, to] = played;
    tally.replayed++;
    if (from.played.response === null || to.played.response === null) tally.withoutResponse++;
    const found = differences(from.played, to.played);
    if (found.length === 0) continue;
    tally.different++;
    if (requests.length === MOST_REPORTED) continue;
    requests.push({
      recording,
      differences: found,
      fuel: { from: from.fuel, to: to.fuel },
      cpuMs: { from: from.cpuMs, to: to.cpuMs },
    });
  }
  return { from: sides.from.report(), to: sides.to.report(), ...tally, requests };
}

const disposable = (it: DetachedGuests) => ({ it, [Symbol.asyncDispose]: () => it.close() });

/** In place of the workspace, so that each version has cordons of its own; the log names it. */
const laneOf = ({ workspace }: ReplayJob, side: "from" | "to") => `${workspace} (replay, ${side})`;

/** A plugin that sees a part of a body as if it were all would do what it never does. */
function isCutFor({ request, response }: KeptRecording, versions: readonly ReplayVersion[]): boolean {
  const sees = (bytes: "requestBodyBytes" | "responseBodyBytes") =>
    versions.some(({ manifest }) => manifest.grants[bytes] > 0);
  return (
    (sees("requestBodyBytes") && !isWhole(request.body)) ||
    (response !== null && sees("responseBodyBytes") && !isWhole(response.body))
  );
}

interface Cost {
  readonly fuel: number;
  readonly cpuMs: number;
}

/** One version. */
class Player {
  /** Those of the request that is replayed now. */
  failures: PlayedFailure[] = [];
  readonly #workspace: string;
  readonly #version: ReplayVersion;
  readonly #hooks: Hooks;
  readonly #host: ReplayHost;
  readonly #row: LedgerRow;
  readonly #costs: Cost[] = [];

  constructor(job: ReplayJob, side: "from" | "to", { client }: DetachedGuests) {
    const version = job[side];
    const { manifest, digest } = version;
    const { name, runtime, phases, instance, fail, grants } = manifest;
    this.#workspace = job.workspace;
    this.#version = version;
    this.#host = new ReplayHost(name);
    this.#hooks = client.hooks(
      {
        digest,
        runtime,
        phases: [...phases],
        instance,
        pluginId: name,
        config: job.config[side],
        limits: lowered(job.limits, manifest.limits),
        workspace: laneOf(job, side),
        name,
        version: manifest.version,
        fail,
        grants,
        cpuWaitMs: CPU_WAIT_MS,
      },
      this.#host,
      job.credentials,
    );
    this.#row = client.ledger().find(({ workspace }) => workspace === laneOf(job, side)) as LedgerRow;
  }

  async play(recording: KeptRecording, now: number): Promise<Cost & { readonly played: Played }> {
    const before = this.#cost();
    this.failures = [];
    this.#host.consumer = recording.consumer;
    const { name } = this.#version.manifest;
    const played = await play(
      new RecordedContext(recording, this.#workspace, now),
      recording.response,
      name,
      this.#hooks,
      this.failures,
    );
    const after = this.#cost();
    const cost = { fuel: after.fuel - before.fuel, cpuMs: after.cpuMs - before.cpuMs };
    this.#costs.push(cost);
    return { ...cost, played };
  }

  #cost(): Cost {
    return { fuel: this.#row.fuel, cpuMs: this.#row.cpuMicros / 1000 };
  }

  report(): Side {
    const { calls, failures, memoryBytes } = this.#row;
    const { fuel, cpuMs } = this.#cost();
    return {
      version: this.#version.manifest.version,
      calls,
      failures,
      fuel,
      cpuMs,
      medianFuel: median(this.#costs.map((cost) => cost.fuel)),
      medianCpuMs: median(this.#costs.map((cost) => cost.cpuMs)),
      memoryPeakBytes: memoryBytes,
      asked: this.#host.asked,
    };
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
