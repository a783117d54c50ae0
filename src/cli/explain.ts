/**
 * `gatehouse explain METHOD URL`: which route takes a request and why, what goes upstream, which plugins run.
 * Asks a running gateway, or with `--config` reads the file as a gateway would and asks nobody.
 *
 * Exit codes: 0 a route matches; 1 none does; 2 the question or the configuration is wrong; 3 the gateway cannot
 * be reached.
 */
import { isObject } from "@gatehouse/sdk";
import type { Command } from "commander";
import type { Explained } from "../gateway/explain.ts";
import type { ExplainRequest } from "../gateway/explain-input.ts";
import { ADMIN_DEFAULT, AdminApi, type AdminOptions, Unreachable, WrongAdmin } from "./admin-api.ts";
import { catalogueOf, flavorOf, packagesOf, readBytes, Unusable } from "./configuration-file.ts";
import { explanationLines } from "./explain-text.ts";

const EXIT = { matched: 0, unmatched: 1, wrong: 2, unreachable: 3 } as const;

const HELP = `
Exit codes: 0 a route matches; 1 none does; 2 the question or the configuration is wrong;
3 the gateway cannot be reached.

Examples:
  gatehouse explain GET http://api.example.com/users/42
  gatehouse explain POST https://api.example.com/orders -H 'X-Version: 2' --config kong.yml`;

interface Options extends AdminOptions {
  readonly header: readonly string[];
  readonly config?: string;
  readonly routerFlavor?: string;
  readonly clientIp?: string;
  readonly sni?: string;
  readonly json?: boolean;
}

/** What keeps an explanation from being given, for the person who asked. */
class Failure extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const wrong = (message: string) => new Failure(EXIT.wrong, message);

/** Adds `explain` to a program. */
export function registerExplainCommand(program: Command): void {
  program
    .command("explain")
    .description("tell which route takes a request and why, what goes upstream, and which plugins run")
    .argument("<method>", "method of the request, such as GET")
    .argument("<url>", "its URL: http://host[:port]/path?query")
    .option("-H, --header <field>", "a header field, 'Name: value'; may be given again", append, [])
    .option("-c, --config <file>", "explain by this declarative configuration, without a gateway")
    .option("--admin <url>", `Admin API of the gateway to ask (${ADMIN_DEFAULT})`)
    .option("--token <token>", "token for it; better by GATEHOUSE_ADMIN_TOKEN, which others cannot see")
    .option(
      "--prefix <dir>",
      "prefix of a gateway on this machine, whose own token is used; with --config: to look up uploaded plugins in",
    )
    .option("--router-flavor <flavor>", "with --config: the setting router_flavor")
    .option("--client-ip <address>", "address of the client; default: 127.0.0.1")
    .option("--sni <name>", "name that the client asks for in TLS; default: the host of an https URL")
    .option("--json", "print the explanation as JSON")
    .addHelpText("after", HELP)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT.wrong))
    .action(run);
}

const append = (field: string, fields: readonly string[]): string[] => [...fields, field];

async function run(method: string, url: string, options: Options): Promise<void> {
  try {
    refuseMixed(options);
    const request: ExplainRequest = {
      method,
      url,
      headers: options.header.map(readField),
      ...(options.clientIp === undefined ? {} : { client_ip: options.clientIp }),
      ...(options.sni === undefined ? {} : { sni: options.sni }),
    };
    const explained =
      options.config === undefined
        ? await ask(options, request)
        : await explainFile(options.config, request, options);
    if (options.json) console.log(JSON.stringify(explained, null, 2));
    else console.log(explanationLines(explained, process.stdout.isTTY === true).join("\n"));
    process.exitCode = explained.match === null ? EXIT.unmatched : EXIT.matched;
  } catch (error) {
    if (!(error instanceof Failure || error instanceof Unusable)) throw error;
    console.error(error.message);
    process.exitCode = error instanceof Failure ? error.code : EXIT.wrong;
  }
}

/** What one way of asking does not listen to is not taken in silence. */
function refuseMixed({ config, admin, token, routerFlavor }: Options): void {
  if (config !== undefined) {
    if (admin !== undefined || token !== undefined)
      throw wrong("--admin asks a gateway, and --config reads a file without one; write one of them");
  } else if (routerFlavor !== undefined)
    throw wrong("--router-flavor goes with --config FILE; a gateway that is asked has its own");
}

function readField(field: string): [name: string, value: string] {
  const colon = field.indexOf(":");
  if (colon < 1) throw wrong(`-H '${field}' is no header field; write -H 'Name: value'`);
  return [field.slice(0, colon), field.slice(colon + 1).trim()];
}

async function explainFile(file: string, request: ExplainRequest, options: Options): Promise<Explained> {
  // Loaded only when it is used: all commands share this program.
  const [{ loadDeclarative }, { documentError, formatConfigErrors }, { textOf }, { Explainer }, input] =
    await Promise.all([
      import("../declarative/declarative.ts"),
      import("../declarative/errors.ts"),
      import("../declarative/text.ts"),
      import("../gateway/explain.ts"),
      import("../gateway/explain-input.ts"),
    ]);
  const asked = (() => {
    try {
      return input.readExplainRequest(request);
    } catch (error) {
      throw error instanceof input.ExplainInputError ? wrong(error.message) : error;
    }
  })();
  const read = textOf(await readBytes(file));
  if (!read.ok) throw wrong(formatConfigErrors([documentError(file, read.fault)]));
  const packages = await packagesOf(options.prefix);
  const plugins = await catalogueOf(options.prefix, packages);
  const routerFlavor = await flavorOf(options.routerFlavor);
  // Which addresses may be reached is in a gateway's settings, and nothing is reached here.
  const loaded = loadDeclarative(read.text, { file, plugins, routerFlavor, egress: null });
  if (!loaded.ok) throw wrong(formatConfigErrors(loaded.errors));
  return new Explainer(packages).explain(loaded.config, asked);
}

async function ask(options: AdminOptions, body: ExplainRequest): Promise<Explained> {
  try {
    const api = await AdminApi.open(options);
    const answer = await api.ask("POST", "explain", { body: JSON.stringify(body) });
    if (answer.status === 200 && isExplained(answer.body)) return answer.body;
    if ([400, 403].includes(answer.status) && typeof answer.body?.message === "string")
      throw wrong(answer.body.message);
    throw new Failure(
      EXIT.unreachable,
      `${api.origin} answered ${answer.status}${answer.status === 200 ? ", but with no explanation" : ""}; ` +
        "is this the Admin API of a gateway?",
    );
  } catch (error) {
    if (error instanceof WrongAdmin) throw wrong(error.message);
    if (!(error instanceof Unreachable)) throw error;
    throw new Failure(EXIT.unreachable, `${error.message} With --config FILE no gateway is asked`);
  }
}

/** Whoever answers may be anybody: what is printed must be there. */
function isExplained(answer: unknown): answer is Explained {
  if (!isObject(answer) || !isObject(answer.request)) return false;
  const lists = ["others", "misses", "phases", "with_consumers", "idle"];
  return "match" in answer && lists.every((name) => Array.isArray(answer[name]));
}
