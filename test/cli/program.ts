/** The plugin commands as a program of their own, for tests to start as a process. */
import { Command } from "commander";
import { registerPluginCommands } from "../../src/cli/plugin.ts";

const program = new Command("gatehouse");
registerPluginCommands(program);
await program.parseAsync();
