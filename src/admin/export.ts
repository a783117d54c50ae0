/**
 * The configuration in force as a declarative document: loading it again gives the same configuration, once the
 * private keys are put back, which are not shown.
 */
import { stringify } from "yaml";
import { notFound } from "../control/refusal.ts";
import { hasTags } from "../control/scope.ts";
import {
  DEFAULT_WORKSPACE,
  ENTITIES,
  ENTITY_NAMES,
  type EntityName,
  type EntityType,
  type GatewayConfig,
} from "../entities/entities.ts";
import type { Entity } from "../entities/relations.ts";
import { withoutSecrets } from "../entities/shown.ts";

export interface ExportOptions {
  /** Name of the only workspace, whose entities then stand at the top; null: all of them. */
  readonly workspace?: string | null;
  /** Only entities with all of these. */
  readonly tags?: readonly string[];
  /** Whether private keys are written out. */
  readonly withSecrets?: boolean;
}

/** @returns YAML in Kong's format 3.0, the same for the same configuration. @throws {WriteRefused} no such workspace */
export function exportConfig(config: GatewayConfig, options: ExportOptions = {}): string {
  const { workspace: only = null } = options;
  const document: Record<string, unknown> = { _format_version: "3.0", _transform: false };
  const others: Record<string, unknown>[] = [];
  if (only !== null && !config.workspaces.some(({ name }) => name === only)) throw notFound();
  for (const workspace of config.workspaces.toSorted((a, b) => order(a.name, b.name))) {
    if (only !== null && workspace.name !== only) continue;
    const collections = collectionsOf(config, workspace.id, options);
    if (workspace.name === (only ?? DEFAULT_WORKSPACE)) Object.assign(document, collections);
    else
      others.push({
        ...written(ENTITIES.workspaces, workspace as unknown as Entity, options),
        ...collections,
      });
  }
  if (others.length > 0) document.workspaces = others;
  return stringify(document, { aliasDuplicateObjects: false, lineWidth: 0 });
}

function collectionsOf(
  config: GatewayConfig,
  workspaceId: string,
  options: ExportOptions,
): Record<string, unknown> {
  const { tags = [] } = options;
  const maps = new Map<EntityName, Map<string, Entity>>();
  const find = (kind: EntityName, id: string) => {
    const known =
      maps.get(kind) ?? new Map((config[kind] as unknown as Entity[]).map((one) => [one.id, one]));
    maps.set(kind, known);
    return known.get(id);
  };
  const out: Record<string, unknown> = {};
  for (const name of ENTITY_NAMES) {
    if (name === "workspaces") continue;
    const key = (entity: Entity) => String(entity[ENTITIES[name].endpointKey] ?? entity.name ?? "");
    const entities = (config[name] as unknown as Entity[])
      .filter((entity) => entity.ws_id === workspaceId && hasTags(name, entity, tags, find))
      .sort((a, b) => order(key(a), key(b)) || order(a.id, b.id));
    if (entities.length > 0) out[name] = entities.map((entity) => written(ENTITIES[name], entity, options));
  }
  return out;
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** When a document was loaded is no part of what it says: with its times it would be another configuration. */
const TIMES = ["created_at", "updated_at"];

/** Foreign keys are strings in a document; a null says no more than a field that is not there. */
function written(
  type: EntityType,
  { ws_id: _, ...entity }: Entity,
  { withSecrets = false }: ExportOptions,
): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(withSecrets ? entity : withoutSecrets(type, entity))) {
    if (value === null || TIMES.includes(field)) continue;
    out[field] = Object.hasOwn(type.foreignKeys, field) ? (value as { id: string }).id : value;
  }
  return out;
}
