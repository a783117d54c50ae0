/**
 * The reference of all settings, made from their table:
 *
 *     npm run docs:settings      writes docs/settings.md
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Field } from "@gatehouse/sdk";
import { SETTINGS, type Setting } from "./table.ts";

export const REFERENCE = fileURLToPath(new URL("../../docs/settings.md", import.meta.url));

const INTRODUCTION = `# Settings

<!-- Made by \`npm run docs:settings\` from src/settings/table.ts. -->

A setting is a flag of \`start\` (\`--proxy-listen\`), a line of a settings file (\`proxy_listen: …\`, YAML), or an environment
variable (\`GATEHOUSE_PROXY_LISTEN\`); the first that says something counts. Lists are written with commas, sizes also as
\`512k\`, \`8m\` or \`1g\`, switches as \`on\` or \`off\`. A name that is not known is an error. Names, meanings and defaults are
Kong's where Kong has the setting; under its other names it is understood as well.
`;

/** The reference as Markdown. */
export function settingsReference(): string {
  const entries = Object.entries(SETTINGS as Readonly<Record<string, Setting>>);
  return `${INTRODUCTION}\n${entries.map(([name, setting]) => section(name, setting)).join("\n")}`;
}

function section(name: string, { field, aliases, bytes }: Setting): string {
  const facts = [
    `Type: ${typeOf(field, bytes)}`,
    `default: ${defaultOf(field, bytes)}`,
    ...(aliases.length === 0 ? [] : [`also: ${aliases.map(code).join(", ")}`]),
  ];
  return `## \`${name}\`\n\n${field.description}\n\n${facts.join("; ")}.\n`;
}

const code = (text: string) => `\`${text}\``;

function typeOf(field: Field, bytes: boolean): string {
  if (field.oneOf !== undefined)
    return `one of ${field.oneOf.map((value) => code(String(value))).join(", ")}`;
  if (field.type === "array" || field.type === "set") return `list of ${field.elements?.type ?? "string"}s`;
  const unit = bytes ? "bytes" : field.type;
  const { between } = field;
  if (between === undefined) return unit;
  return `${unit} from ${amount(between[0], bytes)} to ${amount(between[1], bytes)}`;
}

function defaultOf(field: Field, bytes: boolean): string {
  const { default: value, description } = field;
  if (value === undefined || value === null) return /default/i.test(description ?? "") ? "as said" : "none";
  if (Array.isArray(value)) return value.length === 0 ? "none" : code(value.join(", "));
  if (typeof value === "number") return code(amount(value, bytes));
  if (typeof value === "boolean") return code(value ? "on" : "off");
  return code(String(value));
}

/** Sizes as somebody would write them. */
export function amount(value: number, bytes: boolean): string {
  if (!bytes || value === 0) return String(value);
  for (const [unit, size] of [
    ["g", 2 ** 30],
    ["m", 2 ** 20],
    ["k", 2 ** 10],
  ] as const)
    if (value % size === 0) return `${value / size}${unit}`;
  return String(value);
}

if (import.meta.main) writeFileSync(REFERENCE, settingsReference());
