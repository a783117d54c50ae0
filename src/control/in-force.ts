/**
 * The configuration in force on the data threads: each change is given to them as exactly what it changes, with the
 * packages of uploaded plugins that it needs.
 */
import type { Logger } from "pino";
import { changeOf, sizeOf, wholeChange } from "../entities/change.ts";
import type { Certificate, PluginEntity, Workspace } from "../entities/entities.ts";
import type { EntityEdits, EntityIndex } from "../entities/entity-index.ts";
import type { InspectionContext } from "../entities/inspect.ts";
import type { Entity } from "../entities/relations.ts";
import type { Use } from "../registry/desk.ts";
import { mayMove } from "../registry/package-name.ts";
import type { Registry } from "../registry/registry.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import { limitsOf, type WorkspaceLimits } from "../sandbox/limits.ts";
import type { Vaults } from "../secrets/vaults.ts";
import type { Settings } from "../settings.ts";
import type { Counts, Tenant, Tenants } from "../tenancy/tenants.ts";
import {
  type InstalledPackage,
  identityOf,
  isPackaged,
  PackageMissing,
  packagesOf,
} from "../threads/packages.ts";
import type { DataThreads } from "../threads/threads.ts";
import { warnOfEnds } from "../tls/expiry.ts";
import { schemaViolation, WriteRefused } from "./refusal.ts";
import { type Resolved, resolvedAfter, withResolved } from "./resolved.ts";
import { configOf, NOTHING, type State } from "./state.ts";

export interface InForceParts {
  readonly settings: Settings;
  readonly registry: Pick<Registry, "find" | "fit" | "load"> &
    Partial<Pick<Registry, "consentTo" | "catchUp">>;
  /** Absent where nobody rolls anything out. */
  readonly rollouts?: Pick<Rollouts, "tried">;
  readonly threads: Pick<DataThreads, "deploy">;
  readonly log: Logger;
  /** Reads what references to vaults lead to. */
  readonly vaults: Pick<Vaults, "resolve">;
  /** Where workspaces come and go; absent where what is kept of them outlives them, as they may come back. */
  readonly tenants?: Pick<Tenants, "arriving" | "left">;
  /** Called after each change of a workspace: its limits may be others. */
  onLimits(): void;
}

export class InForce {
  readonly #parts: InForceParts;
  /** Threads start with nothing. */
  #state = NOTHING;
  /** By plugin entity. */
  #packages: Readonly<Record<string, InstalledPackage>> = {};
  /** By name of the workspace, as far as somebody has asked for them. */
  readonly #limits = new Map<string, WorkspaceLimits>();

  /** What threads have in place of entities with references, by collection and id. Nobody else sees them. */
  #resolved: Resolved = new Map();
  readonly #context: InspectionContext;

  constructor(parts: InForceParts, context: InspectionContext) {
    this.#parts = parts;
    this.#context = context;
  }

  get state(): State {
    return this.#state;
  }

