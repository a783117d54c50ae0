/**
 * The configuration in force while the next one is loaded. What says the same again is neither validated nor
 * hashed again, and keeps its identity, times and made-up fields: of ten thousand routes that come with a
 * change to one, one is new.
 */
import { ENTITY_NAMES, type EntityName, type EntityType, type GatewayConfig } from "../entities/entities.ts";
import { passwordMark } from "../entities/password-work.ts";
import type { Draft } from "./draft.ts";
import { equalJson } from "./identity.ts";
import type { Directory } from "./resolve.ts";

/** What an entity was made of, as it was loaded. */
export interface Origin {
  /** Own fields as they were written. */
  readonly input: Readonly<Record<string, unknown>>;
  /** Of its content. */
  readonly hash: string;
}

const originsOf = new WeakMap<GatewayConfig, ReadonlyMap<object, Origin>>();

/** Keeps what a configuration was made of as long as it lives. */
export function remember(config: GatewayConfig, origins: ReadonlyMap<object, Origin>): void {
  originsOf.set(config, origins);
}

type Entity = Record<string, unknown>;

/** What is kept of an input: in place of passwords, what tells whether another is the same. */
export function inputToKeep(type: EntityType, input: Entity): Entity {
  const hashed = type.hashedFields?.(input) ?? [];
  if (hashed.length === 0) return input;
  const kept = { ...input };
  for (const field of hashed) {
    const given = kept[field];
    if (typeof given === "string") kept[field] = passwordMark(given);
  }
  return kept;
}

export class Previous {
  readonly #origins: ReadonlyMap<object, Origin>;
  readonly #byId: ReadonlyMap<EntityName, ReadonlyMap<string, Entity>>;

  constructor(config: GatewayConfig) {
    this.#origins = originsOf.get(config) ?? new Map();
    this.#byId = new Map(
      ENTITY_NAMES.map((name) => [
        name,
        new Map((config[name] as readonly { readonly id: string }[]).map((entity) => [entity.id, entity])),
      ]),
    );
  }

  find(name: EntityName, id: string): Entity | null {
    return this.#byId.get(name)!.get(id) ?? null;
  }

  hashOf(entity: object): string | null {
    return this.#origins.get(entity)?.hash ?? null;
  }

  /**
   * The entity that was made of the very same input and points to the same others; null if there is none. Read
   * only. Plugins from packages are looked at anew, as their schemas may have changed.
   */
  unchanged(draft: Draft, directory: Directory): Entity | null {
    const { type, id, input, scope } = draft;
    const old = this.find(type.name, id);
    const origin = old && this.#origins.get(old);
    if (!origin || old.ws_id !== scope.id) return null;
    if (type.name === "plugins" && String(input.name).includes("@")) return null;
    for (const field in type.foreignKeys) {
      if (field in input) continue;
      const text = draft.references[field];
      const target =
        text === undefined
          ? draft.parents[field]
          : directory.lookUp(type.foreignKeys[field] as EntityName, text, scope);
      if (text !== undefined && target === undefined) return null;
      if ((old[field] as { id: string } | null)?.id !== target?.id) return null;
    }
    return equalJson(inputToKeep(type, input), origin.input) ? old : null;
  }

  /** The entity with its id that says the same in other words; null if there is none. */
  sayingTheSame(entity: Readonly<Entity>, type: EntityType): Entity | null {
    const old = this.find(type.name, entity.id as string);
    if (old === null) return null;
    for (const field in entity) {
      const value = entity[field];
      // Absent times and made-up fields were filled in.
      const isFilledIn =
        value === null &&
        (field === "created_at" || field === "updated_at" || type.madeUpFields.includes(field));
      if (!isFilledIn && !equalJson(value, old[field])) return null;
    }
    return old;
  }
}
