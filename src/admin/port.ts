/**
 * What the Admin API needs of the gateway, and all that it may touch: it reads entities, hands over whole
 * configurations, and never sees a live request.
 */
import type { ConfigError } from "../declarative/errors.ts";
import type { CataloguePlugin, GatewayConfig, RouterFlavor } from "../entities/entities.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";

export interface AdminPort {
  /** The configuration in force. */
  config(): GatewayConfig;
  /**
   * Checks a declarative configuration and puts it in force in place of the old one.
   * @param options.ifChanged whether an equal configuration is left alone, answered with `changed: false`.
   * @returns once every data thread serves it; or everything that is wrong with it, the old one untouched.
   */
  applyConfig(
    text: string,
    options: { readonly ifChanged: boolean },
  ): Promise<
    | { readonly ok: true; readonly changed: boolean }
    | { readonly ok: false; readonly errors: readonly ConfigError[] }
  >;
  /** A plugin by the name that an entity of that workspace would write, built in or uploaded. */
  findPlugin(name: string, workspace: string): CataloguePlugin | { readonly missing: string };
  /** Every plugin of the operator's, for `GET /`. */
  plugins(): readonly CataloguePlugin[];
  /** Whether the operating system's fence around guests is in force. */
  fenceInForce(): boolean;
  /**
   * What the gateway would do with a request, by the configuration in force.
   * @param request as it came: nothing of it is checked yet.
   * @returns the answer of `POST /explain`, or why the request cannot be explained.
   */
  explain(request: unknown): { readonly explained: object } | { readonly refused: string };
  /** Setting `router_flavor`. */
  routerFlavor(): RouterFlavor;
  /** What uploaded plugins have cost since the gateway started: a row for each workspace, plugin and version. */
  pluginUsage(): Promise<readonly LedgerRow[]>;
  /** Counters and conditions of this node, in the shape of Kong's `GET /status`. */
  status(): Promise<object>;
  /** What `GET /` tells about this node beside what the Admin API knows itself. */
  info(): object;
}
