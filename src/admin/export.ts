/**
 * The configuration in force as a declarative document: loading it again gives the same configuration, once the
 * private keys are put back, which are not shown.
 */
import { stringify } from "yaml";
import {
  DEFAULT_WORKSPACE,
  ENTITIES,
  ENTITY_NAMES,
  type EntityType,
  type GatewayConfig,
} from "../entities/entities.ts";
import type { Entity } from "../entities/relations.ts";
import { withoutSecrets } from "../entities/shown.ts";

/** @returns YAML in Kong's format 3.0. */
export function exportConfig(config: GatewayConfig): string {
  const document: Record<string, unknown> = { _format_version: "3.0", _transform: false };
  const others: Record<string, unknown>[] = [];
  for (const workspace of config.workspaces) {
    const collections = collectionsOf(config, workspace.id);
    if (workspace.name === DEFAULT_WORKSPACE) Object.assign(document, collections);
    else others.push({ ...written(ENTITIES.workspaces, workspace as unknown as Entity), ...collections });
  }
  if (others.length > 0) document.workspaces = others;
  return stringify(document, { aliasDuplicateObjects: false, lineWidth: 0 });
}

function collectionsOf(config: GatewayConfig, workspaceId: string): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const name of ENTITY_NAMES) {
    if (name === "workspaces") continue;
    const entities = (config[name] as unknown as Entity[]).filter(({ ws_id }) => ws_id === workspaceId);
    if (entities.length > 0) out[name] = entities.map((entity) => written(ENTITIES[name], entity));
  }
  return out;
}

/** When a document was loaded is no part of what it says: with its times it would be another configuration. */
const TIMES = ["created_at", "updated_at"];

/** Foreign keys are strings in a document; a null says no more than a field that is not there. */
function written(type: EntityType, { ws_id: _, ...entity }: Entity): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(withoutSecrets(type, entity))) {
    if (value === null || TIMES.includes(field)) continue;
    out[field] = Object.hasOwn(type.foreignKeys, field) ? (value as { id: string }).id : value;
  }
  return out;
}
