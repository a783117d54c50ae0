/**
 * The reference of all commands, made from their definitions:
 *
 *     npm run docs:commands      writes docs/command-line.md
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command, Option } from "commander";
import { markdownTable } from "./markdown-table.ts";
import { createProgram } from "./program.ts";

export const REFERENCE = fileURLToPath(new URL("../../docs/command-line.md", import.meta.url));

const INTRODUCTION = `# The command line

<!-- Made by \`npm run docs:commands\` from the definitions in src/cli. -->

\`npm run -s gatehouse -- COMMAND\`, or \`gatehouse COMMAND\` where the package is installed. Every command has \`--help\`.
Results go to standard output, errors to standard error. With \`--json\` a result is one line of JSON, an error too.
Configurations are read as UTF-8; \`-\` as file is standard input for \`config\` and \`import\`.

## A file and a running gateway

    gatehouse config validate kong.yml        # everything that is wrong with it; no gateway is asked
    gatehouse config diff kong.yml            # what would change
    gatehouse config sync kong.yml            # the same as a plan, then asks, then does it as one change
    gatehouse config import kong.yml          # adds and updates, removes nothing
    gatehouse config dump -o backup.yml       # what is in force
    gatehouse import old-kong.yml -w kong.yml # from Kong's or decK's files, with a report

A plan has a line for each entity (\`+\` created, \`~\` updated, \`-\` deleted) and one for each field that an update changes;
secrets are never in it. It is judged by the gateway, with every rule that writes of single entities obey, and done in one
write to its store: all of it or nothing. If somebody else has changed the configuration since it was planned, nothing is
done (exit code 1) and it can be planned again.

Entities of the file are found in the gateway by \`id\`; without one by name or another value that nobody else may have,
then by what they say. So a file without ids changes what is there. Passwords that are the ones in force stay as they are.

Without \`--workspace\` a file is about workspace \`default\`, whose entities stand at its top, and about the workspaces that
it names under \`workspaces\`; those that it does not name are left alone, and no workspace is ever removed by a file. With
\`--workspace W\` entities at the top are those of W, and nothing else is touched. With \`--select-tag T\` only entities with
the tag are changed or removed, and those of the file get it; what is removed takes along what belongs to it.

## Backups and private keys

\`config dump\` has everything to restore a gateway that still has its private keys: passwords as their hashes
(\`_transform: false\`), credentials in clear, and \`REDACTED\` for private keys, which the Admin API shows to nobody. Where
the entity is still there, \`REDACTED\` means that its key stays; where it is not, the file is refused with the entity's
line. \`config dump --offline\` reads the store under a prefix while no gateway runs on it, and writes private keys out: who
may read the store could read them anyway. Files are written for their owner alone (mode 600).

## Files of Kong and decK

\`import\` takes formats 1.1, 2.1 and 3.0 and tells, with line and column, what is \`changed\` (it says the same in another
way: paths that were patterns before 3.0, \`_info\` defaults and tags, \`_plugin_configs\`, \`_workspace\`, consumers' groups,
references as maps, \`\${{ env "DECK_X" }}\` of variables that are set) and what is \`left out\` (plugins, fields, entities and
protocols that are not there, keys of Konnect and of Kong's Enterprise edition, variables that are not set).
`;

/** The reference as Markdown. */
export function commandReference(): string {
  const sections = leaves(createProgram(), []).map(([path, command]) => section(path, command));
  return `${INTRODUCTION}\n${sections.join("\n")}`;
}

/** Commands that do something, with the words that lead to them. */
function leaves(command: Command, path: readonly string[]): [path: readonly string[], command: Command][] {
  if (command.commands.length === 0) return [[path, command]];
  return command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
}

function section(path: readonly string[], command: Command): string {
  const args = command.registeredArguments.map((one) =>
    one.required ? `<${one.name()}>` : `[${one.name()}]`,
  );
  const usage = ["gatehouse", ...path, ...args].join(" ");
  // Settings are told by a page of their own.
  const isStart = path.join(" ") === "start";
  const options = command.options.filter(
    ({ long }) => !isStart || ["--config", "--settings"].includes(long ?? ""),
  );
  const rows = options.map((option) => [`\`${option.flags}\``, described(option)]);
  const more = isStart ? "Every setting is an option too: [settings.md](settings.md).\n" : "";
  const codes = exitCodes(command);
  return [
    `## ${path.join(" ")}\n`,
    `    ${usage}\n`,
    `${sentence(command.description())}\n`,
    ...(rows.length === 0 ? [] : [markdownTable(["option", ""], rows)]),
    ...(codes === null ? [] : [`${codes}\n`]),
    ...(more === "" ? [] : [more]),
  ].join("\n");
}

function described({ description, defaultValue }: Option): string {
  const isShown = typeof defaultValue === "string" || typeof defaultValue === "number";
  return isShown ? `${description} (default: ${defaultValue})` : description;
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** The sentence about them that the command's help ends with. */
function exitCodes(command: Command): string | null {
  let help = "";
  const writeOut = (text: string) => {
    help += text;
  };
  command.configureOutput({ writeOut }).outputHelp();
  const found = /Exit codes:[\s\S]*?\.(?=\n\s*\n|\s*$)/.exec(help);
  return found === null ? null : found[0].replace(/\s*\n\s*/g, " ");
}

if (import.meta.main) writeFileSync(REFERENCE, commandReference());
