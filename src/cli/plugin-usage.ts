/** `gatehouse plugin usage`: what uploaded plugins have cost and done since the gateway started. */
import type { Command } from "commander";
import { printable } from "../printable.ts";
import { AdminApi, type AdminOptions, addAdminOptions } from "./admin-api.ts";
import { EXIT_HELP, type Result, report } from "./plugin-report.ts";
import { aligned, allRows } from "./rows.ts";

interface UsageOptions extends AdminOptions {
  readonly workspace: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

export function registerUsageCommand(plugin: Command): void {
  addAdminOptions(
    plugin
      .command("usage")
      .description("what uploaded plugins have cost and done since the gateway started")
      .argument("[name]", "plugin without its version; without it all plugins"),
  )
    .option("--workspace <name>", "workspace that the plugins are configured in", "default")
    .option("--all", "of all workspaces, which takes a token for all")
    .option("--json", "print the rows as JSON")
    .addHelpText("after", EXIT_HELP)
    .action((name: string | undefined, options: UsageOptions) =>
      report(options.json, () => usage(name, options)),
    );
}

async function usage(name: string | undefined, options: UsageOptions): Promise<Result> {
  const api = await AdminApi.open(options);
  // Without a workspace it is that of all, also for `default`.
  const list = options.all ? "plugin-usage" : `${encodeURIComponent(options.workspace)}/plugin-usage`;
  const rows = await allRows<Row>(api, list);
  const wanted = name === undefined ? rows : rows.filter(({ plugin }) => plugin === name);
  return { lines: wanted.length === 0 ? ["no calls yet"] : table(wanted), json: { data: wanted } };
}

/** A row of `GET /plugin-usage`. */
interface Row {
  readonly workspace: string;
  readonly plugin: string;
  readonly version: string;
  readonly calls: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly fuel: number;
  readonly cpu_ms: number;
  readonly wall_ms: number;
  readonly memory_peak_bytes: number;
  readonly host_calls: number;
}

const HEADS = [
  "plugin",
  "calls",
  "failed",
  "cpu/call",
  "fuel/call",
  "wall/call",
  "memory peak",
  "host calls",
];

function table(rows: readonly Row[]): string[] {
  const cells = rows.map((row) => {
    const each = (sum: number) => sum / Math.max(1, row.calls);
    const kinds = Object.entries(row.failures).map(([kind, count]) => `${kind} ${count}`);
    return [
      printable(`${row.workspace}/${row.plugin}@${row.version}`),
      String(row.calls),
      row.failed === 0 ? "0" : `${row.failed} (${kinds.join(", ")})`,
      `${each(row.cpu_ms).toFixed(3)} ms`,
      Math.round(each(row.fuel)).toString(),
      `${each(row.wall_ms).toFixed(2)} ms`,
      `${(row.memory_peak_bytes / 1024 / 1024).toFixed(1)} MiB`,
      String(row.host_calls),
    ];
  });
  return aligned([HEADS, ...cells]);
}
