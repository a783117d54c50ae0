/** `gatehouse plugin recordings`: what request-recording has kept of a gateway's traffic. */
import { open } from "node:fs/promises";
import type { Command } from "commander";
import { printable } from "../printable.ts";
import type { RecordingSummary } from "../replay/recordings-file.ts";
import { AdminApi, type AdminOptions, addAdminOptions, messageOf, Unreachable } from "./admin-api.ts";
import { PackError } from "./pack.ts";
import { EXIT_HELP, type Result, report } from "./plugin-report.ts";
import { aligned, allRows } from "./rows.ts";
import { inWorkspace } from "./workspace-path.ts";

interface RecordingsOptions extends AdminOptions {
  readonly workspace: string;
  readonly route?: string;
  readonly export?: string;
  readonly delete?: boolean;
  readonly json?: boolean;
}

export function registerRecordingsCommand(plugin: Command): void {
  addAdminOptions(
    plugin
      .command("recordings")
      .description("requests that request-recording has kept: list, export or delete them"),
  )
    .option("--workspace <name>", "workspace whose requests they are", "default")
    .option("--route <route>", "those of one route alone, by its name or id")
    .option("--export <file>", "write them to a file, a line of JSON each (docs/replay.md has the format)")
    .option("--delete", "delete them, after they were exported if both are asked for")
    .option("--json", "print the list, or what was done, as JSON")
    .addHelpText("after", EXIT_HELP)
    .action((options: RecordingsOptions) => report(options.json, () => recordings(options)));
}

async function recordings(options: RecordingsOptions): Promise<Result> {
  const api = await AdminApi.open(options);
  const { route, workspace } = options;
  const filter: Record<string, string> = route === undefined ? {} : { route };
  const rows = await allRows<RecordingSummary>(api, inWorkspace(workspace, "recordings"), filter);
  if (options.export === undefined && !options.delete) return { lines: table(rows), json: { data: rows } };
  const done: { exported?: number; file?: string; deleted?: number } = {};
  const lines: string[] = [];
  if (options.export !== undefined) {
    done.exported = await exportTo(options.export, api, workspace, rows);
    done.file = options.export;
    lines.push(`wrote ${done.exported} recordings to ${options.export}`);
  }
  if (options.delete) {
    // One by one: what has come since then was not looked at.
    for (const { id } of rows) {
      const answer = await api.ask("DELETE", pathOf(workspace, id));
      if (answer.status !== 204) throw refused(answer);
    }
    done.deleted = rows.length;
    lines.push(`deleted ${rows.length} recordings`);
  }
  return { lines, json: done };
}

const pathOf = (workspace: string, id: string) =>
  inWorkspace(workspace, `recordings/${encodeURIComponent(id)}`);

/** The file is for whoever runs this alone. @returns how many it has. */
async function exportTo(
  path: string,
  api: AdminApi,
  workspace: string,
  rows: readonly RecordingSummary[],
): Promise<number> {
  const file = await open(path, "w", 0o600).catch((error: NodeJS.ErrnoException) => {
    throw new PackError([`${path} cannot be written (${error.code})`]);
  });
  try {
    let count = 0;
    for (const { id } of rows) {
      const answer = await api.ask("GET", pathOf(workspace, id));
      // Its time was over meanwhile.
      if (answer.status === 404) continue;
      if (answer.status !== 200 || answer.body === null) throw refused(answer);
      await file.write(`${JSON.stringify(answer.body)}\n`);
      count++;
    }
    return count;
  } finally {
    await file.close();
  }
}

function refused(answer: Parameters<typeof messageOf>[0]): Error {
  const message = messageOf(answer);
  return answer.status >= 500 || answer.status === 429 ? new Unreachable(message) : new PackError([message]);
}

const HEADS = ["recorded", "route", "method", "path", "status", "bytes", "id"];

function table(rows: readonly RecordingSummary[]): string[] {
  if (rows.length === 0)
    return ["nothing was recorded; put the plugin request-recording in force for a route (docs/replay.md)"];
  const cells = rows.map(({ recorded_at, route, method, path, status, bytes, id }) =>
    [
      recorded_at,
      route === null ? "-" : (route.name ?? route.id),
      method,
      path.length > 60 ? `${path.slice(0, 59)}…` : path,
      status === null ? "-" : String(status),
      String(bytes),
      id,
    ].map(printable),
  );
  return aligned([HEADS, ...cells], [0, 1, 2, 3, 6]);
}
