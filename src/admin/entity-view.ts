/** Entities as the Admin API finds and shows them. */
import { lookUp } from "../control/judge.ts";
import { DEFAULT_WORKSPACE, ENTITIES, type EntityName, type EntityType } from "../entities/entities.ts";
import { entityBytes } from "../entities/entity-bytes.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import { type Entity, referenceOf } from "../entities/relations.ts";
import { withoutSecrets } from "../entities/shown.ts";
import { notFound } from "./answers.ts";
import { pageOf } from "./page.ts";
import type { AdminPort } from "./port.ts";
import type { Call } from "./routes.ts";

/** The entity as it goes on the wire: without what is internal, and with nobody's private key. */
export function publicEntity(
  type: EntityType,
  { ws_id: _, ...entity }: Entity,
): Record<string, unknown> & { id: string } {
  return withoutSecrets(type, entity);
}

/** The same as it is answered: a certificate with its names. */
export function shown(type: EntityType, entity: Entity, index: EntityIndex): Record<string, unknown> {
  const own = publicEntity(type, entity);
  if (type.name !== "certificates") return own;
  return { ...own, snis: index.children("snis", "certificate", entity.id).map(({ name }) => name) };
}

/** An entity as it is read alone: a consumer group with whoever is in it and what is in force for it, as Kong has it. */
export function shownAlone(type: EntityType, entity: Entity, index: EntityIndex): object {
  if (type.name !== "consumer_groups") return shown(type, entity, index);
  const list = (kind: EntityName, entities: readonly Entity[]) =>
    entities.map((each) => shown(ENTITIES[kind], each, index));
  const consumers = index
    .children("consumer_group_consumers", "consumer_group", entity.id)
    .flatMap((tie) => index.find("consumers", referenceOf(tie, "consumer") ?? "") ?? []);
  return {
    consumer_group: shown(type, entity, index),
    consumers: list("consumers", consumers),
    plugins: list("plugins", index.children("plugins", "consumer_group", entity.id)),
  };
}

/** One page of entities that are in the order of their ids. */
export function shownPage(
  type: EntityType,
  entities: readonly Entity[],
  index: EntityIndex,
  call: Call,
  nested = false,
): object {
  const page = pageOf(entities, call.query, call.path, { nested, bytesOf: entityBytes });
  return { ...page, data: page.data.map((entity) => shown(type, entity, index)) };
}

/** The id of the workspace that a path names. @throws {Refusal} 404 */
export function workspaceId(port: AdminPort, call: Call): string {
  const workspace = port.entities().named("workspaces", "", workspaceName(call));
  if (workspace === undefined) throw notFound();
  return workspace.id;
}

export function workspaceName(call: Call): string {
  return call.params.workspace ?? DEFAULT_WORKSPACE;
}

/**
 * An entity by the id or key that a path names.
 * @throws {Refusal} 404
 */
export function found(
  index: EntityIndex,
  type: EntityType,
  workspace: string,
  key: string | undefined,
  above: { readonly field: string; readonly id: string } | null = null,
): Entity {
  const entity = lookUp(index, type.name, workspace, key ?? "", above);
  if (entity === undefined) throw notFound();
  return entity;
}
