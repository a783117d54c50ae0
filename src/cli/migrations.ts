/**
 * `gatehouse migrations ...`: the shape of the database that the settings name.
 *
 * Exit codes: 0 done, nothing is pending; 1 refused; 2 the settings are wrong; 3 the database cannot be reached, and the
 * same command may succeed later; 5 something is pending (as Kong's `migrations list` says it).
 */
import type { Command } from "commander";
import { loadSettings, type Settings } from "../settings.ts";
import { type Database, databaseOf } from "../stores/database-shape.ts";
import { MigrationError, type MigrationStatus, type Step } from "../stores/migrations.ts";
import { StoreUnavailable } from "../stores/store.ts";

const EXIT = { done: 0, refused: 1, settings: 2, tryAgain: 3, pending: 5 } as const;

const EXIT_HELP = `
Settings are those of 'start': environment variables and a settings file.
Exit codes: 0 nothing is pending; 1 refused; 2 the settings are wrong; 3 the database cannot be had now; 5 something is
pending ('status' alone).`;

interface Options {
  readonly settings?: string;
  readonly prefix?: string;
  readonly json?: boolean;
  readonly yes?: boolean;
}

interface Result {
  readonly lines: readonly string[];
  readonly json: object;
  readonly exit?: number;
}

/** Adds `migrations up`, `migrations status` and `migrations down` to a program. */
export function registerMigrationCommands(program: Command): void {
  const migrations = program
    .command("migrations")
    .description("bring the database to the shape that this version needs");
  const add = (name: string, description: string) =>
    migrations
      .command(name)
      .description(description)
      .option("-s, --settings <file>", "settings, YAML")
      .option("-p, --prefix <directory>", "working directory of the gateway")
      .option("--json", "print the result as JSON")
      .addHelpText("after", EXIT_HELP);
  add("up", "do every step that is pending")
    .alias("bootstrap")
    .action((options: Options) => report(options, up));
  add("status", "tell which steps were done, and which are pending")
    .alias("list")
    .action((options: Options) => report(options, status));
  add("down", "undo the last step, with all that it held: for going back to an older version")
    .option("--yes", "that what the step held may go")
    .action((options: Options) => report(options, (database) => down(database, options.yes === true)));
}

async function up(database: Database): Promise<Result> {
  const done = await database.up();
  const lines = done.map((step) => `done: ${stepText(step)}`);
  return {
    lines: [...lines, `${database.place} is up to date`],
    json: { database: database.engine, done: done.map(stepJson) },
  };
}

async function status(database: Database): Promise<Result> {
  const { applied, pending }: MigrationStatus = await database.status();
  return {
    lines: [
      database.place,
      ...applied.map((step) => `  done     ${stepText(step)}, ${new Date(step.appliedAt).toISOString()}`),
      ...pending.map((step) => `  pending  ${stepText(step)}`),
      pending.length === 0 ? "up to date" : "run 'gatehouse migrations up'",
    ],
    json: {
      database: database.engine,
      applied: applied.map((step) => ({ ...stepJson(step), applied_at: step.appliedAt })),
      pending: pending.map(stepJson),
    },
    exit: pending.length === 0 ? EXIT.done : EXIT.pending,
  };
}

async function down(database: Database, sure: boolean): Promise<Result> {
  const { applied } = await database.status();
  const last = applied.at(-1);
  if (last === undefined) return { lines: ["no step is left to undo"], json: { undone: null } };
  if (!sure)
    throw new MigrationError(
      `undoing ${stepText(last)} removes what it holds from ${database.place}; make a backup, then say --yes`,
    );
  const undone = await database.down();
  return {
    lines: undone === null ? ["no step is left to undo"] : [`undone: ${stepText(undone)}`],
    json: { database: database.engine, undone: undone && stepJson(undone) },
  };
}

const stepText = ({ number, name }: Pick<Step, "number" | "name">) => `step ${number} (${name})`;
const stepJson = ({ number, name }: Pick<Step, "number" | "name">) => ({ number, name });

async function report(options: Options, work: (database: Database) => Promise<Result>): Promise<void> {
  const settings = readSettings(options);
  if (settings === null) {
    process.exitCode = EXIT.settings;
    return;
  }
  try {
    const { lines, json, exit = EXIT.done } = await work(await databaseOf(settings));
    console.log(options.json === true ? JSON.stringify(json) : lines.join("\n"));
    process.exitCode = exit;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    if (options.json === true) console.log(JSON.stringify({ error: error.message }));
    else console.error(error.message);
    process.exitCode = error instanceof MigrationError ? EXIT.refused : EXIT.tryAgain;
  }
}

function readSettings({ settings: file, prefix }: Options): Settings | null {
  const { settings, errors } = loadSettings({ flags: { prefix }, file, env: process.env });
  if (errors !== undefined) {
    for (const error of errors) console.error(error);
    return null;
  }
  if (settings.database !== "off") return settings;
  console.error(
    "database: is off (a declarative configuration has no database); set it to sqlite or postgres",
  );
  return null;
}
