/**
 * `gatehouse migrations ...`: the shape of the database that the settings name.
 *
 * Exit codes: 0 done, nothing is pending; 1 refused; 2 the settings are wrong; 3 the database cannot be reached, and the
 * same command may succeed later; 5 something is pending (as Kong's `migrations list` says it).
 */
import type { Command } from "commander";
import type { Settings } from "../settings.ts";
import type { Database } from "../stores/database-shape.ts";
import type { MigrationStatus, Step } from "../stores/migrations.ts";
import { Unusable } from "./configuration-file.ts";
import { type Result, report } from "./report.ts";

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
    .action((options: Options) => run(options, up));
  add("status", "tell which steps were done, and which are pending")
    .alias("list")
    .action((options: Options) => run(options, status));
  add("down", "undo the last step, with all that it held: for going back to an older version")
    .option("--yes", "that what the step held may go")
    .action((options: Options) => run(options, (database) => down(database, options.yes === true)));
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
    throw new Unsure(
      `undoing ${stepText(last)} removes what it holds from ${database.place}; make a backup, then say --yes`,
    );
  const undone = await database.down();
  return {
    lines: undone === null ? ["no step is left to undo"] : [`undone: ${stepText(undone)}`],
    json: { database: database.engine, undone: undone && stepJson(undone) },
  };
}

/** Somebody has to say yes first. */
class Unsure extends Error {}

const stepText = ({ number, name }: Pick<Step, "number" | "name">) => `step ${number} (${name})`;
const stepJson = ({ number, name }: Pick<Step, "number" | "name">) => ({ number, name });

async function run(options: Options, work: (database: Database) => Promise<Result>): Promise<void> {
  // Loaded only when they are used: all commands share this program.
  const [{ databaseOf }, { MigrationError }, { StoreUnavailable }] = await Promise.all([
    import("../stores/database-shape.ts"),
    import("../stores/migrations.ts"),
    import("../stores/store.ts"),
  ]);
  await report(
    options,
    async () => work(await databaseOf(await settingsOf(options))),
    (error) => {
      if (error instanceof Unusable) return { exit: EXIT.settings };
      if (error instanceof MigrationError || error instanceof Unsure) return { exit: EXIT.refused };
      return error instanceof StoreUnavailable ? { exit: EXIT.tryAgain } : null;
    },
  );
}

/** @throws {Unusable} */
async function settingsOf({ settings: file, prefix }: Options): Promise<Settings> {
  const { loadSettings } = await import("../settings.ts");
  const { settings, errors } = loadSettings({ flags: { prefix }, file, env: process.env });
  if (errors !== undefined) throw new Unusable(errors.join("\n"));
  if (settings.database === "off")
    throw new Unusable(
      "database: is off (a declarative configuration has no database); set it to sqlite or postgres",
    );
  return settings;
}
