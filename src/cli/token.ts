/**
 * `gatehouse token ...`: who may speak to the Admin API of a running gateway.
 *
 * Exit codes: 0 done; 1 refused, something has to be changed; 3 the gateway cannot be reached or is busy, and the same
 * command may succeed later.
 */
import { isObject } from "@gatehouse/sdk";
import type { Command } from "commander";
import { ROLES } from "../access/standing.ts";
import { printable } from "../printable.ts";
import {
  type AdminAnswer,
  AdminApi,
  type AdminOptions,
  addAdminOptions,
  messageOf,
  Unreachable,
  WrongAdmin,
} from "./admin-api.ts";

const EXIT = { refused: 1, tryAgain: 3 } as const;

const EXIT_HELP = `
Exit codes: 0 done; 1 refused; 3 the gateway cannot be reached or is busy.`;

interface Options extends AdminOptions {
  readonly json?: boolean;
  readonly workspace?: string;
  readonly role?: string;
  readonly expires?: string;
}

interface Result {
  readonly lines: readonly string[];
  readonly json: unknown;
}

class Refused extends Error {}

/** Adds `token create`, `token list` and `token revoke` to a program. */
export function registerTokenCommands(program: Command): void {
  const token = program.command("token").description("tokens of the Admin API: make, list and revoke them");
  const add = (usage: string, description: string) =>
    addAdminOptions(token.command(usage).description(description))
      .option("--json", "print the result as JSON")
      .addHelpText("after", EXIT_HELP);
  add("create <name>", "make a token; it is shown this once")
    .requiredOption("--role <role>", `what it may do: ${ROLES.join(", ")}`)
    .requiredOption("--workspace <name>", "the workspace that it is for, or '*' for all of them")
    .option("--expires <time>", "when it ends: in 12h, 30d or so, or at 2027-01-31T00:00:00Z; default: never")
    .action((name: string, options: Options) => report(options, (api) => create(api, name, options)));
  add("list", "list tokens, without what is secret of them")
    .option("--workspace <name>", "those of one workspace alone")
    .action((options: Options) => report(options, (api) => list(api, options)));
  add("revoke <id>", "end a token, at once and on all gateways of the database")
    .option(
      "--workspace <name>",
      "the workspace that it is for, if one's own token is for that workspace alone",
    )
    .action((id: string, options: Options) => report(options, (api) => revoke(api, id, options)));
}

const pathOf = (workspace: string | undefined): string =>
  workspace === undefined || workspace === "*"
    ? "admin-tokens"
    : `${encodeURIComponent(workspace)}/admin-tokens`;

async function create(api: AdminApi, name: string, { role, workspace, expires }: Options): Promise<Result> {
  const body = JSON.stringify({
    name,
    role,
    workspace,
    ...(expires === undefined ? {} : { expires_at: expiryOf(expires) }),
  });
  const made = expected(await api.ask("POST", pathOf(workspace), { body }), 201);
  return {
    lines: [
      `token ${made.id}: ${made.name}, ${made.role} of ${named(made.workspace)}, ends ${ends(made)}`,
      String(made.token),
    ],
    json: made,
  };
}

async function list(api: AdminApi, { workspace }: Options): Promise<Result> {
  const tokens: Record<string, unknown>[] = [];
  let offset: string | null = null;
  do {
    const query = new URLSearchParams({ size: "1000", ...(offset === null ? {} : { offset }) });
    const page = expected(await api.ask("GET", `${pathOf(workspace)}?${query}`), 200);
    if (Array.isArray(page.data)) tokens.push(...page.data.filter(isObject));
    offset = typeof page.offset === "string" ? page.offset : null;
  } while (offset !== null);
  return {
    lines: tokens.map(
      (one) =>
        `${one.id}  …${one.last_four}  ${one.role} of ${named(one.workspace)}, ends ${ends(one)}: ${printable(String(one.name))}`,
    ),
    json: tokens,
  };
}

async function revoke(api: AdminApi, id: string, { workspace }: Options): Promise<Result> {
  const path = `${pathOf(workspace)}/${encodeURIComponent(id)}`;
  const there = await api.ask("GET", path);
  if (there.status === 404) throw new Refused(`there is no token '${id}'`);
  expected(there, 200);
  const gone = await api.ask("DELETE", path);
  if (gone.status !== 204) throw new Refused(messageOf(gone));
  return { lines: [`token ${id} is revoked`], json: { id, revoked: true } };
}

function expected(answer: AdminAnswer, status: number): Record<string, unknown> {
  if (answer.status === status && answer.body !== null) return answer.body;
  if (answer.status === 429 || answer.status >= 500) throw new Unreachable(messageOf(answer));
  throw new Refused(messageOf(answer));
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400 };

/** Seconds since the epoch. */
function expiryOf(text: string): number {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined)
    return Math.floor(Date.now() / 1000) + Number(count) * (UNIT_SECONDS[unit] ?? 0);
  const at = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at))
    throw new Refused(`--expires '${text}' is no time; write 12h, 30d or 2027-01-31T00:00:00Z`);
  return Math.floor(at / 1000);
}

const named = (workspace: unknown): string =>
  workspace === "*" ? "all workspaces" : `workspace ${workspace}`;

const ends = ({ expires_at: at }: Record<string, unknown>): string =>
  typeof at === "number" ? new Date(at * 1000).toISOString() : "never";

async function report(options: Options, run: (api: AdminApi) => Promise<Result>): Promise<void> {
  try {
    const { lines, json } = await run(await AdminApi.open(options));
    console.log(options.json ? JSON.stringify(json) : lines.join("\n"));
  } catch (error) {
    const isRefused = error instanceof Refused || error instanceof WrongAdmin;
    if (!isRefused && !(error instanceof Unreachable)) throw error;
    process.exitCode = isRefused ? EXIT.refused : EXIT.tryAgain;
    if (options.json) console.log(JSON.stringify({ error: { reasons: [error.message] } }));
    else console.error(error.message);
  }
}
