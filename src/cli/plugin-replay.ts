/** `gatehouse plugin replay`: recorded requests through two versions of a plugin, and what differs. */
import { readFile } from "node:fs/promises";
import { isObject } from "@gatehouse/sdk";
import type { Command } from "commander";
import type { ReplayAnswer } from "../admin/recordings-api.ts";
import { violationLines } from "../control/refusal.ts";
import { REPLAY_MS } from "../replay/limits.ts";
import { AdminApi, type AdminOptions, addAdminOptions, messageOf, Unreachable } from "./admin-api.ts";
import { PackError } from "./pack.ts";
import { type Result, report } from "./plugin-report.ts";
import { replayLines } from "./replay-text.ts";
import { inWorkspace } from "./workspace-path.ts";

const EXIT_HELP = `
Exit codes: 0 done; 1 refused, with every reason; 2 with --check, something differs; 3 the gateway cannot be reached or
is busy.`;
const DIFFERS = 2;
/** Those that wait for others take their turns before it. */
const TIMEOUT_MS = 6 * REPLAY_MS;

interface ReplayOptions extends AdminOptions {
  readonly from: string;
  readonly to: string;
  readonly workspace: string;
  readonly route?: string;
  readonly limit?: string;
  readonly config?: string;
  readonly check?: boolean;
  readonly json?: boolean;
}

export function registerReplayCommand(plugin: Command): void {
  addAdminOptions(
    plugin
      .command("replay")
      .description("run recorded requests through two versions of a plugin, and tell what differs")
      .argument("<name>", "plugin without its version")
      .requiredOption("--from <version>", "the version that runs now")
      .requiredOption("--to <version>", "the version to compare with it"),
  )
    .option("--workspace <name>", "workspace that the plugin is configured in", "default")
    .option("--route <route>", "requests of one route alone, by its name or id")
    .option("--limit <count>", "how many requests, the newest; default: 100")
    .option("--config <file>", "JSON file with the plugin's configuration; default: that of an entity of it")
    .option("--check", "end with exit code 2 if anything differs")
    .option("--json", "print the report as JSON")
    .addHelpText("after", EXIT_HELP)
    .action((name: string, options: ReplayOptions) => report(options.json, () => replay(name, options)));
}

async function replay(name: string, options: ReplayOptions): Promise<Result> {
  const { from, to, workspace, route, limit, config } = options;
  const asked = {
    from,
    to,
    ...(route === undefined ? {} : { route }),
    ...(limit === undefined ? {} : { limit: Number(limit) }),
    ...(config === undefined ? {} : { config: await readConfig(config) }),
  };
  const api = await AdminApi.open(options);
  const answer = await api.ask(
    "POST",
    inWorkspace(workspace, `plugin-packages/${encodeURIComponent(name)}/replay`),
    { body: JSON.stringify(asked), timeoutMs: TIMEOUT_MS },
  );
  const { status, body } = answer;
  if (status === 429 || status >= 500) throw new Unreachable(messageOf(answer));
  if (status !== 200 || body === null) {
    const reasons = isObject(body?.fields) ? violationLines(body.fields) : [];
    throw new PackError(reasons.length > 0 ? reasons : [messageOf(answer)]);
  }
  const told = body as unknown as ReplayAnswer;
  if (options.check && told.different > 0) process.exitCode = DIFFERS;
  return { lines: replayLines(told), json: told };
}

async function readConfig(file: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new PackError([`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`]);
  }
  let config: unknown = null;
  try {
    config = JSON.parse(text);
  } catch {
    // What is no JSON is no object either.
  }
  if (!isObject(config)) throw new PackError([`${file} holds no JSON object`]);
  return config;
}
