#!/usr/bin/env node
/** The command line: reads what was asked for and hands over to the piece that does it. */
import { Command } from "commander";
import { VERSION } from "./version.ts";

const program = new Command("gatehouse")
  .description("An API and AI gateway whose plugins live in separate rooms.")
  .version(VERSION, "-V, --version")
  .showHelpAfterError("(gatehouse --help lists the commands)");

program
  .command("start")
  .description("start the gateway in the foreground")
  .option("-c, --config <file>", "declarative configuration (Kong's format 3.0)")
  .option("-s, --settings <file>", "settings, YAML")
  .option("--set <name=value...>", "one setting, over file and environment")
  .action(async (options: { config?: string; settings?: string; set?: string[] }) => {
    const { start } = await import("./cli/start.ts");
    await start(options);
  });

const { registerPluginCommands } = await import("./cli/plugin.ts");
registerPluginCommands(program);

await program.parseAsync();
