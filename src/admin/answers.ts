/** Refusals of the Admin API, in the shape and the words of Kong's. */

/** An answer other than success, thrown by whoever finds the reason. */
export class Refusal extends Error {
  override name = "Refusal";
  readonly status: number;
  readonly body: object;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, body: object, headers: Readonly<Record<string, string>> = {}) {
    super(`answered ${status}`);
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** Kong's numbered errors: code → name and status. */
const ERRORS = {
  schemaViolation: [2, "schema violation", 400],
  foreignKeyViolation: [4, "foreign key violation", 400],
  uniqueViolation: [5, "unique constraint violation", 409],
  invalidOffset: [7, "invalid offset", 400],
  invalidSize: [9, "invalid size", 400],
  invalidOptions: [11, "invalid options", 400],
  unsupported: [12, "operation unsupported", 405],
  invalidConfig: [14, "invalid declarative configuration", 400],
} as const;

/** A numbered error with more about it, such as `fields`. */
export function numbered(
  kind: keyof typeof ERRORS,
  message: string,
  more: object = {},
  headers: Readonly<Record<string, string>> = {},
): Refusal {
  const [code, name, status] = ERRORS[kind];
  return new Refusal(status, { code, name, message, ...more }, headers);
}

export const notFound = (message = "Not found") => new Refusal(404, { message });

export const unsupportedType = (allowed: readonly string[]) =>
  new Refusal(415, { message: `Unsupported content type; send ${allowed.join(" or ")}` });

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
  else if (Array.isArray(value)) for (const each of value) flatten(path, each, parts);
  else if (typeof value === "object" && value !== null)
    for (const [name, child] of Object.entries(value)) flatten(`${path}.${name}`, child, parts);
}
