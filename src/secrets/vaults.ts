/**
 * References to what vaults hold: `{vault://<vault>/<name>}` or, of a JSON object, `{vault://<vault>/<name>/<key>}`. They
 * are read when an entity is put in force and given to the data threads in their place; wherever else the entity is,
 * in the store, in the Admin API, in logs, the text of the reference stands.
 *
 * Vaults reach what is the gateway's own (its environment, its files of secrets), so only the operator's workspace has
 * references; what inspects entities refuses them elsewhere.
 */
import { type Field, isObject, isReference } from "@gatehouse/sdk";
import { ENTITIES, ENTITY_NAMES, type EntityName } from "../entities/entities.ts";
import { type InspectionContext, inspect } from "../entities/inspect.ts";
import { type Path, parseReference } from "../entities/references.ts";
import type { Entity } from "../entities/relations.ts";
import { VAULT_NAMES } from "../entities/vaults.ts";
import { DEFAULT_WORKSPACE, DEFAULT_WORKSPACE_ID } from "../entities/workspaces.ts";
import { Secrets } from "./secrets.ts";

type Kind = (typeof VAULT_NAMES)[number];

/** Collections that have fields for references; the schemas of plugins' configs are known when they are there. */
export const REFERRING: readonly EntityName[] = ENTITY_NAMES.filter(
  (kind) => kind === "plugins" || takesReferences(ENTITIES[kind].schema),
);

function takesReferences({ referenceable, fields = {}, elements, values }: Field): boolean {
  const inside = [...Object.values(fields), elements, values].filter((field) => field !== undefined);
  return referenceable === true || inside.some(takesReferences);
}

/** Something that could not be read, or that does not serve where it is referred to. It never quotes what was read. */
export interface Unresolved {
  /** Leads to the field from the entity. */
  readonly path: Path;
  readonly message: string;
}

/** Why entities cannot be put in force. */
export class UnresolvedReferences extends Error {
  override name = "UnresolvedReferences";
  readonly kind: EntityName;
  readonly entity: Entity;
  readonly faults: readonly Unresolved[];

  constructor(kind: EntityName, entity: Entity, faults: readonly Unresolved[]) {
    const list = faults.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
    super(`${ENTITIES[kind].singular} '${entity.id}': ${list}`);
    this.kind = kind;
    this.entity = entity;
    this.faults = faults;
  }
}

/** Finds the vault entity that references call by a prefix. */
export type FindVault = (prefix: string) => Readonly<Record<string, unknown>> | undefined;

export interface VaultOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `secrets_dir`; null where there is none. */
  readonly directory: string | null;
}

export class Vaults {
  readonly #environment: VaultOptions["environment"];
  readonly #directory: string | null;

  constructor({ environment, directory }: VaultOptions) {
    this.#environment = environment;
    this.#directory = directory;
  }

  /**
   * An entity with what its references lead to; the very entity if it has none.
   * @returns what is wrong if one of them leads nowhere, or to what its field does not take.
   */
  async resolve(
    kind: EntityName,
    entity: Readonly<Record<string, unknown>>,
    find: FindVault,
    context: InspectionContext,
  ): Promise<{ readonly entity: Readonly<Record<string, unknown>>; readonly faults: readonly Unresolved[] }> {
    if (!hasReferences(kind, entity)) return { entity, faults: [] };
    const faults: Unresolved[] = [];
    const resolved = (await this.#value(entity, [], find, faults)) as Record<string, unknown>;
    if (faults.length > 0) return { entity, faults };
    const { ws_id: workspace, ...fields } = resolved;
    const { value, findings } = inspect(ENTITIES[kind], fields, DEFAULT_WORKSPACE, context);
    for (const { path, message } of findings) {
      // A plugin's schema may quote what it refuses; those of certificates and keys never do.
      const told = kind === "plugins" ? "what the reference leads to is no sound value" : message;
      faults.push({ path, message: told });
    }
    return { entity: { ...value, ws_id: workspace }, faults };
  }

  async #value(value: unknown, path: Path, find: FindVault, faults: Unresolved[]): Promise<unknown> {
    if (typeof value === "string") {
      if (!isReference(value)) return value;
      const read = await this.#read(value, find);
      if ("value" in read) return read.value;
      faults.push({ path, message: `${value} ${read.wrong}` });
      return value;
    }
    const inside = (part: unknown, step: string | number) => this.#value(part, [...path, step], find, faults);
    if (Array.isArray(value)) return Promise.all(value.map(inside));
    if (!isObject(value)) return value;
    const parts = Object.entries(value).map(
      async ([name, part]) => [name, await inside(part, name)] as const,
    );
    return Object.fromEntries(await Promise.all(parts));
  }

