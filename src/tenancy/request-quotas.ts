/**
 * Requests a second of workspaces that have a quota of them, counted by all data threads together. A workspace without
 * one is not counted, and where none has one nobody asks here.
 */
import { type Reply, reply } from "@gatehouse/sdk";
import type { Workspace } from "../entities/entities.ts";
import { type GivenQuotas, quotasOf } from "./quotas.ts";

/** Counts in windows of the clock (`CounterTable`). */
export interface WindowCounters {
  owner(of: string): number;
  /** What remains, or less than 0 if nothing did. */
  take(key: string, limit: number, endsAt: number, now: number, owner: number): number;
}

export interface RequestQuotaParts {
  readonly counters: WindowCounters;
  /** Setting `workspace_quotas`. */
  readonly settings: GivenQuotas;
  /** Told of every request that is refused. */
  readonly onRefused: (workspace: string) => void;
}

interface QuotasChange {
  readonly put: { readonly workspaces: readonly Workspace[] };
  readonly removed: { readonly workspaces: readonly string[] };
}

type Limits = ReadonlyMap<string, { readonly limit: number; readonly key: string }>;

const WINDOW_MS = 1000;

export class RequestQuotas {
  readonly #parts: RequestQuotaParts;
  /** By id of the workspace: requests a second, and what they are counted as. */
  readonly #limits: Limits;
  /**
   * These windows belong to no workspace: what a tenant counts on its own account can never take their places, and lift
   * a quota that is in force.
   */
  readonly #owner: number;

  private constructor(parts: RequestQuotaParts, limits: Limits) {
    this.#parts = parts;
    this.#limits = limits;
    this.#owner = parts.counters.owner("quotas");
  }

  static none(parts: RequestQuotaParts): RequestQuotas {
    return new RequestQuotas(parts, new Map());
  }

  /** This one, or null if there is nothing to count. */
  get orNull(): RequestQuotas | null {
    return this.#limits.size === 0 ? null : this;
  }

  next({ put, removed }: QuotasChange): RequestQuotas {
    if (put.workspaces.length + removed.workspaces.length === 0) return this;
    const limits = new Map(this.#limits);
    for (const id of removed.workspaces) limits.delete(id);
    for (const workspace of put.workspaces) {
      const { requestsPerSecond: limit } = quotasOf(workspace, this.#parts.settings);
      if (limit > 0) limits.set(workspace.id, { limit, key: `requests ${workspace.id}` });
      else limits.delete(workspace.id);
    }
    return new RequestQuotas(this.#parts, limits);
  }

  /**
   * Counts a request. Hot, where a workspace has a quota.
   * @returns the answer to one that is too many.
   */
  refuse(workspaceId: string, workspace: string): Reply | null {
    const quota = this.#limits.get(workspaceId);
    if (quota === undefined) return null;
    const now = Date.now();
    const endsAt = Math.floor(now / WINDOW_MS + 1) * WINDOW_MS;
    if (this.#parts.counters.take(quota.key, quota.limit, endsAt, now, this.#owner) >= 0) return null;
    this.#parts.onRefused(workspace);
    return reply(429, { message: "API rate limit exceeded" }, { "Retry-After": "1" });
  }
}
