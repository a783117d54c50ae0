/** `gatehouse plugin list|search|show|yank|channel|consent|keys|keygen`: what the registry of a gateway holds, and what is done with it. */
import { readFile } from "node:fs/promises";
import { isObject } from "@gatehouse/sdk";
import type { Command } from "commander";
import { violationLines } from "../control/refusal.ts";
import { printable } from "../printable.ts";
import {
  AdminApi,
  type AdminOptions,
  addAdminOptions,
  messageOf,
  Unreachable,
  WrongAdmin,
} from "./admin-api.ts";
import { makeAuthorKey } from "./author-key-file.ts";
import { PackError } from "./pack.ts";
import { EXIT_HELP, type Result, report } from "./plugin-report.ts";
import { inWorkspace } from "./workspace-path.ts";

export interface RegistryOptions extends AdminOptions {
  readonly workspace: string;
  readonly json?: boolean;
}

type Body = Record<string, unknown>;

/** Adds the commands about packages that are published. */
export function registerRegistryCommands(plugin: Command): void {
  plugin
    .command("keygen")
    .description("make an author's key to sign packages with: <file> and <file>.pub")
    .argument("<file>", "file to write; it is nobody else's to read")
    .option("--json", "print the result as JSON")
    .addHelpText("after", EXIT_HELP)
    .action((file: string, options: { json?: boolean }) => report(options.json, () => keygen(file)));
  const list = (command: Command) =>
    remote(command.option("--channel <name>", "the versions that a channel points to"));
  list(plugin.command("list").description("packages of a workspace")).action((options: ListOptions) =>
    run(options, (api) => listed(api, options, null)),
  );
  list(plugin.command("search").description("packages with a text in their name").argument("<text>")).action(
    (text: string, options: ListOptions) => run(options, (api) => listed(api, options, text)),
  );
  remote(
    plugin
      .command("show")
      .description("a package, or a plugin with its versions, channels and users")
      .argument("<name>", "plugin, plugin@version, or id of a package"),
  ).action((name: string, options: RegistryOptions) => run(options, (api) => show(api, name)));
  remote(
    plugin
      .command("yank")
      .description("let ranges and 'latest' choose a version no more; who names it keeps it")
      .argument("<package>", "plugin@version")
      .option("--reason <text>", "why, for those who use it")
      .option("--undo", "let it be chosen again"),
  ).action((name: string, options: YankOptions) => run(options, (api) => yank(api, name, options)));
  remote(
    plugin
      .command("channel")
      .description("show a plugin's channels, or move one to a version")
      .argument("<plugin>")
      .argument("[channel]", "such as stable")
      .argument("[version]", "that it is to point to")
      .option("--why <text>", "why, for its history")
      .option("--remove", "remove the channel"),
  ).action(
    (name: string, channel: string | undefined, version: string | undefined, options: ChannelOptions) =>
      run(options, (api) => channels(api, name, channel, version, options)),
  );
  remote(
    plugin
      .command("consent")
      .description("let a plugin have in a workspace what a version of it asks for")
      .argument("<plugin>", "plugin, or owner/plugin of one that is shared")
      .argument("<version>"),
  ).action((name: string, version: string, options: RegistryOptions) =>
    run(options, (api) => consent(api, name, version)),
  );
  const keys = plugin.command("keys").description("whose signatures count in a workspace");
  remote(keys.command("list").description("keys of a workspace's authors")).action(
    (options: RegistryOptions) => run(options, listKeys),
  );
  remote(
    keys
      .command("add")
      .description("register an author's public key")
      .argument("<name>", "by which signatures call it")
      .argument("<file>", "the file that ends in .pub"),
  ).action((name: string, file: string, options: RegistryOptions) =>
    run(options, (api) => addKey(api, name, file)),
  );
  for (const [verb, description] of [
    ["revoke", "let a key sign nothing more; what it has signed stays signed"],
    ["remove", "remove a key that has signed nothing"],
  ] as const)
    remote(keys.command(verb).description(description).argument("<name>")).action(
      (name: string, options: RegistryOptions) => run(options, (api) => endKey(api, verb, name)),
    );
}

/** With the options of all commands that ask a gateway about packages. */
export function remote(command: Command): Command {
  return addAdminOptions(command)
    .option("--workspace <name>", "workspace that is meant", "default")
    .option("--json", "print the result as JSON")
    .addHelpText("after", EXIT_HELP);
}

/** The Admin API in one workspace: what it refuses is thrown with every reason. */
export class Asked {
  readonly #api: AdminApi;
  readonly workspace: string;

  constructor(api: AdminApi, workspace: string) {
    this.#api = api;
    this.workspace = workspace;
  }

