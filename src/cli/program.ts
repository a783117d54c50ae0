/** All commands. What a command does is loaded when it is asked for. */
import type { Field } from "@gatehouse/sdk";
import { Command } from "commander";
import { SETTINGS } from "../settings/table.ts";
import { VERSION } from "../version.ts";
import { registerConfigCommands } from "./config.ts";
import { registerExplainCommand } from "./explain.ts";
import { registerImportCommand } from "./import.ts";
import { registerMigrationCommands } from "./migrations.ts";
import { registerPluginCommands } from "./plugin.ts";
import { registerTokenCommands } from "./token.ts";

export function createProgram(): Command {
  const program = new Command("gatehouse")
    .description("An API and AI gateway whose plugins live in separate rooms.")
    .version(VERSION, "-V, --version")
    .showHelpAfterError("(gatehouse --help lists the commands)");
  registerStartCommand(program);
  registerConfigCommands(program);
  registerImportCommand(program);
  registerPluginCommands(program);
  registerExplainCommand(program);
  registerMigrationCommands(program);
  registerTokenCommands(program);
  return program;
}

function registerStartCommand(program: Command): void {
  const start = program
    .command("start")
    .description("start the gateway in the foreground")
    .option("-c, --config <file>", "declarative configuration (Kong's format 3.0)")
    .option("-s, --settings <file>", "settings, YAML")
    .action(async ({ config, settings, ...flags }: Record<string, string | undefined>) => {
      const { startGateway } = await import("./start.ts");
      await startGateway({ config, settings, flags });
    });
  for (const [name, { field }] of Object.entries(SETTINGS))
    start.option(
      `--${name.replaceAll("_", "-")} <${field.type === "boolean" ? "on|off" : "value"}>`,
      `${field.description}${shownDefault(field)}`,
    );
}

/** A default as it is written on a command line; nothing where the description tells of it. */
function shownDefault({ default: value }: Field): string {
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) return "";
  const text = typeof value === "boolean" ? (value ? "on" : "off") : String(value).replaceAll(",", ", ");
  return ` (default: ${text})`;
}
