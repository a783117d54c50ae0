/** The commands beside `start` as a program of their own, for tests to start as a process. */
import { Command } from "commander";
import { registerExplainCommand } from "../../src/cli/explain.ts";
import { registerMigrationCommands } from "../../src/cli/migrations.ts";
import { registerPluginCommands } from "../../src/cli/plugin.ts";
import { registerTokenCommands } from "../../src/cli/token.ts";

const program = new Command("gatehouse");
registerPluginCommands(program);
registerExplainCommand(program);
registerMigrationCommands(program);
registerTokenCommands(program);
await program.parseAsync();