  async ask(method: Parameters<AdminApi["ask"]>[0], path: string, body?: object): Promise<Body> {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const answer = await this.#api.ask(method, inWorkspace(this.workspace, path), sent);
    const { status, body: told } = answer;
    if (status === 204) return {};
    if (status < 300 && told !== null) return told;
    if (status === 429 || status >= 500) throw new Unreachable(messageOf(answer));
    if (status === 404 && told?.message === "Not found")
      throw new WrongAdmin(`there is none in workspace '${this.workspace}' (404)`);
    const lines = isObject(told?.fields) ? violationLines(told.fields) : [];
    throw lines.length > 0 ? new PackError(lines) : new WrongAdmin(messageOf(answer));
  }

  /** All pages of a list. */
  async all(path: string, query: Readonly<Record<string, string>>): Promise<Body[]> {
    const found: Body[] = [];
    for (let offset: string | null = null; ; ) {
      const search = new URLSearchParams({ ...query, size: "1000", ...(offset === null ? {} : { offset }) });
      const page = await this.ask("GET", `${path}?${search}`);
      found.push(...bodies(page.data));
      if (typeof page.offset !== "string") return found;
      offset = page.offset;
    }
  }
}

export function run(options: RegistryOptions, work: (api: Asked) => Promise<Result>): Promise<void> {
  return report(options.json, async () => work(new Asked(await AdminApi.open(options), options.workspace)));
}

async function keygen(file: string): Promise<Result> {
  const { publicKey } = await makeAuthorKey(file);
  return {
    lines: [
      `${file}: the private key; keep it to yourself`,
      `${file}.pub: register it: gatehouse plugin keys add <name> ${file}.pub`,
    ],
    json: { private_key_file: file, public_key_file: `${file}.pub`, public_key: publicKey },
  };
}

interface ListOptions extends RegistryOptions {
  readonly channel?: string;
}

async function listed(api: Asked, { channel }: ListOptions, search: string | null): Promise<Result> {
  const query = { ...(channel === undefined ? {} : { channel }), ...(search === null ? {} : { search }) };
  const packages = await api.all("plugin-packages", query);
  const lines = packages
    .map(({ name, version, runtime, id }) => [`${name}@${version}`, String(runtime), String(id)])
    .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1));
  return {
    lines: lines.length === 0 ? ["no packages"] : columns(lines),
    json: { data: packages },
  };
}

async function show(api: Asked, name: string): Promise<Result> {
  const body = await api.ask("GET", `plugin-packages/${encodeURIComponent(name)}`);
  return { lines: Array.isArray(body.versions) ? lineText(body) : packageText(body), json: body };
}

function lineText(line: Body): string[] {
  const versions = bodies(line.versions).map((one) => [
    `  ${one.version}`,
    [
      ...list(one.channels),
      ...list(one.signed_by).map((key) => `signed by ${key}`),
      ...(isObject(one.yanked) ? [`yanked: ${one.yanked.reason}`] : []),
    ].join(", "),
    String(one.id),
  ]);
  const uses = bodies(line.used_by).map((use) => {
    const waits = isObject(use.waits_for_consent)
      ? `waits for consent to ${use.waits_for_consent.version}: ${asks(use.waits_for_consent.asks)}`
      : "";
    return [`  ${use.workspace}/${use.name}`, String(use.version ?? use.why), waits];
  });
  return [
    printable(`${line.workspace}/${line.name}, ${line.versions_total} versions`),
    ...columns(versions),
    `used by ${line.used_by_total} plugin entities`,
    ...columns(uses),
  ];
}

function packageText(one: Body): string[] {
  const grants = Object.entries(isObject(one.grants) ? one.grants : {}).flatMap(([grant, value]) =>
    value === false || value === 0 || (Array.isArray(value) && value.length === 0)
      ? []
      : [[`  ${grant}`, Array.isArray(value) ? value.join(", ") : String(value)]],
  );
  const signers = bodies(one.signatures).map(({ key }) => String(key));
  return [
    printable(`${one.name}@${one.version} (${one.runtime}; ${list(one.phases).join(", ")})`),
    String(one.id),
    ...(isObject(one.yanked) ? [printable(`yanked: ${one.yanked.reason}`)] : []),
    printable(signers.length === 0 ? "not signed" : `signed by ${signers.join(", ")}`),
    grants.length === 0 ? "asks for no grants" : "asks for",
    ...columns(grants),
  ];
}

const asks = (excess: unknown): string =>
  bodies(excess)
    .map(({ grant, asked }) => `${grant} ${Array.isArray(asked) ? asked.join(" ") : asked}`)
    .join("; ");

