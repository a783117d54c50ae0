/**
 * Every entity over HTTP, generated from the entity table as Kong does: lists, single entities by id or endpoint key, what
 * hangs under a parent, and the parent of a child. Where no store keeps entities, `POST /config` is the only way to write
 * them, and each other write is refused by name.
 */
import type { Field } from "@gatehouse/sdk";
import { lookUp } from "../control/judge.ts";
import type { Parent, Write } from "../control/write.ts";
import { ENTITIES, ENTITY_NAMES, type EntityName, type EntityType, schemaOf } from "../entities/entities.ts";
import type { Entity } from "../entities/relations.ts";
import { notFound, numbered, Refusal } from "./answers.ts";
import { checkBodyType, MAX_ENTITY_BYTES, readBody } from "./body.ts";
import { found, shown, shownAlone, shownPage, workspaceId, workspaceName } from "./entity-view.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Call, Route } from "./routes.ts";

/** Routes of all entities, once at the top (workspace `default`) and once under `/:workspace`. */
export function entityRoutes(port: AdminPort): Route[] {
  return ENTITY_NAMES.flatMap((name) => {
    const type = ENTITIES[name];
    if (type.isRelation) return [];
    const prefixes = name === "workspaces" ? [""] : ["", "/:workspace"];
    // decK asks there whether a workspace is there, before it does anything in it.
    const [, one] = name === "workspaces" ? new Collection(port, type).ownRoutes("/:workspace") : [];
    const within: Route[] = one?.GET === undefined ? [] : [{ path: one.path, GET: one.GET }];
    const routes = prefixes.flatMap((prefix) => [
      ...new Collection(port, type).ownRoutes(prefix),
      ...foreignRoutes(port, type, prefix),
    ]);
    return [...routes, ...within];
  });
}

/** For each foreign field of `type`: its entities under the parent, and the parent under the entity. */
function foreignRoutes(port: AdminPort, type: EntityType, prefix: string): Route[] {
  return Object.entries(type.foreignKeys).flatMap(([field, reference]): Route[] => {
    const parent = ENTITIES[reference as EntityName];
    const children = new Collection(port, type, { parent, field });
    return [
      ...children.ownRoutes(`${prefix}/${parent.collection}/:parent`),
      new Collection(port, parent).throughChild(`${prefix}/${type.collection}/:id/${field}`, type, field),
    ];
  });
}

const VERBS: Readonly<Record<string, string>> = {
  POST: "create",
  PUT: "create or update",
  PATCH: "update",
  DELETE: "remove",
};

/** @throws {Refusal} 405 where entities come as a whole. */
export function checkWritable(port: AdminPort, { name }: { readonly name: string }, method: string): void {
  if (port.store() === null && method !== "GET")
    throw numbered("unsupported", `cannot ${VERBS[method]} '${name}' entities when not using a database`);
}

interface Under {
  readonly parent: EntityType;
  /** Of the child. */
  readonly field: string;
}

/** The endpoints of one collection, at the top or under a parent. */
class Collection {
  readonly #port: AdminPort;
  readonly #type: EntityType;
  readonly #under: Under | null;

  constructor(port: AdminPort, type: EntityType, under: Under | null = null) {
    this.#port = port;
    this.#type = type;
    this.#under = under;
  }