  /** The certificates that threads show, what references lead to included: to be looked at, and shown to nobody. */
  get certificates(): readonly Certificate[] {
    return withResolved(configOf(this.#state), this.#resolved).certificates;
  }

  /** The limits of a workspace's guests. */
  limitsOf(workspace: string): WorkspaceLimits {
    const known = this.#limits.get(workspace);
    if (known !== undefined) return known;
    const entity = this.#state.index.named("workspaces", "", workspace) as Workspace | undefined;
    const limits = limitsOf(workspace, entity?.plugin_limits ?? null, this.#parts.settings);
    if (entity !== undefined) this.#limits.set(workspace, limits);
    return limits;
  }

  /** The same configuration, as the store has it at a later revision. */
  unchangedAt(revision: number): void {
    this.#state = { ...this.#state, revision };
  }

  /**
   * Puts edits in force on all threads, or on none.
   * @param next the state after them.
   * @param decide is asked once every thread is ready for them, and tells the revision that they have then.
   * @param reread which plugins' packages are looked up anew although no edit names them: others may be meant by now.
   * @returns how many entities the threads heard of.
   * @throws {NotDeployed} @throws {UnresolvedReferences} and whatever `decide` throws: then nothing has changed.
   */
  async deploy(
    edits: EntityEdits,
    next: State,
    decide: () => Promise<number>,
    reread: ((plugin: Entity) => boolean) | null = null,
  ): Promise<number> {
    const { threads, log } = this.#parts;
    const before = this.#state.index;
    const packages = await this.#packagesAfter(edits, before, next.index, reread);
    const isEmpty = edits.put.length + edits.removed.length + packages.changed.length === 0;
    // Names that move mean what they meant.
    if (isEmpty && next === this.#state) return 0;
    const put = [...edits.put, ...packages.changed.map((entity) => ({ kind: "plugins" as const, entity }))];
    const resolved = await resolvedAfter(
      this.#resolved,
      { put, removed: edits.removed },
      next.index,
      this.#parts.vaults,
      this.#context,
    );
    put.push(...resolved.again);
    const shown = changeOf({ put, removed: edits.removed }, next.hash, before, next.index);
    const change = { ...shown, put: withResolved(shown.put, resolved.all) };
    const own = change.put.plugins.flatMap(({ id }) => {
      const installed = packages.all[id];
      return installed === undefined ? [] : [[id, installed] as const];
    });
    await this.#parts.tenants?.arriving(newTenants(edits, before)).catch((error: Error) => {
      throw new WriteRefused("unavailable", error.message);
    });
    let revision = next.revision;
    await threads.deploy(
      { change, packages: Object.fromEntries(own) },
      () => ({
        change: wholeChange(withResolved(configOf(next), resolved.all)),
        packages: packages.all,
      }),
      async () => {
        await this.#parts.registry.consentTo?.(packages.uses);
        revision = await decide();
      },
    );
    this.#state = { ...next, revision };
    this.#packages = packages.all;
    this.#resolved = resolved.all;
    if ([...edits.put, ...edits.removed].some(({ kind }) => kind === "workspaces")) {
      this.#limits.clear();
      this.#parts.onLimits();
    }
    for (const tenant of goneTenants(edits, before, next.index))
      this.#parts.tenants?.left(tenant, removedOf(tenant.id, edits, before));
    warnOfEnds(log, change.put.certificates as readonly Certificate[]);
    return sizeOf(change);
  }

  /** All packages after edits, and the plugins that are others by them although nobody has edited them. */
  async #packagesAfter(
    { put, removed }: EntityEdits,
    before: EntityIndex,
    after: EntityIndex,
    reread: ((plugin: Entity) => boolean) | null,
  ): Promise<{
    readonly all: Readonly<Record<string, InstalledPackage>>;
    readonly changed: readonly Entity[];
    /** Of those that are edited or others. */
    readonly uses: readonly Use[];
  }> {
    const edited = new Map(
      put.flatMap(({ kind, entity }) => (kind === "plugins" ? [[entity.id, entity]] : [])),
    );
    const looked = new Map<string, Entity>(edited);
    const look = (plugins: Iterable<Entity>) => {
      for (const plugin of plugins) if (isPackaged(plugin)) looked.set(plugin.id, plugin);
    };
    if (reread !== null) look([...after.all("plugins")].filter(reread));
    for (const { kind, entity } of put) {
      // Its guests may have other limits.
      const isKnown = kind === "workspaces" && before.find(kind, entity.id) !== undefined;
      if (isKnown) look(after.list("plugins", entity.id));
    }
    const gone = removed.filter(({ kind, id }) => kind === "plugins" && this.#packages[id] !== undefined);
    if (looked.size === 0 && gone.length === 0) return { all: this.#packages, changed: [], uses: [] };
    const { rollouts } = this.#parts;
    const found = await packagesOf(looked.values() as Iterable<unknown> as Iterable<PluginEntity>, {
      registry: this.#parts.registry,
      workspaceOf: (id) => after.find("workspaces", id) as Workspace | undefined,
      limitsOf: ({ name, plugin_limits: own }) => limitsOf(name, own, this.#parts.settings),
      idOf: (name) => after.named("workspaces", "", name)?.id,
      installed: (id) => this.#packages[id],
      ...(rollouts === undefined ? {} : { tried: (...asked) => rollouts.tried(...asked) }),
    }).catch((error: Error) => {
      throw error instanceof PackageMissing
        ? schemaViolation([{ path: ["@entity"], message: error.message }])
        : error;
    });
    const all = { ...this.#packages };
    for (const { id } of gone) delete all[id];
    for (const id of edited.keys()) delete all[id];
    const changed: Entity[] = [];
    const uses: Use[] = [];
    for (const [id, plugin] of looked) {
      const installed = found[id];
      // A plugin whose package was published anew is another one, though its entity says the same.
      if (!edited.has(id) && identityOf(installed) !== identityOf(this.#packages[id])) changed.push(plugin);
      if (installed === undefined) continue;
      all[id] = installed;
      const { workspace: owner, manifest } = installed;
      const workspace = after.workspace(plugin.ws_id)?.name ?? "";
      const isExact = edited.has(id) && !mayMove(String(plugin.name));
      uses.push({ workspace, workspaceId: plugin.ws_id, owner, manifest, isExact });
    }
    this.#warnOfYanked(edited.values(), after);
    return { all, changed, uses };
  }

  /** What is named exactly is used, and its author has said that it should not be. */
  #warnOfYanked(plugins: Iterable<Entity>, index: EntityIndex): void {
    for (const { id, name, ws_id: workspaceId } of plugins) {
      const workspace = index.workspace(workspaceId)?.name ?? "";
      if (!isPackaged({ name })) continue;
      const found = this.#parts.registry.find(String(name), workspace);
      if ("missing" in found || found.yanked === null) continue;
      const { reason } = found.yanked;
      this.#parts.log.warn(
        { plugin: id, name, workspace, reason },
        "a plugin entity names a version that is yanked",
      );
    }
  }
}

function newTenants({ put }: EntityEdits, before: EntityIndex): Tenant[] {
  return put.flatMap(({ kind, entity: { id, name } }) =>
    kind === "workspaces" && before.find(kind, id) === undefined ? [{ id, name: String(name) }] : [],
  );
}

function goneTenants({ removed }: EntityEdits, before: EntityIndex, after: EntityIndex): Tenant[] {
  return removed.flatMap(({ kind, id }) => {
    const known =
      kind === "workspaces" && after.find(kind, id) === undefined ? before.find(kind, id) : undefined;
    return known === undefined ? [] : [{ id, name: String(known.name) }];
  });
}

/** How many entities of a workspace are removed, by collection. */
function removedOf(workspaceId: string, { removed }: EntityEdits, before: EntityIndex): Counts {
  const counts: Record<string, number> = {};
  for (const { kind, id } of removed)
    if (kind !== "workspaces" && before.find(kind, id)?.ws_id === workspaceId)
      counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
