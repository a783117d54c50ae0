/**
 * What plugins keep from one request to another: bytes by key, for each plugin of each workspace by itself.
 * CONTRACT of the two stores, the local one and Redis: operations of one batch happen in order, each wholly or
 * not at all; the last write wins; quotas are exact.
 */

/**
 * Whose values they are. A plugin's versions share them. Workspaces go by their ids: one that is made under the name of
 * one that was deleted sees nothing of it, even where a gateway was away and hears late of that.
 */
export interface Scope {
  /** The workspace that uses the plugin. */
  readonly workspace: string;
  /** The workspace that published it; empty for a built-in, which no workspace's id is. */
  readonly owner: string;
  readonly plugin: string;
}

/** What values may take, the cost of their keys included. */
export interface Quota {
  /** Of the plugin. */
  readonly bytes: number;
  /** How many keys it may have. */
  readonly keys: number;
  /** Of all plugins in the workspace. */
  readonly workspaceBytes: number;
}

export type Operation =
  | { readonly op: "get"; readonly scope: Scope; readonly key: string }
  | {
      readonly op: "set";
      readonly scope: Scope;
      readonly key: string;
      readonly value: Uint8Array;
      /** From now; null for ever. */
      readonly ttlMs: number | null;
      readonly quota: Quota;
    }
  | { readonly op: "delete"; readonly scope: Scope; readonly key: string }
  /** Everything that a published plugin keeps, in whatever workspace. */
  | { readonly op: "forget"; readonly owner: string; readonly plugin: string }
  /** Everything that is kept in a workspace, and what plugins that it published keep in others. */
  | { readonly op: "forget_workspace"; readonly workspace: string };

/** Why an operation was not done. */
export type StoreFault = "quota" | "workspace_quota" | "keys" | "full" | "unavailable";
export type Outcome =
  /** `removed`: by `forget_workspace`, how many keys went. */
  { readonly value: Uint8Array | null; readonly removed?: number } | { readonly fault: StoreFault };

export interface KeyValueStore {
  /** Outcomes in the order of the operations. Never rejects. */
  run(operations: readonly Operation[]): Promise<readonly Outcome[]>;
  close(): Promise<void>;
}

/** What a key costs beside its own bytes and those of its value: about what the store needs to keep it. */
export const KEY_COST = 64;
export const MAX_KEYS = 65_536;
/**
 * Entries that are over of which one operation removes this many to make room: more than the longest value needs, and
 * not all that a plugin may leave behind, for everybody waits meanwhile.
 */
export const REMOVED_AT_ONCE = 2000;

/** What a key and its value count against the quota. */
export function costOf(key: Uint8Array, value: Uint8Array): number {
  return key.length + value.length + KEY_COST;
}

/** What a plugin is told. */
export function explainFault(fault: StoreFault, { bytes, keys, workspaceBytes }: Quota): string {
  switch (fault) {
    case "quota":
      return `no room: keys and values may take ${bytes} bytes, with ${KEY_COST} for each key`;
    case "workspace_quota":
      return `no room: all plugins of the workspace together may keep ${workspaceBytes} bytes`;
    case "keys":
      return `no room: a plugin may have ${keys} keys`;
    case "full":
      return "no room: the gateway's store is full";
    case "unavailable":
      return "the store cannot be reached";
  }
}
