/** The configuration in force, at one moment: its entities, its hash, and where the store was then. */
import { hash as digest } from "node:crypto";
import { emptyConfig } from "../declarative/empty-config.ts";
import { entityContent } from "../declarative/identity.ts";
import { DEFAULT_WORKSPACE_ID, EMPTY_HASH, ENTITY_NAMES, type GatewayConfig } from "../entities/entities.ts";
import { type EntityEdits, EntityIndex } from "../entities/entity-index.ts";
import type { Entity } from "../entities/relations.ts";

export interface State {
  readonly index: EntityIndex;
  /** 32 hexadecimal digits that change if and only if the content does. */
  readonly hash: string;
  /** Of the store; 0 where there is none. */
  readonly revision: number;
  /** Sum of the contents of all entities, for the hash. */
  readonly sum: bigint;
}

export const NOTHING: State = { index: EntityIndex.empty, hash: EMPTY_HASH, revision: 0, sum: 0n };

const SUM_BITS = 512;

/**
 * The state after edits. The hash is that of a sum over entities, so that a single write costs one of them and not all
 * (the sum is wide enough that nobody finds entities whose contents cancel out).
 */
export function nextState(state: State, edits: EntityEdits, revision: number): State {
  let { sum } = state;
  const gone = new Set<string>();
  for (const { kind, id } of [
    ...edits.removed,
    ...edits.put.map(({ kind, entity: { id } }) => ({ kind, id })),
  ]) {
    const old = state.index.find(kind, id);
    if (old === undefined || gone.has(`${kind} ${id}`)) continue;
    gone.add(`${kind} ${id}`);
    sum -= contentOf(kind, old);
  }
  for (const { kind, entity } of edits.put) sum += contentOf(kind, entity);
  sum = BigInt.asUintN(SUM_BITS, sum);
  const hash = sum === 0n ? EMPTY_HASH : digest("sha256", sum.toString(16), "hex").slice(0, 32);
  return { index: state.index.next(edits), hash, revision, sum };
}

const listHashes = new WeakMap<readonly Entity[], string>();

/**
 * The same of one workspace, the workspace itself included: what others write does not change it. Lists that nobody has
 * written to are not read again.
 */
export function workspaceHash(index: EntityIndex, workspaceId: string): string {
  const own = index.find("workspaces", workspaceId);
  const parts = [own === undefined ? "" : entityContent("workspaces", own)];
  for (const kind of ENTITY_NAMES) {
    const list = kind === "workspaces" ? [] : index.list(kind, workspaceId);
    if (list.length === 0) continue;
    const known = listHashes.get(list);
    const hash = known ?? digest("sha256", list.map((one) => entityContent(kind, one)).join("\n"), "hex");
    if (known === undefined) listHashes.set(list, hash);
    parts.push(`${kind} ${hash}`);
  }
  return digest("sha256", parts.join("\n"), "hex").slice(0, 32);
}

function contentOf(kind: string, entity: Entity): bigint {
  if (entity.id !== DEFAULT_WORKSPACE_ID || kind !== "workspaces") return digestOf(kind, entity);
  // The default workspace is there before anything is written: as it was then it counts for nothing.
  return digestOf(kind, { ...entity, ...NO_TIMES }) - pristine();
}

const NO_TIMES = { created_at: null, updated_at: null };
let pristineDigest: bigint | undefined;

function pristine(): bigint {
  pristineDigest ??= digestOf("workspaces", {
    ...(emptyConfig().workspaces[0] as unknown as Entity),
    ...NO_TIMES,
  });
  return pristineDigest;
}

function digestOf(kind: string, entity: Entity): bigint {
  return BigInt(`0x${digest("sha512", entityContent(kind, entity), "hex")}`);
}

const configs = new WeakMap<State, GatewayConfig>();

/** The whole as lists: the same object as long as nothing changes. */
export function configOf(state: State): GatewayConfig {
  let config = configs.get(state);
  if (config === undefined) {
    config = { ...state.index.lists, hash: state.hash };
    configs.set(state, config);
  }
  return config;
}
