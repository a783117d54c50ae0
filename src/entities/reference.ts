/**
 * The reference of all entities, made from their schemas:
 *
 *     npm run docs:entities      writes docs/entities.md
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Field, fieldsToJson, type RecordCheck } from "@gatehouse/sdk";
import { markdownTable } from "../cli/markdown-table.ts";
import { ENTITIES, ENTITY_NAMES, type EntityName, type EntityType } from "./entities.ts";

export const REFERENCE = fileURLToPath(new URL("../../docs/entities.md", import.meta.url));

const INTRODUCTION = `# Entities

<!-- Made by \`npm run docs:entities\` from the schemas in src/entities. -->

What a configuration is made of, in a file and over the Admin API. Names, fields, defaults and rules are Kong's; a schema
as tools read it is at \`GET /schemas/{entity}\`, and \`POST /schemas/{entity}/validate\` tells whether an entity would be
sound. \`*\` marks what must be given; what is absent and has no default is null. A _reference_ field takes
\`{vault://…}\` in place of its value, in the operator's workspace.

## References to vaults

\`{vault://env/NAME}\` stands for a variable of the gateway's environment (the name in upper case, \`-\` as \`_\`),
\`{vault://file/NAME}\` for a file in \`default/\` of \`secrets_dir\`, and \`{vault://PREFIX/NAME}\` for what the vault
entity of that prefix reaches, whose own \`config.prefix\` goes before the name. \`{vault://env/NAME/key}\` is a member of
the JSON object that is found. References are read when an entity is put in force, and again when a vault changes or the
gateway starts; one that leads nowhere refuses the write or the file, with the field and the reference. The Admin API,
exports, stores and logs have the text of the reference, never what it leads to.

## In files and over the Admin API

In a file, entities stand under the name of their collection at the top, or nested in the entity that they belong to; a
foreign key is the other's id or name. Over the Admin API a foreign key is \`{"id": …}\` or \`{"name": …}\`.

## Passwords and secrets

Passwords of \`basicauth_credentials\`, and secrets of \`oauth2_credentials\` with \`hash_secret\`, are kept as a salted
scrypt hash and shown as that; nobody can read them back. Where a file says \`_transform: false\`, its passwords must be
hashed already: in this form, or in Kong's (40 hexadecimal digits, SHA-1 of the password followed by the consumer's id),
which is kept as it is and is weak. Other keys and secrets of credentials are shown in clear, as by Kong. Private keys of
\`certificates\` and \`keys\` are shown to nobody: \`REDACTED\` stands in their place.
`;

const ABOUT: Readonly<Record<EntityName, string>> = {
  workspaces: "Tenants of the gateway. Every other entity belongs to one; `default` is the operator's.",
  consumers: "Who a request is from.",
  consumer_groups: "Groups of consumers. Kong has them in its Enterprise edition.",
  consumer_group_consumers: "That a consumer is in a group.",
  certificates: "What is shown to clients, and to upstreams that ask who is there.",
  snis: "Names that a certificate is shown for.",
  ca_certificates: "Authorities that upstreams' certificates are verified against.",
  services: "Where requests go. `url` may be written in place of `protocol`, `host`, `port` and `path`.",
  routes: "Which requests reach which service.",
  upstreams: "Virtual hosts that balance over targets.",
  targets: "Where an upstream leads.",
  plugins: "A plugin in force for a service, a route, a consumer, a combination of them, or everything.",
  vaults: "Names for places that secrets are in.",
  key_sets: "Sets that keys stand in.",
  keys: "Public and private keys, as JWK or PEM.",
  filter_chains: "Proxy-wasm filters of a service or a route.",
  acls: "Groups that a consumer is let in by (plugin acl).",
  basicauth_credentials: "User names and passwords (plugin basic-auth).",
  hmacauth_credentials: "Secrets that requests are signed with (plugin hmac-auth).",
  jwt_secrets: "What tokens are verified with (plugin jwt).",
  keyauth_credentials: "Keys (plugin key-auth).",
  oauth2_credentials: "Applications (plugin oauth2).",
};

/** The reference as Markdown. */
export function entityReference(): string {
  return `${INTRODUCTION}\n${ENTITY_NAMES.map((name) => section(ENTITIES[name])).join("\n")}`;
}

function section(type: EntityType): string {
  const { name, schema, unavailable } = type;
  const rows = tableRows(schema.fields ?? {}, "");
  const rules = rulesOf(type);
  return [
    `## ${name}\n`,
    `${ABOUT[name]}${unavailable ? ` Not available: ${unavailable.file}.` : ""} ${addresses(type)}\n`,
    markdownTable(["field", "type", "default", ""], rows),
    ...(rules.length === 0 ? [] : [`${rules.map((rule) => `- ${rule}`).join("\n")}\n`]),
  ].join("\n");
}

