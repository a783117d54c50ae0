/**
 * How far this gateway does what Kong does, made by comparing what Kong has (kong.ts) with the tables of entities, routes,
 * plugins and settings:
 *
 *     npm run docs:kong      writes docs/kong-compatibility.md
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BUILT_INS } from "../../plugins/index.ts";
import { type AdminOptions, adminRoutes } from "../admin/admin.ts";
import type { Route } from "../admin/routes.ts";
import { markdownTable } from "../cli/markdown-table.ts";
import { ENTITIES, ENTITY_NAMES, type EntityName, type EntityType, schemaOf } from "../entities/entities.ts";
import { SETTINGS } from "../settings/table.ts";
import { KONG_ENDPOINTS, KONG_ENTITIES, KONG_PLUGINS, KONG_SETTINGS } from "./kong.ts";
import { ENDPOINT_NOTES, ENTITY_NOTES, LIMITED, SETTING_NOTES, USED_BY } from "./notes.ts";

export const REFERENCE = fileURLToPath(new URL("../../docs/kong-compatibility.md", import.meta.url));

const INTRODUCTION = `# Compatibility with Kong

<!-- Made by \`npm run docs:kong\` from the tables of entities, routes, plugins and settings. -->

What Kong Gateway 3.10 (community edition) has, and what of it this gateway does: _yes_, _partly_ with what is missing, or
_no_. What is not done is refused with a sentence when it is configured, never ignored; settings of Kong's that are not
known are an error. Endpoints are those under \`/\`; each exists under \`/{workspace}\` as well.

decK works as it is: 1.30, and 1.30 with the reconciler 1.18 of later versions, sync, compare, dump, reset and validate
(\`DECK=<file> npm test -- compatibility/deck\` tries one). Private keys of \`certificates\` and \`keys\` are shown to nobody, so
decK sends a certificate anew each time, which changes nothing, unless its key is a reference to a vault.
`;

type State = "yes" | "no" | `partly: ${string}` | `no: ${string}`;

/** The page as Markdown. */
export function compatibilityReference(): string {
  // Routes are only looked at: none of them is called.
  const routes = adminRoutes({} as AdminOptions);
  return [
    INTRODUCTION,
    entities(),
    endpoints(routes),
    table("Plugins", ["plugin", "priority", "state"], plugins()),
    table("Settings", ["setting of kong.conf", "state"], settings()),
  ].join("\n");
}

function table(title: string, heads: readonly string[], rows: readonly (readonly string[])[]): string {
  return `## ${title}\n\n${markdownTable(heads, rows)}`;
}

const code = (text: string) => `\`${text}\``;

function entities(): string {
  const rows = Object.entries(KONG_ENTITIES).flatMap(([name, fields]) => [
    [code(name), "", entityState(name)],
    ...fields.map((field) => ["", code(field), fieldState(name, field)]),
  ]);
  return table("Entities and fields", ["entity", "field", "state"], rows);
}

export function entityState(name: string): State {
  const type = Object.hasOwn(ENTITIES, name) ? ENTITIES[name as EntityName] : undefined;
  const note = ENTITY_NOTES[name];
  if (type === undefined || type.unavailable) return note === undefined ? "no" : `no: ${note}`;
  const plugin = USED_BY[name];
  if (plugin !== undefined && !BUILT_INS.some((each) => each.name === plugin))
    return `partly: kept and managed, but there is no plugin ${plugin} yet to read them`;
  return note === undefined ? "yes" : `partly: ${note}`;
}

export function fieldState(name: string, field: string): State {
  if (!Object.hasOwn(ENTITIES, name)) return "no";
  const type = ENTITIES[name as EntityName];
  if (type.unavailable || !fieldsOf(type).includes(field)) return "no";
  const limit = LIMITED.find((each) => each.entity === name && each.field === field);
  return limit === undefined ? "yes" : `partly: ${limit.note}`;
}

/** What may be written, whatever the flavour of the router. */
function fieldsOf(type: EntityType): string[] {
  const { fields = {} } = schemaOf(type, "expressions");
  const names = type.name === "certificates" ? ["snis"] : [];
  return [...Object.keys(fields), ...Object.keys(type.shorthands ?? {}), ...names];
}

function endpoints(routes: readonly Route[]): string {
  const rows = [...KONG_ENDPOINTS, ...generated()].map(([methods, template]) => [
    methods.replaceAll(" ", ", "),
    code(template),
    endpointState(routes, methods, template),
  ]);
  return table("Endpoints of the Admin API", ["methods", "path", "state"], rows);
}

/** What Kong generates from its entities. */
function generated(): [methods: string, template: string][] {
  return ENTITY_NAMES.filter((name) => !ENTITIES[name].isRelation).flatMap((name) => {
    const { collection, nestedCollection, foreignKeys, singular } = ENTITIES[name];
    const own = `{${singular.replaceAll(" ", "-")}}`;
    const one = `/${collection}/${own}`;
    const under = Object.entries(foreignKeys).flatMap(([field, parent]): [string, string][] => {
      const above = ENTITIES[parent as EntityName];
      const list = `/${above.collection}/{${above.singular.replaceAll(" ", "-")}}/${nestedCollection}`;
      return [
        ["GET POST", list],
        ["GET PUT PATCH DELETE", `${list}/${own}`],
        ["GET PUT PATCH", `${one}/${field}`],
      ];
    });
    return [["GET POST", `/${collection}`], ["GET PUT PATCH DELETE", one], ...under];
  });
}

function endpointState(routes: readonly Route[], methods: string, template: string): State {
  const shape = shapeOf(template);
  const offered = routes.filter(({ path }) => shapeOf(path) === shape);
  const missing = methods.split(" ").filter((method) => !offered.some((route) => method in route));
  const note = ENDPOINT_NOTES[template];
  if (missing.length === methods.split(" ").length) return note === undefined ? "no" : `no: ${note}`;
  if (missing.length > 0) return `partly: no ${missing.join(", ")}`;
  return note === undefined ? "yes" : `partly: ${note}`;
}

/** A template without the names of its parameters. */
const shapeOf = (path: string) => path.replace(/\{[^}]*\}|:[a-z]+/g, "*");

function plugins(): string[][] {
  return Object.entries(KONG_PLUGINS).map(([name, priority]) => [
    code(name),
    String(priority),
    BUILT_INS.some((plugin) => plugin.name === name) ? "yes" : "no",
  ]);
}

function settings(): string[][] {
  const known = Object.entries(SETTINGS as Readonly<Record<string, { readonly aliases: readonly string[] }>>);
  return KONG_SETTINGS.map((name) => {
    const found = known.find(([own, { aliases }]) => own === name || aliases.includes(name));
    const note = SETTING_NOTES[name];
    if (found === undefined) return [code(name), note === undefined ? "no" : `no: ${note}`];
    if (note !== undefined) return [code(name), `partly: ${note}`];
    return [code(name), found[0] === name ? "yes" : `yes: ${code(found[0])}`];
  });
}

if (import.meta.main) writeFileSync(REFERENCE, compatibilityReference());
