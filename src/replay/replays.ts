/**
 * Replays as the Admin API asks for them: which versions, which recordings and which configuration are meant, and one
 * replay at a time, with those that wait taking turns by workspace.
 */
import { isObject, schemaFromJson, type Violation, validate, violationFields } from "@gatehouse/sdk";
import { BUILT_INS } from "../../plugins/index.ts";
import { lookUp } from "../control/judge.ts";
import type { PluginCatalogue, PluginEntity } from "../entities/entities.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import { pluginBaseName } from "../entities/plugins.ts";
import { referenceOf } from "../entities/relations.ts";
import { boundedPatterns } from "../registry/config-schema.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import { type CredentialNames, WorkspaceCredentials } from "../sandbox/calls/credential-names.ts";
import type { WorkspaceLimits } from "../sandbox/limits.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import { OneAtATime } from "../tenancy/owners-turns.ts";
import { DEFAULT_REPLAYED, MAX_WAITING_REPLAYS, MOST_RECORDINGS, REPLAY_MS } from "./limits.ts";
import type { Recordings } from "./recordings.ts";
import { type ReplayReport, type ReplayVersion, replay } from "./replay.ts";

/** It cannot be done as it was asked for. */
export class ReplayRefused extends Error {
  override readonly name = "ReplayRefused";
  /** What is wrong, by field. */
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(fields: Readonly<Record<string, unknown>>) {
    super("the replay cannot be made");
    this.fields = fields;
  }
}

/** Too many wait. */
export class ReplaysBusy extends Error {
  override readonly name = "ReplaysBusy";
}

export interface ReplaysParts {
  readonly registry: Pick<Registry, "find" | "load">;
  readonly catalogue: PluginCatalogue;
  readonly recordings: Pick<Recordings, "newest">;
  readonly sandbox: Pick<Sandbox, "detached">;
  entities(): EntityIndex;
  limitsOf(workspace: string): WorkspaceLimits;
}

export interface Replayed extends ReplayReport {
  /** Where the configuration of the plugin comes from. */
  readonly configFrom: "request" | "entity" | "defaults";
}

interface Asked {
  readonly from: StoredPackage;
  readonly to: StoredPackage;
  /** Id of the route whose recordings are meant; null for those of all. */
  readonly route: string | null;
  readonly limit: number;
  readonly config: { readonly from: unknown; readonly to: unknown };
  readonly configFrom: Replayed["configFrom"];
}

interface Workspace {
  readonly id: string;
  readonly name: string;
}

