/**
 * Whose a host name is: the workspace that owns it, or `default` for everybody's. Asked of the name in a TLS
 * handshake and of the request's Host: a connection that was made for one tenant must not reach another's routes.
 */
import type { Workspace } from "../entities/entities.ts";

interface OwnersChange {
  readonly put: { readonly workspaces: readonly Workspace[] };
  readonly removed: { readonly workspaces: readonly string[] };
}

const NOBODY = "";

export class HostOwners {
  static readonly none = new HostOwners(new Map());
  readonly #workspaces: ReadonlyMap<string, Workspace>;
  /** Ids of workspaces by name, and by the name below which everything is theirs. */
  readonly #exact = new Map<string, string>();
  readonly #below = new Map<string, string>();

  private constructor(workspaces: ReadonlyMap<string, Workspace>) {
    this.#workspaces = workspaces;
    for (const { id, hosts } of workspaces.values()) {
      for (const host of hosts) {
        if (host.startsWith("*.")) this.#below.set(host.slice(2), id);
        else this.#exact.set(host, id);
      }
    }
  }

  next({ put, removed }: OwnersChange): HostOwners {
    if (put.workspaces.length === 0 && removed.workspaces.length === 0) return this;
    const workspaces = new Map(this.#workspaces);
    for (const id of removed.workspaces) workspaces.delete(id);
    for (const workspace of put.workspaces) workspaces.set(workspace.id, workspace);
    return new HostOwners(workspaces);
  }

  /** Whether two names, lower-case, belong to the same workspace. */
  same(a: string, b: string): boolean {
    if (a === b || this.#exact.size + this.#below.size === 0) return true;
    return this.#owner(a) === this.#owner(b);
  }

  #owner(host: string): string {
    const exact = this.#exact.get(host);
    if (exact !== undefined) return exact;
    for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
      const owner = this.#below.get(host.slice(dot + 1));
      if (owner !== undefined) return owner;
    }
    return NOBODY;
  }
}
