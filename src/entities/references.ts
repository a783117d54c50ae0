/**
 * References to what vaults hold, as entities write them: `{vault://<vault>/<name>}` or, of a JSON object,
 * `{vault://<vault>/<name>/<key>}`, as the whole value of a field that takes them. Elsewhere a text that begins like one
 * is refused: whoever writes it does not mean the text.
 */
import { type Field, isObject } from "@gatehouse/sdk";
import { fieldAt } from "./field-at.ts";

export type Path = readonly (string | number)[];

const BEGIN = "{vault://";
const REFERENCE = /^\{vault:\/\/([a-z][a-z0-9-]*)\/([A-Za-z0-9_.-]+)(?:\/([^/?#{}]+))?\}$/;

export interface Reference {
  /** A kind of vault, or the prefix of a vault entity. */
  readonly vault: string;
  readonly name: string;
  /** Of a member of the JSON object that is found by the name; null for all of it. */
  readonly key: string | null;
}

export function parseReference(text: string): Reference | null {
  const [, vault, name, key = null] = REFERENCE.exec(text) ?? [];
  return vault === undefined || name === undefined ? null : { vault, name, key };
}

/** Every text in a value, with the way to it. */
export function* texts(
  value: unknown,
  path: Path,
): Generator<{ readonly path: Path; readonly text: string }> {
  if (typeof value === "string") yield { path, text: value };
  else if (Array.isArray(value)) for (const [i, item] of value.entries()) yield* texts(item, [...path, i]);
  else if (isObject(value))
    for (const [key, item] of Object.entries(value)) yield* texts(item, [...path, key]);
}

/** References that stand where none may, or that nobody could follow. */
export function* referenceFaults(
  value: unknown,
  schema: Field,
  path: Path = [],
): Generator<{ readonly path: Path; readonly message: string }> {
  for (const { path: below, text } of texts(value, [])) {
    if (!text.startsWith(BEGIN)) continue;
    const at = [...path, ...below];
    if (!fieldAt(schema, below)?.referenceable)
      yield { path: at, message: "a reference to a vault cannot stand here; write the value" };
    else if (parseReference(text) === null)
      yield {
        path: at,
        message: `'${text.slice(0, 200)}' is no reference: write {vault://<vault>/<name>} or {vault://<vault>/<name>/<key>}`,
      };
  }
}
