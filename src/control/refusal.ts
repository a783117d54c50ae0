/** Why a write is refused, in Kong's words: the Admin API gives each kind its number and status. */
import { type Violation, violationFields } from "@gatehouse/sdk";

export type RefusalKind =
  | "notFound"
  | "schemaViolation"
  | "primaryKeyViolation"
  | "foreignKeyViolation"
  | "uniqueViolation"
  | "foreignKeysUnresolved"
  | "referencedByOthers"
  /** The configuration is another one than the change was planned for. */
  | "movedOn"
  | "forbidden"
  | "unavailable";

export class WriteRefused extends Error {
  override name = "WriteRefused";
  readonly kind: RefusalKind;
  readonly fields: Readonly<Record<string, unknown>> | null;

  constructor(kind: RefusalKind, message: string, fields: Readonly<Record<string, unknown>> | null = null) {
    super(message);
    this.kind = kind;
    this.fields = fields;
  }
}

export const notFound = () => new WriteRefused("notFound", "Not found");

/** One error for all that is wrong with what was sent. */
export function schemaViolation(violations: readonly Violation[]): WriteRefused {
  const fields = violationFields(violations);
  return new WriteRefused("schemaViolation", violationMessage(fields), fields);
}

/**
 * Refuses what is not sound.
 * @param broken shorthands and keys that say nothing: what they stand for is not missing as well.
 * @param findings what the schemas have against the rest.
 * @throws {WriteRefused}
 */
export function checkSound(broken: readonly Violation[], findings: readonly Violation[]): void {
  const isMissing = ({ message }: Violation) => message === "required field missing";
  const told = broken.length === 0 ? findings : findings.filter((each) => !isMissing(each));
  if (broken.length + told.length > 0) throw schemaViolation([...broken, ...told]);
}

/** `schema violation (<field>: <message>)`, or how many there are, fields in alphabetical order. */
export function violationMessage(fields: Readonly<Record<string, unknown>>): string {
  const parts = violationLines(fields);
  return parts.length === 1
    ? `schema violation (${parts[0]})`
    : `${parts.length} schema violations (${parts.join("; ")})`;
}

/** `<field>: <message>` for each violation, fields in alphabetical order. */
export function violationLines(fields: Readonly<Record<string, unknown>>): string[] {
  const parts: string[] = [];
  for (const name of Object.keys(fields).sort()) flatten(name, fields[name], parts);
  return parts;
}

function flatten(path: string, value: unknown, parts: string[]): void {
  if (typeof value === "string") parts.push(path === "@entity" ? value : `${path}: ${value}`);
  else if (Array.isArray(value))
    // Kong counts from 1.
    for (const [i, each] of value.entries())
      flatten(path === "@entity" ? path : `${path}.${i + 1}`, each, parts);
  else if (typeof value === "object" && value !== null)
    for (const name of Object.keys(value).sort())
      flatten(`${path}.${name}`, (value as Record<string, unknown>)[name], parts);
}

/** `{id="…",name="…"}`, as messages quote keys; fields in alphabetical order. */
export function keyText(key: Readonly<Record<string, unknown>>): string {
  const parts = Object.keys(key)
    .sort()
    .map((field) => `${field}=${valueText(key[field])}`);
  return `{${parts.join(",")}}`;
}

function valueText(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (typeof value === "object") return keyText(value as Record<string, unknown>);
  return typeof value === "string" ? `"${value}"` : String(value);
}
