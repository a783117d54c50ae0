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
  /** Ids of workspaces by the port that is theirs. */
  readonly #ports = new Map<number, string>();

  private constructor(workspaces: ReadonlyMap<string, Workspace>) {
    this.#workspaces = workspaces;
    for (const { id, hosts, ports } of workspaces.values()) {
      for (const port of ports) this.#ports.set(port, id);
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

  /**
   * Whether a workspace may answer for a name, lower-case, at a port of ours: at one that belongs to a workspace nobody
   * else does, and not for a name of somebody else.
   */
  mayAnswer(workspaceId: string, host: string, port: number): boolean {
    if (this.#ports.size === 0) return true;
    const owner = this.#ports.get(port);
    if (owner === undefined) return true;
    const named = this.#owner(host);
    return owner === workspaceId && (named === NOBODY || named === owner);
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
