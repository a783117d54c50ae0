/**
 * What is wrong with a configuration by entity, as Kong tells it with `flatten_errors=1`: for tools that made the document
 * from things of their own (an ingress controller) and want to know which of those are at fault.
 */
import { type Draft, subjectOf } from "./draft.ts";
import { type ConfigError, fieldName } from "./errors.ts";

interface FlatError {
  readonly type: "entity" | "field";
  readonly field?: string;
  readonly message: string;
}

export interface FlattenedError {
  /** `service`, `route`, `keyauth_credential`, … */
  readonly entity_type: string;
  readonly entity_id: string;
  readonly entity_name?: string;
  readonly entity_tags?: readonly string[];
  /** As it was written, what was nested in it aside. */
  readonly entity: object;
  readonly errors: FlatError[];
}

/** In the order of the document. Faults of the document itself are in none of them. */
export function flattenedErrors(errors: readonly ConfigError[]): FlattenedError[] {
  const byDraft = new Map<Draft, FlattenedError>();
  for (const error of errors) {
    const draft = subjectOf(error);
    if (draft === undefined) continue;
    let flat = byDraft.get(draft);
    if (flat === undefined) {
      flat = { ...describe(draft), errors: [] };
      byDraft.set(draft, flat);
    }
    const message = error.hint === null ? error.message : `${error.message}; ${error.hint}`;
    const path = error.path.slice(draft.path.length);
    flat.errors.push(
      path.length === 0 || path[0] === "@entity"
        ? { type: "entity", message }
        : { type: "field", field: fieldName(path), message },
    );
  }
  return [...byDraft.values()];
}

function describe({ type, id, input, references, parents }: Draft): Omit<FlattenedError, "errors"> {
  const { name, tags } = input;
  const above = Object.fromEntries(
    Object.entries(parents).map(([field, parent]) => [field, { id: parent.id }]),
  );
  return {
    entity_type: type.name.slice(0, -1),
    entity_id: id,
    ...(typeof name === "string" ? { entity_name: name } : {}),
    ...(Array.isArray(tags) ? { entity_tags: tags.filter((tag) => typeof tag === "string") } : {}),
    entity: { ...input, ...references, ...above },
  };
}