  ownRoutes(prefix: string): Route[] {
    const name = this.#under === null ? this.#type.collection : this.#type.nestedCollection;
    const path = `${prefix}/${name}`;
    return [
      {
        path,
        ...this.#bodies(),
        GET: (call) => this.#list(call),
        POST: async (call) => {
          const input = await this.#body(call, null);
          return this.#written(201, call, { ...this.#addressed(call), verb: "create", input });
        },
      },
      {
        path: `${path}/:id`,
        ...this.#bodies(),
        GET: (call) => {
          const index = this.#port.entities();
          const entity = found(
            index,
            this.#type,
            workspaceId(this.#port, call),
            call.params.id,
            this.#above(call),
          );
          return { status: 200, body: shownAlone(this.#type, entity, index) };
        },
        PUT: async (call) => this.#put(call, call.params.id ?? ""),
        PATCH: async (call) => this.#patch(call, call.params.id ?? ""),
        DELETE: (call) =>
          this.#type.name === "workspaces"
            ? this.#removeWorkspace(call)
            : this.#written(204, call, {
                ...this.#addressed(call),
                verb: "remove",
                key: call.params.id ?? "",
              }),
      },
    ];
  }

  /** The parent of an entity, at the entity's own address. */
  throughChild(path: string, child: EntityType, field: string): Route {
    const id = (call: Call) => {
      const entity = found(this.#port.entities(), child, workspaceId(this.#port, call), call.params.id);
      const reference = entity[field] as { readonly id: string } | null;
      if (reference === null) throw notFound();
      return reference.id;
    };
    return {
      path,
      ...this.#bodies(),
      GET: (call) => {
        const index = this.#port.entities();
        const entity = index.find(this.#type.name, id(call));
        if (entity === undefined) throw notFound();
        return { status: 200, body: shown(this.#type, entity, index) };
      },
      PUT: (call) => this.#put(call, id(call)),
      PATCH: (call) => this.#patch(call, id(call)),
    };
  }

  /** What is refused before a body is read. */
  #bodies(): Pick<Route, "before" | "maxBodyBytes"> {
    return {
      maxBodyBytes: MAX_ENTITY_BYTES,
      before: (call, method) => {
        const { unavailable } = this.#type;
        if (unavailable) throw new Refusal(400, { message: unavailable.endpoint });
        if (method === "GET") return;
        checkWritable(this.#port, this.#type, method);
        if (this.#type.name === "workspaces") this.#checkTenants(call, method);
        if (method !== "DELETE") checkBodyType(call);
      },
    };
  }

  /** Another workspace is another tenant. */
  #checkTenants({ params: { id } }: Call, method: string): void {
    const isNew = method === "POST" || (method === "PUT" && !this.#isThere(id ?? ""));
    const why = isNew ? this.#port.noTenants() : null;
    if (why !== null) throw new Refusal(403, { message: why });
  }

  #isThere(key: string): boolean {
    return lookUp(this.#port.entities(), this.#type.name, "", key, null) !== undefined;
  }

  #list(call: Call): Answer {
    const index = this.#port.entities();
    const workspace = workspaceId(this.#port, call);
    const above = this.#above(call);
    const { custom_id: customId } = call.query;
    let entities: readonly Entity[] =
      above === null
        ? index.list(this.#type.name, workspace)
        : index.children(this.#type.name, above.field, above.id);
    if (this.#type.name === "consumers" && customId !== undefined) {
      const holder = index.holder(this.#type, "custom_id", workspace, String(customId));
      entities = holder === undefined ? [] : [holder];
    }
    // Of the workspaces a tenant sees its own.
    const { workspace: own } = call.author;
    if (this.#type.name === "workspaces" && own !== null)
      entities = entities.filter(({ name }) => name === own);
    return { status: 200, body: shownPage(this.#type, entities, index, call, above !== null) };
  }

  async #put(call: Call, key: string): Promise<Answer> {
    const input = await this.#body(call, null);
    return this.#written(200, call, { ...this.#addressed(call), verb: "put", key, input });
  }

  async #patch(call: Call, key: string): Promise<Answer> {
    const input = await this.#body(call, key);
    return this.#written(200, call, { ...this.#addressed(call), verb: "patch", key, input });
  }

  async #written(status: number, call: Call, write: Write): Promise<Answer> {
    const entity = await this.#port.write(write, call.author);
    if (entity === null) return { status: 204 };
    return { status, body: shown(this.#type, entity, this.#port.entities()) };
  }

  /**
   * A workspace takes with it what is kept of it outside of the store. With `cascade` it takes everything, and the answer
   * says how much; one that was deleted and could not be forgotten everywhere is tried again.
   */
  async #removeWorkspace(call: Call): Promise<Answer> {
    const key = call.params.id ?? "";
    const cascade = call.query.cascade === "true";
    const known = lookUp(this.#port.entities(), "workspaces", "", key, null);
    await this.#port.write({ ...this.#addressed(call), verb: "remove", key, cascade }, call.author);
    const departure = await this.#port.departure(String(known?.name ?? key));
    if (!cascade || departure === null) return { status: 204 };
    const workspace = { id: known?.id ?? null, name: known?.name ?? key };
    return { status: 200, body: { workspace, ...departure } };
  }

  #addressed(call: Call): { kind: EntityName; workspace: string; parent?: Parent } {
    const common = { kind: this.#type.name, workspace: workspaceId(this.#port, call) };
    if (this.#under === null) return common;
    const { parent, field } = this.#under;
    return { ...common, parent: { kind: parent.name, key: call.params.parent ?? "", field } };
  }

  #above(call: Call): { readonly field: string; readonly id: string } | null {
    if (this.#under === null) return null;
    const { parent, field } = this.#under;
    const workspace = workspaceId(this.#port, call);
    return { field, id: found(this.#port.entities(), parent, workspace, call.params.parent).id };
  }

  /** @param key of the entity that a partial change is for. */
  #body(call: Call, key: string | null): Promise<Record<string, unknown>> {
    const { name } = this.#type;
    const fields = schemaOf(this.#type, this.#port.routerFlavor()).fields ?? {};
    return readBody(call, (field, input): Field | undefined => {
      if (name === "plugins" && field === "config") return this.#configOf(call, key, input);
      if (name === "certificates" && field === "snis") return SNIS;
      return Object.hasOwn(fields, field) ? fields[field] : undefined;
    });
  }

  /** The schema of a plugin's config, by the name that stands beside it or that the plugin has. */
  #configOf(call: Call, key: string | null, { name }: Readonly<Record<string, unknown>>): Field | undefined {
    const known =
      name === undefined && key !== null
        ? found(this.#port.entities(), this.#type, workspaceId(this.#port, call), key).name
        : name;
    const plugin = this.#port.findPlugin(String(known), workspaceName(call));
    return "missing" in plugin ? undefined : plugin.schema;
  }
}

const SNIS = { type: "set", required: false, elements: { type: "string", required: false } } as Field;
