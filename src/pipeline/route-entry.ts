/** A route, and a service, as requests use them. */
import type { Route } from "../entities/entities.ts";
import type { UpstreamTimeouts } from "../http1/client-connection.ts";
import type { Balancer } from "../upstream/balancer.ts";
import type { Chain, Chains } from "./chain.ts";

export interface ServiceEntry {
  readonly entity: { readonly id: string; readonly name: string | null; readonly host: string };
  readonly enabled: boolean;
  readonly balancer: Balancer;
  readonly timeouts: UpstreamTimeouts;
  readonly retries: number;
  readonly path: string | null;
  /** Host that an upstream entity prescribes. */
  readonly hostHeader: string | null;
}

/** The plugins of all workspaces as one snapshot has them. */
export interface PluginsInForce {
  /** Grows from snapshot to snapshot. */
  readonly version: number;
  chainsOf(workspaceId: string): Chains;
}

export class RouteEntry {
  readonly route: { readonly id: string; readonly name: string | null };
  /** Its name. */
  readonly workspace: string;
  readonly workspaceId: string;
  readonly service: ServiceEntry | null;
  readonly stripPath: boolean;
  readonly preserveHost: boolean;
  /** Status that tells a client on plain http to use https; 0 if the route serves http. */
  readonly httpsStatus: number;
  // The chain as it was last asked for. An entry outlives snapshots that change nothing about it, so what it
  // remembers names them by number and holds none.
  #version = -1;
  #chains: Chains | null = null;
  #chain: Chain | null = null;

  constructor(route: Route, workspace: string, service: ServiceEntry | null) {
    this.route = { id: route.id, name: route.name };
    this.workspace = workspace;
    this.service = service;
    this.stripPath = route.strip_path;
    this.preserveHost = route.preserve_host;
    this.httpsStatus = route.protocols.includes("http") ? 0 : route.https_redirect_status_code;
    this.workspaceId = route.ws_id;
  }

  /**
   * The plugins of the route by a snapshot. Chosen at the first request after a change to the workspace's
   * plugins: most of many routes are quiet. Hot: once a request.
   */
  chain(snapshot: PluginsInForce): Chain {
    if (this.#version !== snapshot.version) {
      const chains = snapshot.chainsOf(this.workspaceId);
      if (chains !== this.#chains) {
        this.#chains = chains;
        this.#chain = chains.chain(this.route.id, this.service?.entity.id ?? null);
      }
      this.#version = snapshot.version;
    }
    return this.#chain as Chain;
  }
}
