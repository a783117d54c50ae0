/**
 * `gatehouse config ...`: declarative configurations (Kong's format 3.0), judged without a gateway, compared with a
 * running one, and put into it. What a file would change is judged and written by the gateway, as one change; commands
 * only ask and tell.
 */
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { addAdminOptions, Unreachable, WrongAdmin } from "./admin-api.ts";
import { type Mode, openTarget, Refused, type TargetOptions } from "./config-target.ts";
import {
  addReadingOptions,
  catalogueOf,
  flavorOf,
  type ReadingOptions,
  readBytes,
  Unusable,
} from "./configuration-file.ts";
import { planLines } from "./plan-text.ts";
import { type Ending, type Result, report, writeOwn } from "./report.ts";

const EXIT = { done: 0, refused: 1, unusable: 2, tryAgain: 3, declined: 4, differs: 5 } as const;

const EXIT_HELP = `
Exit codes: 0 done, or nothing differs; 1 refused, with every reason; 2 the command line or the file cannot be used;
3 the gateway cannot be reached or is busy; 4 not confirmed; 5 something differs ('diff' alone).`;

interface Scope extends TargetOptions {
  readonly json?: boolean;
}

interface Apply extends Scope {
  readonly yes?: boolean;
}

/** Adds `config validate`, `dump`, `diff`, `sync` and `import` to a program. */
export function registerConfigCommands(program: Command): void {
  const config = program
    .command("config")
    .description(
      "judge declarative configurations, compare them with a running gateway, and put them into it",
    );
  const add = (usage: string, description: string) =>
    config
      .command(usage)
      .description(description)
      .option("--json", "print the result as JSON")
      .addHelpText("after", EXIT_HELP)
      .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.done : EXIT.unusable));
  const addScoped = (usage: string, description: string) =>
    addAdminOptions(add(usage, description))
      .option("--workspace <name>", "the only workspace that it is about, whose entities stand at the top")
      .option("--select-tag <tag>", "only entities with this tag; may be given again", append, [])
      .option("--offline", "work on the store under --prefix, or that of the settings, while no gateway runs")
      .option("-s, --settings <file>", "with --offline: settings, YAML");
  addReadingOptions(
    add("validate <file>", "tell everything that is wrong with a file; no gateway is asked"),
  ).action((file: string, options: ValidateOptions) => run(options, () => validate(file, options)));
  addScoped("dump", "write the configuration in force as YAML that 'config sync' takes")
    .option("-o, --output <file>", "file to write; default: standard output")
    .action((options: Scope & { output?: string }) => run(options, () => dump(options)));
  addScoped("diff <file>", "tell what 'config sync' would change").action((file: string, options: Scope) =>
    run(options, () => diff(file, options)),
  );
  addScoped("sync <file>", "make the gateway's configuration what the file says, as one change")
    .option("--yes", "do not ask whether the plan is right")
    .action((file: string, options: Apply) => run(options, () => apply(file, "sync", options)));
  addScoped("import <file>", "add and update what the file has, and remove nothing")
    .option("--yes", "do not ask whether the plan is right")
    .action((file: string, options: Apply) => run(options, () => apply(file, "merge", options)));
}

const append = (one: string, before: readonly string[]): string[] => [...before, one];

interface ValidateOptions extends ReadingOptions {
  readonly json?: boolean;
}

async function validate(file: string, options: ValidateOptions): Promise<Result> {
  // Loaded only when it is used: all commands share this program.
  const [{ judgeDeclarative }, { documentError, formatConfigErrors }, { textOf }] = await Promise.all([
    import("../declarative/declarative.ts"),
    import("../declarative/errors.ts"),
    import("../declarative/text.ts"),
  ]);
  const read = textOf(await readBytes(file));
  const plugins = await catalogueOf(options.prefix);
  const routerFlavor = await flavorOf(options.routerFlavor);
  // Which addresses may be reached is in a gateway's settings, and nothing is reached here.
  const judged = read.ok
    ? judgeDeclarative(read.text, {
        file,
        plugins,
        routerFlavor,
        egress: null,
        maxTold: Number.POSITIVE_INFINITY,
      })
    : { ok: false as const, errors: [documentError(file, read.fault)] };
  if (!judged.ok) throw new Refused(formatConfigErrors(judged.errors), judged.errors);
  const entities = judged.drafts.length;
  return { lines: [`${file} is sound: ${entities} entities`], json: { valid: true, entities } };
}

async function dump({ output, ...options }: Scope & { output?: string }): Promise<Result> {
  await using target = await openTarget(options, false);
  const text = await target.dump();
  if (output === undefined) return { lines: [text.trimEnd()], json: { config: text } };
  await writeOwn(output, text);
  return { lines: [`written: ${output}`], json: { file: output } };
}

async function diff(file: string, options: Scope): Promise<Result> {
  const bytes = await readBytes(file);
  await using target = await openTarget(options, false);
  const { plan } = await target.plan(file, bytes, "sync");
  return { lines: planLines(plan), json: plan, exit: plan.changes.length === 0 ? EXIT.done : EXIT.differs };
}

async function apply(file: string, mode: Mode, options: Apply): Promise<Result> {
  const bytes = await readBytes(file);
  await using target = await openTarget(options, true);
  const { plan, hash } = await target.plan(file, bytes, mode);
  const lines = planLines(plan);
  if (plan.changes.length === 0) return { lines, json: plan };
  if (options.yes !== true) {
    console.error(lines.join("\n"));
    if (!(await isConfirmed()))
      return { lines: ["not confirmed; nothing was changed"], json: plan, exit: EXIT.declined };
  }
  const done = await target.apply(file, bytes, mode, hash);
  const said = options.offline === true ? "done: stored" : "done: stored, and live on all threads";
  return { lines: options.yes === true ? [...planLines(done), said] : [said], json: done };
}

/** Without a terminal nobody can say yes. */
async function isConfirmed(): Promise<boolean> {
  if (process.stdin.isTTY !== true)
    throw new Unusable("there is no terminal to ask whether the plan is right; say --yes");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question("apply this? [y/N] ")).trim());
  } finally {
    terminal.close();
  }
}

const run = (options: { readonly json?: boolean }, work: () => Promise<Result>): Promise<void> =>
  report(options, work, endingOf);

function endingOf(error: Error): Ending | null {
  if (error instanceof Refused) return { exit: EXIT.refused, json: { errors: error.errors } };
  const exit =
    error instanceof Unreachable
      ? EXIT.tryAgain
      : error instanceof Unusable || error instanceof WrongAdmin
        ? EXIT.unusable
        : null;
  return exit && { exit, json: { errors: [] } };
}