export class Replays {
  readonly #parts: ReplaysParts;
  readonly #turns = new OneAtATime(MAX_WAITING_REPLAYS);
  readonly #end = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(parts: ReplaysParts) {
    this.#parts = parts;
  }

  /**
   * @param plugin its name, with its owner's in front where it is shared.
   * @param asked as it came: `from` and `to` (versions), and what may be left out: `route` (id or name), `limit`, `config`.
   * @throws {ReplayRefused} @throws {ReplaysBusy} @throws {RecordingsUnavailable}
   */
  async run(
    workspace: Workspace,
    plugin: string,
    asked: Readonly<Record<string, unknown>>,
  ): Promise<Replayed> {
    const request = this.#read(workspace, plugin, asked);
    const run = this.#turns.run(workspace.name, () => this.#replay(workspace, request));
    if (run === null) throw new ReplaysBusy("other replays are running");
    this.#running.add(run);
    try {
      return await run;
    } finally {
      this.#running.delete(run);
    }
  }

  /** Ends those that run. */
  async close(): Promise<void> {
    this.#end.abort();
    await Promise.allSettled(this.#running);
  }

  #read(workspace: Workspace, plugin: string, asked: Readonly<Record<string, unknown>>): Asked {
    const fields: Record<string, unknown> = {};
    for (const name of Object.keys(asked))
      if (!["from", "to", "route", "limit", "config"].includes(name)) fields[name] = "unknown field";
    const limit = asked.limit ?? DEFAULT_REPLAYED;
    if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > MOST_RECORDINGS)
      fields.limit = `expected a whole number from 1 to ${MOST_RECORDINGS}`;
    const from = this.#version(workspace, plugin, "from", asked, fields);
    const to = this.#version(workspace, plugin, "to", asked, fields);
    const route = this.#route(workspace, asked.route, fields);
    if (asked.config !== undefined && !isObject(asked.config)) fields.config = "expected an object";
    if (Object.keys(fields).length > 0 || from === null || to === null) throw new ReplayRefused(fields);
    const given = this.#config(workspace, plugin, asked.config, route);
    const config = {
      from: configBy(from, given.config, fields),
      to: configBy(to, given.config, fields),
    };
    if (Object.keys(fields).length > 0) throw new ReplayRefused(fields);
    return { from, to, route, limit: limit as number, config, configFrom: given.from };
  }

  #version(
    { name: workspace }: Workspace,
    plugin: string,
    field: "from" | "to",
    asked: Readonly<Record<string, unknown>>,
    fields: Record<string, unknown>,
  ): StoredPackage | null {
    const version = asked[field];
    if (typeof version !== "string" || version === "" || version.length > 256) {
      fields[field] = "expected the version of a package";
      return null;
    }
    // The catalogue also says whether it may run here.
    const name = `${plugin}@${version}`;
    const known = this.#parts.catalogue.find(name, workspace);
    const found = "missing" in known ? known : this.#parts.registry.find(name, workspace);
    if (!("missing" in found)) return found;
    fields[field] = found.missing;
    return null;
  }

  /** The id of the route whose recordings are meant; null for those of all. */
  #route({ id }: Workspace, written: unknown, fields: Record<string, unknown>): string | null {
    if (written === undefined || written === null) return null;
    const route =
      typeof written === "string" ? lookUp(this.#parts.entities(), "routes", id, written, null) : undefined;
    if (route === undefined) fields.route = "expected the id or the name of a route";
    return route?.id ?? null;
  }

  /** What was asked for, or that of an entity of the plugin: the route's own before any other. */
  #config(
    { id, name }: Workspace,
    plugin: string,
    asked: unknown,
    route: string | null,
  ): { config: unknown; from: Replayed["configFrom"] } {
    if (asked !== undefined) return { config: asked, from: "request" };
    const owner = (written: string) => (written.includes("/") ? written.split("/", 1)[0] : name);
    const meant = [...this.#plugins(id)].filter(
      (entity) =>
        entity.name.includes("@") &&
        pluginBaseName(entity.name) === pluginBaseName(plugin) &&
        owner(entity.name) === owner(plugin),
    );
    const own = meant.find((entity) => referenceOf(entity, "route") === route) ?? meant[0];
    return own === undefined ? { config: {}, from: "defaults" } : { config: own.config, from: "entity" };
  }

  *#plugins(workspace: string): Iterable<PluginEntity> {
    for (const entity of this.#parts.entities().list("plugins", workspace))
      yield entity as unknown as PluginEntity;
  }

  async #replay(
    workspace: Workspace,
    { from, to, route, limit, config, configFrom }: Asked,
  ): Promise<Replayed> {
    const { registry, recordings, sandbox, limitsOf } = this.#parts;
    const of = { workspace: workspace.id, ...(route === null ? {} : { route }) };
    const limits = limitsOf(workspace.name);
    const load = async (stored: StoredPackage): Promise<ReplayVersion> => ({
      manifest: stored.manifest,
      digest: stored.emitted,
      code: await registry.load(stored),
    });
    const report = await replay(
      {
        workspace: workspace.name,
        limits,
        recordings: await recordings.newest(of, limit),
        from: await load(from),
        to: await load(to),
        config,
        credentials: this.#credentials(workspace),
      },
      (options) => sandbox.detached(options),
      AbortSignal.any([this.#end.signal, AbortSignal.timeout(REPLAY_MS)]),
    );
    return { ...report, configFrom };
  }

  /** As a data thread has them. */
  #credentials({ id, name }: Workspace): CredentialNames {
    const all = new WorkspaceCredentials();
    for (const plugin of this.#plugins(id)) {
      const definition = BUILT_INS.find((one) => one.name === plugin.name);
      all.add(name, definition?.credentials?.(plugin.config) ?? []);
    }
    return all.of(name);
  }
}

/** The configuration with a version's defaults. What is wrong with it is added to `fields`. */
function configBy({ manifest }: StoredPackage, config: unknown, fields: Record<string, unknown>): unknown {
  const checked = validate(schemaFromJson(manifest.schema), config, { compile: boundedPatterns() });
  if (checked.violations.length > 0) {
    const said = checked.violations.map(
      ({ path, message }): Violation => ({
        path: ["config", ...path],
        message: `${message} (by version ${manifest.version})`,
      }),
    );
    Object.assign(fields, violationFields(said));
  }
  return checked.value;
}
