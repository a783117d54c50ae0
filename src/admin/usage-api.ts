/**
 * `/plugin-usage` and `/{workspace}/plugin-usage`: what uploaded plugins have cost and done since the gateway
 * started, by workspace, plugin and version. Without a workspace it shows all of them: it is the operator's view.
 */
import type { LedgerRow } from "../sandbox/ledger.ts";
import { workspaceId } from "./entity-view.ts";
import { byId, pageOf } from "./page.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Route } from "./routes.ts";

export function usageRoutes(port: AdminPort): Route[] {
  return ["", "/:workspace"].map(
    (prefix): Route => ({
      path: `${prefix}/plugin-usage`,
      before: (call) => void workspaceId(port, call),
      async GET(call): Promise<Answer> {
        const { workspace } = call.params;
        const rows = (await port.pluginUsage()).filter(
          (row) => workspace === undefined || row.workspace === workspace,
        );
        return { status: 200, body: pageOf(byId(rows.map(usageJson)), call.query, call.path) };
      },
    }),
  );
}

function usageJson(row: LedgerRow) {
  const { workspace, plugin, version, failures } = row;
  return {
    id: `${workspace}/${plugin}@${version}`,
    workspace,
    plugin,
    version,
    calls: row.calls,
    failed: Object.values(failures).reduce((sum, count) => sum + count, 0),
    failures,
    fuel: row.fuel,
    cpu_ms: row.cpuMicros / 1000,
    wall_ms: Math.round(row.wallMs * 1000) / 1000,
    memory_peak_bytes: row.memoryBytes,
    host_calls: row.hostCalls,
    bytes_in: row.bytesIn,
    bytes_out: row.bytesOut,
  };
}
