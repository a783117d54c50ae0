/**
 * Reads of every entity, generated from the entity table: lists, single entities by id or endpoint key, what
 * hangs under a parent, and the parent of a child. Without a database entities are written by `POST /config`
 * only, so each write is refused by name.
 */
import {
  DEFAULT_WORKSPACE,
  ENTITIES,
  ENTITY_NAMES,
  type EntityName,
  type EntityType,
  type Sni,
} from "../entities/entities.ts";
import { withoutSecrets } from "../entities/shown.ts";
import { notFound, numbered, Refusal } from "./answers.ts";
import { pageOf } from "./page.ts";
import type { AdminPort } from "./port.ts";
import type { Call, Route } from "./routes.ts";

/** An entity as configurations hold it: `ws_id` is internal. */
export interface StoredEntity {
  readonly id: string;
  readonly ws_id: string;
  readonly tags?: readonly string[] | null;
  readonly [field: string]: unknown;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The entity as it goes on the wire: without what is internal, and with nobody's private key. */
export function publicEntity(
  type: EntityType,
  { ws_id: _, ...entity }: StoredEntity,
): Record<string, unknown> & { id: string } {
  return withoutSecrets(type, entity);
}

/** Routes of all entities, once at the top (workspace `default`) and once under `/:workspace`. */
export function entityRoutes(port: AdminPort): Route[] {
  return ENTITY_NAMES.flatMap((name) => {
    const type = ENTITIES[name];
    if (type.isRelation) return [];
    const prefixes = name === "workspaces" ? [""] : ["", "/:workspace"];
    return prefixes.flatMap((prefix) => [
      ...ownRoutes(port, type, prefix),
      ...foreignRoutes(port, type, prefix),
    ]);
  });
}

function ownRoutes(port: AdminPort, type: EntityType, prefix: string): Route[] {
  const path = `${prefix}/${type.collection}`;
  return [
    {
      path,
      GET: (call) => {
        const entities = entitiesOf(port, type, call);
        const { custom_id: customId } = call.query;
        const found =
          type.name === "consumers" && customId !== undefined
            ? entities.filter((entity) => entity.custom_id === customId)
            : entities;
        return { status: 200, body: publicPage(type, found, call) };
      },
      POST: () => refuseWrite("create", type),
    },
    {
      path: `${path}/:id`,
      GET: (call) => ({ status: 200, body: publicEntity(type, one(port, type, call, "id")) }),
      ...writes(type),
    },
  ];
}

/** For each foreign field of `type`: its entities under the parent, and the parent under the entity. */
function foreignRoutes(port: AdminPort, type: EntityType, prefix: string): Route[] {
  return Object.entries(type.foreignKeys).flatMap(([field, reference]): Route[] => {
    const parent = ENTITIES[reference as EntityName] as EntityType | undefined;
    // A kind that this version does not keep.
    if (!parent) return [];
    const under = `${prefix}/${parent.collection}/:parent/${type.nestedCollection}`;
    const children = (call: Call) => {
      const { id } = one(port, parent, call, "parent");
      return entitiesOf(port, type, call).filter((entity) => pointsTo(entity[field], id));
    };
    return [
      {
        path: under,
        GET: (call) => ({ status: 200, body: publicPage(type, children(call), call, true) }),
        POST: () => refuseWrite("create", type),
      },
      {
        path: `${under}/:id`,
        GET: (call) => ({
          status: 200,
          body: publicEntity(type, find(children(call), type, param(call, "id")) ?? missing()),
        }),
        ...writes(type),
      },
      {
        path: `${prefix}/${type.collection}/:id/${field}`,
        GET: (call) => {
          const reference = one(port, type, call, "id")[field] as { id: string } | null;
          const target = reference && find(entitiesOf(port, parent, call), parent, reference.id);
          return { status: 200, body: publicEntity(parent, target ?? missing()) };
        },
        ...writes(parent),
      },
    ];
  });
}

const writes = (type: EntityType): Omit<Route, "path"> => ({
  PUT: () => refuseWrite("create or update", type),
  PATCH: () => refuseWrite("update", type),
  DELETE: () => refuseWrite("remove", type),
});

function refuseWrite(verb: string, type: EntityType): never {
  if (type.unavailable) throw new Refusal(400, { message: type.unavailable.endpoint });
  throw numbered("unsupported", `cannot ${verb} '${type.name}' entities when not using a database`);
}

/** The id of the workspace that a path names. @throws {Refusal} 404 */
export function workspaceId(port: AdminPort, call: Call): string {
  const name = workspaceName(call);
  const workspace = port.config().workspaces.find((each) => each.name === name);
  return (workspace ?? missing()).id;
}

export function workspaceName(call: Call): string {
  return call.params.workspace ?? DEFAULT_WORKSPACE;
}

function entitiesOf(port: AdminPort, type: EntityType, call: Call): readonly StoredEntity[] {
  if (type.unavailable) throw new Refusal(400, { message: type.unavailable.endpoint });
  const owner = workspaceId(port, call);
  const config = port.config();
  const all = config[type.name] as unknown as readonly StoredEntity[];
  if (type.name === "certificates") {
    // Kong shows a certificate with its names.
    return all
      .filter((entity) => entity.ws_id === owner)
      .map((entity) => ({ ...entity, snis: config.snis.filter(of(entity)).map(({ name }) => name) }));
  }
  // Workspaces are the operator's own list, whatever they hold.
  return type.name === "workspaces" ? all : all.filter((entity) => entity.ws_id === owner);
}

const of =
  ({ id }: StoredEntity) =>
  ({ certificate }: Sni) =>
    certificate.id === id;

function one(port: AdminPort, type: EntityType, call: Call, name: string): StoredEntity {
  return find(entitiesOf(port, type, call), type, param(call, name)) ?? missing();
}

function find(entities: readonly StoredEntity[], type: EntityType, key: string): StoredEntity | undefined {
  const byId = UUID.test(key) ? entities.find(({ id }) => id === key.toLowerCase()) : undefined;
  return byId ?? entities.find((entity) => entity[type.endpointKey] === key);
}

function param(call: Call, name: string): string {
  return call.params[name] ?? "";
}

function pointsTo(reference: unknown, id: string): boolean {
  return typeof reference === "object" && reference !== null && (reference as { id?: unknown }).id === id;
}

function publicPage(type: EntityType, entities: readonly StoredEntity[], call: Call, nested = false): object {
  const page = pageOf(entities, call.query, call.path, nested);
  return { ...page, data: page.data.map((entity) => publicEntity(type, entity)) };
}

function missing(): never {
  throw notFound();
}
