/**
 * `/recordings` and `/{workspace}/recordings`: what the plugin request-recording has kept, and
 * `/plugin-packages/{name}/replay`: recorded requests through two versions of a plugin.
 */

import type { Named } from "@gatehouse/sdk";
import { lookUp } from "../control/judge.ts";
import { violationMessage } from "../control/refusal.ts";
import type { Difference } from "../replay/compare.ts";
import { recordingJson } from "../replay/recording.ts";
import { RecordingsUnavailable } from "../replay/recordings.ts";
import type { Side } from "../replay/replay.ts";
import { type Replayed, ReplayRefused, ReplaysBusy } from "../replay/replays.ts";
import { notFound, numbered, Refusal, unsupportedType } from "./answers.ts";
import { readJson } from "./body.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import { byId, pageOf } from "./page.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Call, Route } from "./routes.ts";

/** Longest body of a replay, in bytes: it may hold a configuration. */
const MAX_REPLAY_BYTES = 1 << 20;

export function recordingRoutes(port: AdminPort): Route[] {
  return ["", "/:workspace"].flatMap((prefix): Route[] => [
    {
      path: `${prefix}/recordings`,
      before: (call) => void workspaceId(port, call),
      GET: (call) =>
        answered(async () => {
          const list = await port.recordings.list(selection(port, call));
          const page = pageOf(byId(list), call.query, call.path);
          const { route } = call.query;
          const next =
            page.next && typeof route === "string"
              ? `${page.next}&${new URLSearchParams({ route })}`
              : page.next;
          return { status: 200, body: { ...page, next } };
        }),
      DELETE: (call) => answered(() => remove(port, call, selection(port, call))),
    },
    {
      path: `${prefix}/recordings/:id`,
      before: (call) => void workspaceId(port, call),
      GET: (call) =>
        answered(async () => {
          const recording = await port.recordings.get(one(port, call));
          if (recording === null) throw notFound();
          return { status: 200, body: recordingJson(recording) };
        }),
      DELETE: (call) => answered(() => remove(port, call, one(port, call))),
    },
    {
      path: `${prefix}/plugin-packages/:id/replay`,
      maxBodyBytes: MAX_REPLAY_BYTES,
      before(call, method) {
        workspaceId(port, call);
        if (method === "POST" && call.type !== "application/json")
          throw unsupportedType(["application/json"]);
      },
      POST: (call) =>
        answered(async () => {
          const workspace = { id: workspaceId(port, call), name: workspaceName(call) };
          const plugin = call.params.id ?? "";
          const report = await port.replay(workspace, plugin, readJson(call.body));
          return { status: 200, body: reportJson(plugin, report) };
        }),
    },
  ]);
}

async function remove(
  port: AdminPort,
  call: Call,
  of: { readonly workspace: string; readonly id?: string | undefined },
): Promise<Answer> {
  const removed = await port.recordings.remove(of);
  if (removed > 0)
    await port.note(
      {
        action: "delete",
        entity: "recordings",
        id: of.id ?? null,
        name: null,
        workspace: of.workspace,
        before: { recordings: removed },
      },
      call.author,
    );
  return { status: 204 };
}

const one = (port: AdminPort, call: Call) => ({
  workspace: workspaceId(port, call),
  id: call.params.id ?? "",
});

/** Those that are asked for: of all routes, or of the one that `?route=` names. */
function selection(port: AdminPort, call: Call): { workspace: string; route?: string } {
  const workspace = workspaceId(port, call);
  const { route: written } = call.query;
  if (written === undefined) return { workspace };
  const route =
    typeof written === "string" ? lookUp(port.entities(), "routes", workspace, written, null) : undefined;
  if (route === undefined)
    throw numbered("invalidOptions", "invalid option (route: no such route)", {
      options: { route: "expected the id or the name of a route" },
    });
  return { workspace, route: route.id };
}

async function answered(run: () => Promise<Answer>): Promise<Answer> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof RecordingsUnavailable)
      throw new Refusal(503, { message: error.message }, { "retry-after": "1" });
    if (error instanceof ReplaysBusy)
      throw new Refusal(
        429,
        { message: "Other replays are running; try again in a moment" },
        { "retry-after": "5" },
      );
    if (!(error instanceof ReplayRefused)) throw error;
    const { fields } = error;
    throw numbered("schemaViolation", violationMessage(fields), { fields });
  }
}

/** One version in the answer to a replay. */
export interface SideAnswer {
  readonly version: string;
  readonly calls: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly fuel: number;
  readonly median_fuel: number;
  readonly cpu_ms: number;
  readonly median_cpu_ms: number;
  readonly memory_peak_bytes: number;
  readonly answered_with_nothing: Readonly<Record<string, number>>;
}

/** What a replay is answered. */
export interface ReplayAnswer {
  readonly plugin: string;
  readonly config_from: Replayed["configFrom"];
  readonly replayed: number;
  readonly different: number;
  readonly left_out: { readonly cut_bodies: number; readonly out_of_time: number };
  readonly without_response: number;
  readonly from: SideAnswer;
  readonly to: SideAnswer;
  readonly requests: readonly {
    readonly recording: string;
    readonly recorded_at: string;
    readonly route: Named | null;
    readonly method: string;
    readonly path: string;
    readonly differences: readonly Difference[];
    readonly fuel: { readonly from: number; readonly to: number };
    readonly cpu_ms: { readonly from: number; readonly to: number };
  }[];
}

function reportJson(plugin: string, report: Replayed): ReplayAnswer {
  return {
    plugin,
    config_from: report.configFrom,
    replayed: report.replayed,
    different: report.different,
    left_out: { cut_bodies: report.cutBodies, out_of_time: report.late },
    without_response: report.withoutResponse,
    from: sideJson(report.from),
    to: sideJson(report.to),
    requests: report.requests.map(({ recording: { id, at, request, route }, differences, fuel, cpuMs }) => ({
      recording: id,
      recorded_at: new Date(at).toISOString(),
      route: route && { id: route.id, name: route.name },
      method: request.method,
      path: request.path,
      differences,
      fuel,
      cpu_ms: cpuMs,
    })),
  };
}

function sideJson(side: Side): SideAnswer {
  return {
    version: side.version,
    calls: side.calls,
    failures: side.failures,
    fuel: side.fuel,
    median_fuel: side.medianFuel,
    cpu_ms: side.cpuMs,
    median_cpu_ms: side.medianCpuMs,
    memory_peak_bytes: side.memoryPeakBytes,
    answered_with_nothing: side.asked,
  };
}
