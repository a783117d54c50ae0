/** Refusals of the Admin API, in the shape and the words of Kong's. */
import type { WriteRefused } from "../control/refusal.ts";

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
export const NUMBERED = {
  schemaViolation: [2, "schema violation", 400],
  primaryKeyViolation: [3, "primary key violation", 400],
  foreignKeyViolation: [4, "foreign key violation", 400],
  uniqueViolation: [5, "unique constraint violation", 409],
  invalidOffset: [7, "invalid offset", 400],
  invalidSize: [9, "invalid size", 400],
  invalidOptions: [11, "invalid options", 400],
  unsupported: [12, "operation unsupported", 405],
  foreignKeysUnresolved: [13, "foreign keys unresolved", 400],
  invalidConfig: [14, "invalid declarative configuration", 400],
  referencedByOthers: [19, "referenced by others", 400],
} as const;

/** A numbered error with more about it, such as `fields`. */
export function numbered(
  kind: keyof typeof NUMBERED,
  message: string,
  more: object = {},
  headers: Readonly<Record<string, string>> = {},
): Refusal {
  const [code, name, status] = NUMBERED[kind];
  return new Refusal(status, { code, name, message, ...more }, headers);
}

export const notFound = (message = "Not found") => new Refusal(404, { message });

/** @param why continues the sentence. */
export const tooLarge = (why = "") =>
  new Refusal(413, { message: why === "" ? "Payload too large" : `Payload too large, ${why}` });

export const unsupportedType = (allowed: readonly string[]) =>
  new Refusal(415, { message: `Unsupported content type; send ${allowed.join(" or ")}` });

/** A write that the control plane refuses, as Kong would answer it. */
export function answerTo({ kind, message, fields }: WriteRefused): Refusal {
  if (kind === "notFound") return notFound();
  if (kind === "forbidden") return new Refusal(403, { message });
  if (kind === "movedOn") return new Refusal(409, { message });
  if (kind === "unavailable") return new Refusal(503, { message }, { "retry-after": "1" });
  return numbered(kind, message, fields === null ? {} : { fields });
}