function addresses(type: EntityType): string {
  const parents = Object.values(type.foreignKeys).map((parent) => ENTITIES[parent as EntityName].collection);
  const nested = [...new Set(parents)].map((parent) => code(`/${parent}/{id}/${type.nestedCollection}`));
  if (type.isRelation) {
    const [one, other] = parents as [string, string];
    return `Admin API: ${code(`/${one}/{id}/${other}`)}, ${code(`/${other}/{id}/${one}`)}.`;
  }
  const key = type.endpointKey === "id" ? "" : ` Found by \`id\` or \`${type.endpointKey}\`.`;
  return `Admin API: ${[code(`/${type.collection}`), ...nested].join(", ")}.${key}`;
}

function tableRows(fields: Readonly<Record<string, Field>>, prefix: string): string[][] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const told = fieldsToJson({ [name]: field })[0]?.[name] as { default?: unknown };
    const standard = told.default === undefined ? "" : code(JSON.stringify(told.default));
    const cells = [
      `\`${prefix}${name}\`${field.required ? " \\*" : ""}`,
      typeOf(field),
      standard,
      [field.description ?? "", ...marks(field)].filter((part) => part !== "").join(" "),
    ];
    const inside = field.fields ?? field.elements?.fields ?? {};
    return [cells, ...tableRows(inside, `${prefix}${name}.`)];
  });
}

function typeOf(field: Field): string {
  const { type, elements, values, reference, oneOf, between } = field;
  if (reference !== undefined) return `→ [${reference}](#${reference})`;
  if (type === "map") return `map of ${plural(values as Field)}`;
  if (elements !== undefined) return `${type} of ${plural(elements)}`;
  if (oneOf !== undefined) return oneOf.map((value) => code(String(value))).join(", ");
  if (field.uuid) return "UUID";
  return between === undefined ? type : `${type} ${between[0]} … ${between[1]}`;
}

function plural(field: Field): string {
  if (field.oneOf !== undefined) return typeOf(field);
  const { type, between } = field;
  return between === undefined ? `${type}s` : `${type}s ${between[0]} … ${between[1]}`;
}

function marks(field: Field): string[] {
  return [
    field.uniqueAcrossWs ? "Unique in the gateway." : field.unique ? "Unique." : "",
    field.referenceable ? "A reference." : "",
    field.onDelete === "cascade" ? "Deleted with it." : "",
  ];
}

function rulesOf({ schema, cacheKey }: EntityType): string[] {
  const named = (schema.checks ?? []).map(ruleOf).filter((rule) => rule !== null);
  const together = cacheKey === undefined ? [] : [`Unique together: ${list(cacheKey)}.`];
  return [...together, ...named];
}

function ruleOf(check: RecordCheck): string | null {
  switch (check.kind) {
    case "at_least_one_of":
      return `At least one of ${list(check.fields)}.`;
    case "only_one_of":
      return `Exactly one of ${list(check.fields)}.`;
    case "mutually_exclusive":
      return `Not both of ${list(check.fields)}.`;
    case "mutually_required":
      return `All or none of ${list(check.fields)}.`;
    case "distinct":
      return `${list(check.fields)} differ.`;
    case "conditional":
      return `Where ${code(check.ifField)} is ${matchOf(check.ifMatch)}, ${code(check.thenField)} must be ${matchOf(check.thenMatch)}.`;
    case "subschema":
      return `The fields of ${code(check.field)} depend on ${code(check.key)}: ${Object.entries(check.schemas)
        .map(([kind, { fields = {} }]) => `${code(kind)} has ${list(Object.keys(fields))}`)
        .join(", ")}.`;
    case "custom":
      return null;
  }
}

function matchOf(match: Extract<RecordCheck, { kind: "conditional" }>["ifMatch"]): string {
  if ("eq" in match) return "null";
  if ("required" in match) return "given";
  const [words, values] =
    "oneOf" in match
      ? [match.oneOf.length > 1 ? "one of " : "", match.oneOf]
      : [match.notOneOf.length > 1 ? "none of " : "not ", match.notOneOf];
  return words + list(values.map(String));
}

const code = (text: string) => `\`${text}\``;
const list = (names: readonly string[]) => names.map(code).join(", ");

if (import.meta.main) writeFileSync(REFERENCE, entityReference());
