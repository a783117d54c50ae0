/** Entities as they are shown: to the clients of the Admin API, and in exports. */
import { isObject, isReference } from "@gatehouse/sdk";
import type { EntityType } from "./entities.ts";
import { publicJwk } from "./keys.ts";
import { REDACTED } from "./redacted.ts";

/** A copy of an entity with nobody's private key. A reference to a vault is shown: it is no secret. */
export function withoutSecrets<E extends object>({ secretFields }: EntityType, entity: E): E {
  const shown = { ...entity } as Record<string, unknown>;
  for (const dotted of secretFields) {
    const [field, inner] = dotted.split(".") as [string, string?];
    const value = shown[field];
    if (inner === undefined) shown[field] = concealed(field, value);
    else if (isObject(value)) shown[field] = { ...value, [inner]: concealed(inner, value[inner]) };
  }
  return shown as E;
}

function concealed(field: string, value: unknown): unknown {
  if (typeof value !== "string" || isReference(value)) return value;
  return field === "jwk" ? publicJwk(value) : REDACTED;
}
