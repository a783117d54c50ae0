/**
 * `gatehouse import FILE`: what of a file of Kong or decK is there, and what is not, with the line of each; and the file
 * that says the rest in format 3.0.
 *
 * Exit codes: 0 everything maps; 1 something is left out; 2 the file or the command line cannot be used.
 */
import type { Command } from "commander";
import type { KongImport, Remark } from "../kong-files/kong-file.ts";
import { printable } from "../printable.ts";
import {
  addReadingOptions,
  catalogueOf,
  flavorOf,
  type ReadingOptions,
  readBytes,
  Unusable,
} from "./configuration-file.ts";
import { type Result, report, writeOwn } from "./report.ts";

const EXIT = { all: 0, some: 1, unusable: 2 } as const;

const EXIT_HELP = `
Exit codes: 0 everything maps; 1 something is left out; 2 the file or the command line cannot be used.`;

interface Options extends ReadingOptions {
  readonly write?: string;
  readonly json?: boolean;
}

/** Adds `import` to a program. */
export function registerImportCommand(program: Command): void {
  const command = program
    .command("import")
    .description("tell what of a file of Kong or decK maps and what does not, and write what does")
    .argument("<file>", "declarative configuration of Kong or decK, formats 1.1 to 3.0")
    .option("-w, --write <file>", "write what maps, as a document of format 3.0");
  addReadingOptions(command)
    .option("--json", "print the report as JSON")
    .addHelpText("after", EXIT_HELP)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? EXIT.all : EXIT.unusable))
    .action((file: string, options: Options) =>
      report(
        options,
        () => run(file, options),
        (error) => (error instanceof Unusable ? { exit: EXIT.unusable } : null),
      ),
    );
}

async function run(file: string, options: Options): Promise<Result> {
  const { remarks, mapped, text } = await read(file, options);
  const left = remarks.filter(({ kind }) => kind === "left out").length;
  if (options.write !== undefined) await writeOwn(options.write, text);
  return {
    lines: lines(file, remarks, mapped, options.write),
    json: { file, mapped, left_out: left, remarks },
    exit: left === 0 ? EXIT.all : EXIT.some,
  };
}

async function read(file: string, options: Options): Promise<KongImport> {
  const [{ importKong }, { textOf }] = await Promise.all([
    import("../kong-files/kong-file.ts"),
    import("../declarative/text.ts"),
  ]);
  const decoded = textOf(await readBytes(file));
  if (!decoded.ok) throw new Unusable(placed(file, decoded.fault));
  const plugins = await catalogueOf(options.prefix);
  const routerFlavor = await flavorOf(options.routerFlavor);
  const result = importKong(decoded.text, { plugins, routerFlavor, environment: process.env });
  if ("unreadable" in result)
    throw new Unusable(result.unreadable.map((fault) => placed(file, fault)).join("\n"));
  return result.imported;
}

const placed = (file: string, { line, column, message }: { line: number; column: number; message: string }) =>
  `${file}:${line}:${column}: ${message}`;

function lines(
  file: string,
  remarks: readonly Remark[],
  mapped: Readonly<Record<string, number>>,
  output: string | undefined,
): string[] {
  const left = remarks.filter(({ kind }) => kind === "left out").length;
  const counts = Object.entries(mapped).map(([collection, count]) => `${count} ${collection}`);
  return [
    ...remarks.map((remark) => {
      const subject = [remark.entity, remark.field].filter((part) => part !== null && part !== "").join(" ");
      const hint = remark.hint === null ? "" : `; ${remark.hint}`;
      const what = subject === "" ? "" : ` ${printable(subject)}:`;
      return `${file}:${remark.line}:${remark.column}: ${remark.kind}:${what} ${printable(remark.message + hint)}`;
    }),
    `maps: ${counts.length === 0 ? "nothing" : counts.join(", ")}`,
    left === 0 ? "nothing is left out" : `left out: ${left}`,
    ...(output === undefined ? [] : [`written: ${output}`]),
  ];
}
