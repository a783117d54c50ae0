/**
 * What differs between two configurations, by entity: all that a data thread needs to hear to go from one to
 * the other, however many entities there are besides.
 */
import { ENTITY_NAMES, type EntityName, type GatewayConfig, type PluginEntity } from "./entities.ts";

/** Some entities of each collection. */
type Entities = { readonly [N in EntityName]: readonly GatewayConfig[N][number][] };
type Ids = { readonly [N in EntityName]: readonly string[] };

export interface ConfigChange {
  /** Hash of the configuration once it is changed. */
  readonly hash: string;
  /** Entities that are new or say something else than before. */
  readonly put: Entities;
  /** Ids of those that are gone. */
  readonly removed: Ids;
}

/** A list for each collection; what is in it is the caller's word. */
const lists = <L extends Entities | Ids>(of: (name: EntityName) => readonly unknown[]): L =>
  Object.fromEntries(ENTITY_NAMES.map((name) => [name, of(name)])) as unknown as L;

const NO_IDS = lists<Ids>(() => []);
const NO_ENTITIES = lists<Entities>(() => []);

/** From nothing to a configuration. */
export function wholeChange(config: GatewayConfig): ConfigChange {
  return { hash: config.hash, put: lists((name) => config[name]), removed: NO_IDS };
}

/**
 * Entities of `after` that are the very objects of `before` count as unchanged, all others as new; a plugin only
 * if `sameCode` says so as well.
 */
export function changeBetween(
  before: GatewayConfig,
  after: GatewayConfig,
  sameCode: (plugin: PluginEntity) => boolean,
): ConfigChange {
  const gone = new Map<EntityName, readonly string[]>();
  const put = lists<Entities>((name) => {
    const old = new Set<{ readonly id: string }>(before[name]);
    const list = (after[name] as readonly { readonly id: string }[]).filter(
      (entity) => !old.delete(entity) || (name === "plugins" && !sameCode(entity as PluginEntity)),
    );
    // What is left of the old ones is gone, or there in another form.
    const ids = new Set(list.map(({ id }) => id));
    gone.set(
      name,
      [...old].map(({ id }) => id).filter((id) => !ids.has(id)),
    );
    return list;
  });
  return withUsers({ hash: after.hash, put, removed: lists((name) => gone.get(name) ?? []) }, before, after);
}

/**
 * Services hold the certificates that they name, and connections that their workspace's egress policy has allowed:
 * where one of those changes, so do they.
 */
function withUsers(change: ConfigChange, before: GatewayConfig, { services }: GatewayConfig): ConfigChange {
  const { put } = change;
  const touched = new Set([...put.certificates, ...put.ca_certificates].map(({ id }) => id));
  const known = put.workspaces.length === 0 ? [] : before.workspaces;
  const egressOf = new Map(known.map(({ id, egress }) => [id, egress]));
  const rerouted = new Set(
    put.workspaces.flatMap(({ id, egress }) =>
      JSON.stringify(egressOf.get(id)) === JSON.stringify(egress) ? [] : [id],
    ),
  );
  if (touched.size === 0 && rerouted.size === 0) return change;
  const named = new Set(put.services);
  for (const service of services) {
    const { client_certificate: own, ca_certificates: authorities, ws_id: workspace } = service;
    const changed =
      rerouted.has(workspace) ||
      (own !== null && touched.has(own.id)) ||
      authorities?.some((id) => touched.has(id));
    if (changed) named.add(service);
  }
  return { ...change, put: { ...put, services: [...named] } };
}

/** How many entities a change names. */
export function sizeOf({ put, removed }: ConfigChange): number {
  return ENTITY_NAMES.reduce((sum, name) => sum + put[name].length + removed[name].length, 0);
}

/**
 * A change in pieces, for `joined`: `entities` at a time in their order, and last what is removed with the rest.
 */
export function* inPieces(change: ConfigChange, entities: number): Generator<ConfigChange> {
  const { hash, removed } = change;
  if (sizeOf(change) <= entities) return yield change;
  for (const name of ENTITY_NAMES) {
    const list: readonly unknown[] = change.put[name];
    for (let at = 0; at < list.length; at += entities) {
      const part = list.slice(at, at + entities);
      yield { hash, put: lists((each) => (each === name ? part : [])), removed: NO_IDS };
    }
  }
  yield { hash, put: NO_ENTITIES, removed };
}

/** Pieces put together again. */
export function joined(pieces: readonly ConfigChange[]): ConfigChange {
  const { hash, put, removed } = pieces.at(-1)!;
  if (pieces.length === 1) return { hash, put, removed };
  return {
    hash,
    put: lists((name) => pieces.flatMap((piece) => piece.put[name] as readonly unknown[])),
    removed,
  };
}