interface YankOptions extends RegistryOptions {
  readonly reason?: string;
  readonly undo?: boolean;
}

async function yank(api: Asked, name: string, { reason, undo }: YankOptions): Promise<Result> {
  if (undo !== true && reason === undefined)
    throw new PackError(["--reason: say why, for those who use the version"]);
  const path = `plugin-packages/${encodeURIComponent(name)}`;
  const body = await (undo === true
    ? api.ask("POST", `${path}/unyank`)
    : api.ask("POST", `${path}/yank`, { reason }));
  const told =
    undo === true ? "can be chosen again" : "is chosen by no range any more; who names it keeps it";
  return { lines: [printable(`${body.name}@${body.version} ${told}`)], json: body };
}

interface ChannelOptions extends RegistryOptions {
  readonly why?: string;
  readonly remove?: boolean;
}

async function channels(
  api: Asked,
  name: string,
  channel: string | undefined,
  version: string | undefined,
  { why, remove }: ChannelOptions,
): Promise<Result> {
  const path = `plugin-packages/${encodeURIComponent(name)}/channels`;
  if (channel === undefined) {
    const body = await api.ask("GET", path);
    const rows = bodies(body.data).map((one) => [String(one.name), String(one.version), lastMove(one)]);
    return { lines: rows.length === 0 ? ["no channels beside 'latest'"] : columns(rows), json: body };
  }
  const one = `${path}/${encodeURIComponent(channel)}`;
  if (remove === true) {
    await api.ask("DELETE", one);
    return {
      lines: [printable(`channel '${channel}' of ${name} is removed`)],
      json: { removed: channel },
    };
  }
  if (version === undefined) {
    const body = await api.ask("GET", one);
    const rows = bodies(body.history).map((move) => [String(move.version), moveText(move)]);
    return { lines: columns(rows), json: body };
  }
  const body = await api.ask("PUT", one, { version, ...(why === undefined ? {} : { why }) });
  return {
    lines: [printable(`channel '${channel}' of ${name} points to ${body.version}`)],
    json: body,
  };
}

const lastMove = ({ history }: Body): string => {
  const [move] = bodies(history);
  return move === undefined ? "" : moveText(move);
};

function moveText({ at, by, why }: Body): string {
  const when = new Date(Number(at) * 1000).toISOString();
  return [when, ...(typeof by === "string" ? [`by ${by}`] : []), ...(why === "" ? [] : [String(why)])].join(
    " ",
  );
}

async function consent(api: Asked, name: string, version: string): Promise<Result> {
  const body = await api.ask("POST", `plugin-packages/${encodeURIComponent(name)}/consent`, { version });
  const added = asks(body.added);
  return {
    lines: [
      printable(
        `workspace ${body.workspace} lets ${name} have what ${version} asks for${added === "" ? "" : `: ${added}`}`,
      ),
    ],
    json: body,
  };
}

async function listKeys(api: Asked): Promise<Result> {
  const keys = await api.all("author-keys", {});
  const rows = keys.map((key) => [
    String(key.name),
    String(key.public_key),
    key.revoked_at === null ? "" : "revoked",
  ]);
  return { lines: rows.length === 0 ? ["no keys"] : columns(rows), json: { data: keys } };
}

async function addKey(api: Asked, name: string, file: string): Promise<Result> {
  const text = await readFile(file, "utf8").catch(({ code }: NodeJS.ErrnoException) => {
    throw new PackError([`${file} cannot be read (${code})`]);
  });
  if (text.includes("PRIVATE KEY"))
    throw new PackError([`${file} is a private key; give the file that ends in .pub`]);
  const body = await api.ask("POST", "author-keys", { name, public_key: text });
  return { lines: [printable(`packages that '${body.name}' has signed count as signed`)], json: body };
}

async function endKey(api: Asked, verb: "revoke" | "remove", name: string): Promise<Result> {
  const path = `author-keys/${encodeURIComponent(name)}`;
  const body = await (verb === "revoke" ? api.ask("POST", `${path}/revoke`) : api.ask("DELETE", path));
  const told = verb === "revoke" ? "signs nothing more" : "is removed";
  return { lines: [printable(`key '${name}' ${told}`)], json: { name, ...body } };
}

const bodies = (value: unknown): Body[] => (Array.isArray(value) ? value.filter(isObject) : []);
const list = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

/** What others have chosen is in them. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const shown = rows.map((row) => row.map(printable));
  const widths = (shown[0] ?? []).map((_, i) => Math.max(...shown.map((row) => row[i]?.length ?? 0)));
  return shown.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
