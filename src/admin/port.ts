/**
 * What the Admin API needs of the gateway, and all that it may touch: it reads entities, asks for changes, and never
 * sees a live request.
 */
import type { Readable } from "node:stream";
import type { Asker } from "../access/access.ts";
import type { Deed } from "../access/audit.ts";
import type { TokenDesk } from "../access/token-desk.ts";
import type { TakeTurn } from "../control/control.ts";
import type { Planned, PlanRequest } from "../control/plan.ts";
import type { Author, Write } from "../control/write.ts";
import type { ConfigError } from "../declarative/errors.ts";
import type { CataloguePlugin, GatewayConfig, RouterFlavor } from "../entities/entities.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import type { Entity } from "../entities/relations.ts";
import type { Recordings } from "../replay/recordings.ts";
import type { Replayed } from "../replay/replays.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";
import type { Settings } from "../settings.ts";
import type { Store } from "../stores/store.ts";
import type { TailFilter } from "../tail/events.ts";
import type { Quotas } from "../tenancy/quotas.ts";
import type { Departure } from "../tenancy/tenants.ts";

export interface AdminPort {
  /** The entities in force. */
  entities(): EntityIndex;
  /** All of them as lists: dear among many. */
  config(): GatewayConfig;
  /** Hash of the configuration in force: of all of it, or of what a workspace holds, by its name. */
  hash(workspace?: string | null): string;
  /** Where entities are kept and written; null if the configuration comes as a whole. */
  store(): Pick<Store, "engine" | "health" | "audit"> | null;
  /**
   * Writes one entity, where there is a store.
   * @returns it as it is kept, once every data thread serves by it; null if it was removed or was not there.
   * @throws {WriteRefused} and nothing has changed.
   */
  write(write: Write, by: Asker): Promise<Entity | null>;
  /**
   * What has become of a workspace that was deleted: resolves once it is forgotten everywhere, as far as that could be.
   * @returns null if none of that name is being forgotten.
   */
  departure(workspace: string): Promise<Departure | null>;
  /**
   * Checks a declarative configuration and puts it in force in place of the old one, where there is no store.
   * @param options.ifChanged whether an equal configuration is left alone, answered with `changed: false`.
   * @returns once every data thread serves it; or everything that is wrong with it, the old one untouched.
   */
  replace(
    text: string,
    options: { readonly ifChanged: boolean },
    by: Author,
  ): Promise<
    | { readonly ok: true; readonly changed: boolean }
    | { readonly ok: false; readonly errors: readonly ConfigError[] }
  >;
  /** The tokens of this API, where there is a store. */
  readonly tokens: Pick<TokenDesk, "list" | "find" | "create" | "revoke">;
  /** Whether another workspace may be made; if not, why not. */
  noTenants(): string | null;
  /** Tells the audit log of something that has been done, beside writes of entities, which it is told of with them. */
  note(deed: Deed, by: Author): Promise<void>;
  /** What a document would change. @throws {WriteRefused} */
  plan(request: PlanRequest, inTurn: TakeTurn): Promise<Planned & { readonly hash: string }>;
  /**
   * Puts all that a document changes in force at once, where there is a store.
   * @param expected hash of what it was planned for; null for whatever is in force.
   * @throws {WriteRefused} and nothing has changed.
   */
  sync(request: PlanRequest, expected: string | null, by: Author, inTurn: TakeTurn): Promise<Planned>;
  /** What a workspace may have. */
  quotas(workspace: string): Quotas;
  /** Does something between two changes of the configuration. */
  alone<T>(job: () => Promise<T>): Promise<T>;
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
  /** Reads along what plugins do for requests, as lines of JSON; or why it cannot be. */
  tail(filter: TailFilter): Promise<Readable | { readonly full: string }>;
  /** Requests that were recorded, by the id of their workspace. */
  readonly recordings: Pick<Recordings, "list" | "get" | "remove">;
  /** Recorded requests through two versions of a plugin; `asked` as it came. */
  replay(
    workspace: { readonly id: string; readonly name: string },
    plugin: string,
    asked: Readonly<Record<string, unknown>>,
  ): Promise<Replayed>;
  /** Kong's name of the level from which on lines are logged. */
  logLevel(): string;
  /** Logs from another level on, for a time; 0 for as long as the gateway runs. */
  setLogLevel(level: Settings["logLevel"], seconds: number): void;
  /** Counters and conditions of this node, in the shape of Kong's `GET /status`. */
  status(): Promise<object>;
  /** What `GET /` tells about this node beside what the Admin API knows itself. */
  info(): { readonly configuration: object } & object;
}
