/**
 * The configuration in force as a declarative document: loading it again gives the same configuration, once the
 * private keys are put back, which are not shown.
 *
 * It is made in pieces: a document of many entities is seconds of work, and whoever writes it out does something else
 * between two of them.
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
} from "../entities/entities.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
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

/** Entities that are written at once: some 20 ms of work. */
const SLICE_ENTITIES = 100;

/** @returns YAML in Kong's format 3.0, the same for the same configuration. @throws {WriteRefused} no such workspace */
export function exportConfig(index: EntityIndex, options: ExportOptions = {}): string {
  return [...exportPieces(index, options)].join("");
}

/** The same, piece by piece. What is wrong with the options is thrown at once. */
export function exportPieces(index: EntityIndex, options: ExportOptions = {}): Iterable<string> {
  const { workspace: only = null } = options;
  const top = index.named("workspaces", "", only ?? DEFAULT_WORKSPACE);
  if (top === undefined) throw notFound();
  const others = only === null ? index.list("workspaces", "").filter((one) => one !== top) : [];
  return documentOf(index, top, others.toSorted(byName), options);
}

const byName = (a: Entity, b: Entity) => order(String(a.name), String(b.name));

function* documentOf(
  index: EntityIndex,
  top: Entity,
  others: readonly Entity[],
  options: ExportOptions,
): Generator<string> {
  yield yaml({ _format_version: "3.0", _transform: false }, 0);
  yield* collectionsOf(index, top.id, options, 0);
  if (others.length > 0) yield "workspaces:\n";
  for (const workspace of others) {
    yield yaml([written(ENTITIES.workspaces, workspace, options)], 2);
    yield* collectionsOf(index, workspace.id, options, 4);
  }
}

function* collectionsOf(
  index: EntityIndex,
  workspaceId: string,
  options: ExportOptions,
  indent: number,
): Generator<string> {
  const { tags = [] } = options;
  const find = (kind: EntityName, id: string) => index.find(kind, id);
  for (const name of ENTITY_NAMES) {
    if (name === "workspaces") continue;
    const key = (entity: Entity) => String(entity[ENTITIES[name].endpointKey] ?? entity.name ?? "");
    const entities = index
      .list(name, workspaceId)
      .filter((entity) => hasTags(name, entity, tags, find))
      .sort((a, b) => order(key(a), key(b)) || order(a.id, b.id));
    if (entities.length > 0) yield yaml(`${name}:\n`, indent);
    for (let at = 0; at < entities.length; at += SLICE_ENTITIES) {
      const slice = entities.slice(at, at + SLICE_ENTITIES);
      yield yaml(
        slice.map((entity) => written(ENTITIES[name], entity, options)),
        indent + 2,
      );
    }
  }
}

/** A value, or lines that are YAML already, so far to the right. */
function yaml(value: object | string, indent: number): string {
  const text =
    typeof value === "string" ? value : stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 });
  return indent === 0 ? text : text.replaceAll(/^(?=.)/gm, " ".repeat(indent));
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
