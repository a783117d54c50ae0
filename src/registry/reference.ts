/**
 * What authors read about `plugin.yaml`, made from the schema by which it is judged:
 *
 *     npm run docs:manifest      writes docs/plugin-manifest.md and sdk/plugin.schema.json
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FIELD_TYPES, type Field, MAX_SCHEMA_DEPTH, MAX_SCHEMA_FIELDS, SCHEMA_RULES } from "@gatehouse/sdk";
import { markdownTable } from "../cli/markdown-table.ts";
import { WORKSPACE_LIMITS } from "../sandbox/limits.ts";
import { manifestSchema, RUNTIME_LIMITS } from "./manifest.ts";
import { ABOUT_RULES, manifestJsonSchema } from "./manifest-json-schema.ts";

export const REFERENCE = fileURLToPath(new URL("../../docs/plugin-manifest.md", import.meta.url));
export const JSON_SCHEMA = fileURLToPath(new URL("../../sdk/plugin.schema.json", import.meta.url));

const INTRODUCTION = `# plugin.yaml

<!-- Made by \`npm run docs:manifest\` from src/registry/manifest.ts. -->

What a package says about itself and what it asks for. A package is a \`.tgz\` with this file and the one that \`entry\`
names ([packages.md](packages.md)). Unknown keys are refused, as are anchors, aliases and tags of YAML; whatever is wrong
is told at once, with line and column.

\`\`\`yaml
# yaml-language-server: $schema=node_modules/@gatehouse/sdk/plugin.schema.json
manifest: 1
name: header-stamp
version: 1.2.0
runtime: isolate
entry: plugin.js
phases: [access]
schema:
  fields:
    - header: { type: string, default: X-Stamp, description: Header that is set. }
grants:
  request_headers: [accept]
\`\`\`

Editors complete and check the file by the JSON Schema that the first line names; it comes with the SDK
([sdk/plugin.schema.json](../sdk/plugin.schema.json)) and is made from the same tables. \`*\` marks what must be given.
`;

const AFTER = `## Between keys

- \`response\` sees the whole response at once, and excludes \`header_filter\` and \`body_filter\`.
- \`body_filter\` needs \`grants.response_body_bytes\`.
${RUNTIME_LIMITS.map(([limit, runtime]) => `- \`limits.${limit}\` bounds guests of runtime \`${runtime}\` only.`).join("\n")}
- What each grant opens, and what stays closed: [host-calls.md](host-calls.md). What each limit bounds, and what is
  answered beyond it: [limits.md](limits.md).

## The schema of \`config\`

A list of fields, each an object with one key, its name, and under it a \`type\` and rules. The names are those of Kong's
schemas. It is interpreted and never becomes code; patterns run in linear time.

Types: ${FIELD_TYPES.map((type) => `\`${type}\``).join(", ")}. An
\`array\` and a \`set\` have \`elements\`, a \`map\` has \`values\` and perhaps \`keys\`, a \`record\` has \`fields\` of its own.
There are at most ${MAX_SCHEMA_FIELDS} fields in all, ${MAX_SCHEMA_DEPTH} levels deep.
`;

export function manifestReference(): string {
  const rules = SCHEMA_RULES.map(([, name, form]) => [`\`${name}\``, FORM_WORDS[form], ABOUT_RULES[name]]);
  return [
    INTRODUCTION,
    markdownTable(["key", "value", "default", ""], rows(manifestSchema(WORKSPACE_LIMITS), "")),
    AFTER,
    markdownTable(["rule", "value", "meaning"], rules),
  ].join("\n");
}

const FORM_WORDS: Readonly<Record<(typeof SCHEMA_RULES)[number][2], string>> = {
  flag: "boolean",
  text: "string",
  pattern: "regular expression",
  count: "integer from 0",
  number: "number",
  range: "two numbers",
  list: "list",
  value: "any",
};

function rows({ fields = {} }: Field, prefix: string): string[][] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const { required, type, default: standard, description = "" } = field;
    const isAsked = required && standard === undefined && type !== "record";
    const shown = standard === undefined ? "" : `\`${JSON.stringify(standard)}\``;
    const row = [`\`${prefix}${name}\`${isAsked ? " \\*" : ""}`, valueWords(field), shown, description];
    return [row, ...rows(field, `${prefix}${name}.`)];
  });
}

function valueWords({ type, oneOf, between, gt, elements, lenMax, check }: Field): string {
  if (type === "record") return "";
  if (elements !== undefined) {
    const inner = elements.oneOf === undefined ? `${elements.type}s` : valueWords(elements);
    return `list of ${inner}${lenMax === undefined ? "" : `, at most ${lenMax}`}`;
  }
  if (oneOf !== undefined) {
    const served = oneOf.filter((value) => type !== "string" || check?.(value as never) === undefined);
    return served.map((value) => `\`${value}\``).join(", ");
  }
  if (between !== undefined) return `${type} ${between[0]} … ${between[1]}`;
  return gt === undefined ? type : `${type} > ${gt}`;
}

if (import.meta.main) {
  writeFileSync(REFERENCE, manifestReference());
  writeFileSync(JSON_SCHEMA, `${JSON.stringify(manifestJsonSchema(), null, 2)}\n`);
}