  async #read(text: string, find: FindVault): Promise<{ value: string } | { wrong: string }> {
    const reference = parseReference(text);
    if (reference === null) return { wrong: "is no reference" };
    const { vault: called, name, key } = reference;
    const vault = VAULT_NAMES.find((kind) => kind === called) ?? null;
    const entity = vault === null ? find(called) : undefined;
    if (vault === null && entity === undefined) return { wrong: `leads to no vault: '${called}' is none` };
    const kind = (vault ?? entity?.name) as Kind;
    const prefix = (entity?.config as { prefix?: string | null } | undefined)?.prefix ?? "";
    const read = await (kind === "env" ? this.#variable(prefix + name) : this.#file(prefix + name));
    if ("wrong" in read || key === null) return secondHand(read);
    return secondHand(member(read.value, key));
  }

  async #variable(name: string): Promise<{ value: string } | { wrong: string }> {
    const variable = name.toUpperCase().replaceAll("-", "_");
    const value = Object.hasOwn(this.#environment, variable) ? this.#environment[variable] : undefined;
    if (value === undefined || value === "")
      return { wrong: `leads nowhere: the gateway's environment has no ${variable}` };
    return { value };
  }

  async #file(name: string): Promise<{ value: string } | { wrong: string }> {
    let refused: string | undefined;
    const secrets = new Secrets({
      directory: this.#directory,
      onRefused: (_workspace, _name, reason) => {
        refused = reason;
      },
    });
    const value = await secrets.read(DEFAULT_WORKSPACE, name).catch(() => null);
    if (refused !== undefined) return { wrong: `cannot be read: ${refused}` };
    const place = this.#directory === null ? "secrets_dir is not set" : "secrets_dir has no such file";
    return value === null ? { wrong: `leads nowhere: ${place} (${DEFAULT_WORKSPACE}/${name})` } : { value };
  }
}

/** Whether any text in an entity is a reference. */
export function hasReferences(kind: EntityName, entity: Readonly<Record<string, unknown>>): boolean {
  return REFERRING.includes(kind) && entity.ws_id === DEFAULT_WORKSPACE_ID && refers(entity);
}

function refers(value: unknown): boolean {
  if (typeof value === "string") return isReference(value);
  return typeof value === "object" && value !== null && Object.values(value).some(refers);
}

/** A member of a JSON object, as text. */
function member(json: string, key: string): { value: string } | { wrong: string } {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    value = null;
  }
  if (!isObject(value)) return { wrong: `asks for '${key}' of what is no JSON object` };
  const found = Object.hasOwn(value, key) ? value[key] : undefined;
  if (typeof found === "string") return { value: found };
  return typeof found === "number" || typeof found === "boolean"
    ? { value: String(found) }
    : { wrong: `leads nowhere: the JSON object has no text '${key}'` };
}

/** What a vault holds is a value, never another reference. */
function secondHand(read: { value: string } | { wrong: string }): { value: string } | { wrong: string } {
  return "value" in read && isReference(read.value) ? { wrong: "leads to another reference" } : read;
}
