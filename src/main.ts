#!/usr/bin/env node
import type { Field } from "@gatehouse/sdk";
/** The command line: reads what was asked for and hands over to the piece that does it. */
import { Command } from "commander";
import { SETTINGS } from "./settings/table.ts";
import { VERSION } from "./version.ts";

/** A default as it is written on a command line; nothing where the description tells of it. */
function shownDefault({ default: value }: Field): string {
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) return "";
  const text = typeof value === "boolean" ? (value ? "on" : "off") : String(value).replaceAll(",", ", ");
  return ` (default: ${text})`;
}

const program = new Command("gatehouse")
  .description("An API and AI gateway whose plugins live in separate rooms.")
  .version(VERSION, "-V, --version")
  .showHelpAfterError("(gatehouse --help lists the commands)");

const start = program
  .command("start")
  .description("start the gateway in the foreground")
  .option("-c, --config <file>", "declarative configuration (Kong's format 3.0)")
  .option("-s, --settings <file>", "settings, YAML")
  .action(async ({ config, settings, ...flags }: Record<string, string | undefined>) => {
    const { startGateway } = await import("./cli/start.ts");
    await startGateway({ config, settings, flags });
  });
for (const [name, { field }] of Object.entries(SETTINGS))
  start.option(
    `--${name.replaceAll("_", "-")} <${field.type === "boolean" ? "on|off" : "value"}>`,
    `${field.description}${shownDefault(field)}`,
  );

const { registerPluginCommands } = await import("./cli/plugin.ts");
registerPluginCommands(program);
const { registerExplainCommand } = await import("./cli/explain.ts");
registerExplainCommand(program);
const { registerMigrationCommands } = await import("./cli/migrations.ts");
registerMigrationCommands(program);
const { registerTokenCommands } = await import("./cli/token.ts");
registerTokenCommands(program);

await program.parseAsync();
