/** The commands beside `start` as a program of their own, for tests to start as a process. */
import { Command } from "commander";
import { registerExplainCommand } from "../../src/cli/explain.ts";
import { registerMigrationCommands } from "../../src/cli/migrations.ts";
import { registerPluginCommands } from "../../src/cli/plugin.ts";

const program = new Command("gatehouse");
registerPluginCommands(program);
registerExplainCommand(program);
registerMigrationCommands(program);
await program.parseAsync();
