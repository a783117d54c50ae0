#!/usr/bin/env node
/** The command line: reads what was asked for and hands over to the piece that does it. */
import { createProgram } from "./cli/program.ts";

await createProgram().parseAsync();
