/** `gatehouse plugin tail`: reads along what plugins do on a running gateway, until it is told to stop. */
import type { Command } from "commander";
import type { TailEvent } from "../tail/events.ts";
import { AdminApi, type AdminOptions, addAdminOptions } from "./admin-api.ts";
import { PackError } from "./pack.ts";
import { EXIT_HELP, guarded } from "./plugin-report.ts";
import { requestLines } from "./tail-text.ts";
import { inWorkspace } from "./workspace-path.ts";

interface TailOptions extends AdminOptions {
  readonly workspace: string;
  readonly level?: string;
  readonly route?: string;
  readonly status?: string;
  readonly requests?: string;
  readonly json?: boolean;
}

export function registerTailCommand(plugin: Command): void {
  addAdminOptions(
    plugin
      .command("tail")
      .description(
        "read along what plugins do for requests on a running gateway: phases, cost, what they log",
      )
      .argument("[name]", "plugin without its version; without it all plugins of the workspace"),
  )
    .option("--workspace <name>", "workspace that the plugin is configured in", "default")
    .option(
      "--level <level>",
      "requests with a line of that level (debug, info, warn, error) or a higher one, or a failed call",
    )
    .option("--route <route>", "requests of a route, by its name or id")
    .option("--status <status>", "requests answered by a status (404), class (5xx) or range (400-499)")
    .option("-n, --requests <count>", "stop after so many requests")
    .option("--json", "print each request as a line of JSON, as the Admin API tells it")
    .addHelpText("after", EXIT_HELP)
    .action((name: string | undefined, options: TailOptions) =>
      guarded(options.json, () => tail(name, options)),
    );
}

async function tail(name: string | undefined, options: TailOptions): Promise<void> {
  const most = options.requests === undefined ? Number.POSITIVE_INFINITY : Number(options.requests);
  if (!(most >= 1)) throw new PackError([`--requests is a count from 1 on, not '${options.requests}'`]);
  const api = await AdminApi.open(options);
  const query = new URLSearchParams();
  if (name !== undefined) query.set("plugin", name);
  for (const key of ["level", "route", "status"] as const)
    if (options[key] !== undefined) query.set(key, options[key]);
  const path = inWorkspace(options.workspace, `plugin-tail?${query}`);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  process.once("SIGTERM", () => stop.abort());
  let seen = 0;
  // The gateway ends a stream now and then, and asks again who reads.
  for (let first = true; seen < most && !stop.signal.aborted; first = false) {
    for await (const line of api.lines(path, stop.signal)) {
      const event = JSON.parse(line) as TailEvent | { readonly kind: "watching" };
      if (options.json) console.log(line);
      else show(event, { first, named: name === undefined });
      if (event.kind === "request" && ++seen >= most) break;
    }
  }
}

function show(
  event: TailEvent | { readonly kind: "watching" },
  { first, named }: { first: boolean; named: boolean },
): void {
  if (event.kind === "request") console.log(requestLines(event, { named }).join("\n"));
  else if (event.kind === "dropped") console.error(`${event.requests} requests are not shown: too many`);
  else if (first) console.error("reading along; Ctrl-C ends it");
}
