/**
 * The control plane: the one way by which a configuration comes into force, whatever asks for it: a file, a document
 * that replaces everything, a write of one entity, another gateway on the same store.
 *
 * A write is judged by the configuration in force, prepared by every data thread, written to the store if nobody else
 * has written in between, and only then served. So what is acknowledged is stored and live, and what is refused, by
 * whomever, has changed nothing. Changes follow each other.
 */
import { setTimeout } from "node:timers/promises";
import type { Logger } from "pino";
import { emptyConfig } from "../declarative/empty-config.ts";
import { type ReadApart, readApart } from "../declarative/read-apart.ts";
import type { OwnListeners } from "../egress/own-listeners.ts";
import { Policies } from "../egress/policies.ts";
import {
  type Certificate,
  ENTITIES,
  type GatewayConfig,
  type PluginCatalogue,
} from "../entities/entities.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import { PasswordWork } from "../entities/password-work.ts";
import { hashPassword } from "../entities/passwords.ts";
import type { Entity } from "../entities/relations.ts";
import { politely } from "../gateway/polite.ts";
import { StartError } from "../gateway/start-error.ts";
import { InTurn } from "../in-turn.ts";
import { parsePackageName } from "../registry/package-name.ts";
import type { WorkspaceLimits } from "../sandbox/limits.ts";
import { UnresolvedReferences } from "../secrets/vaults.ts";
import { type AuditEntry, StaleRevision, type Store, StoreUnavailable } from "../stores/store.ts";
import { type Quotas, quotasOf } from "../tenancy/quotas.ts";
import type { Beside, BesideWrite } from "./beside.ts";
import { InForce, type InForceParts } from "./in-force.ts";
import { type JudgeContext, judge } from "./judge.ts";
import { type Planned, type PlanRequest, planOf } from "./plan.ts";
import { schemaViolation, WriteRefused } from "./refusal.ts";
import { storeEdits, UnsoundRow } from "./rows.ts";
import { configOf, nextState, type State, workspaceHash } from "./state.ts";
import { type StoreChange, StoreChanges } from "./store-changes.ts";
import { type Replaced, type ReplaceOptions, WholeConfigurations } from "./whole.ts";
import type { Author, Judged, Write } from "./write.ts";
import { movedOn, refusalOf, unresolved } from "./write-failures.ts";

export interface ControlParts extends InForceParts {
  /** The plugins that a configuration may name. */
  readonly catalogue: PluginCatalogue;
  /** Where entities are kept; null if the configuration comes from a file or from `POST /config`. */
  readonly store: Store | null;
  /** What the store holds beside entities. */
  readonly beside: Beside;
  /** What the audit log says of a write. */
  readonly auditOf?: (
    judged: Judged,
    of: Pick<Write, "kind" | "workspace">,
    by: Author,
  ) => readonly AuditEntry[];
  /** Where the gateway itself listens. */
  readonly own: OwnListeners;
  /** Called before each change: files that the settings name are read again whenever the configuration is. */
  readSettingsFiles(): Promise<void>;
}

/** Does a job when it is its turn. */
export type TakeTurn = <T>(job: () => Promise<T>) => Promise<T>;

const atOnce: TakeTurn = (job) => job();

/** How long a write is judged again and again because others were faster. */
const PATIENCE_MS = 10_000;
/** Longest pause before it is: those who meet again and again part by chance. */
const LONGEST_PAUSE_MS = 32;

export class Control {
  readonly #parts: ControlParts;
  readonly #log: Logger;
  readonly #store: Store | null;
  readonly #beside: Beside;
  readonly #fromStore: StoreChanges;
  readonly #inForce: InForce;
  readonly #context: JudgeContext;
  readonly #whole: WholeConfigurations;
  readonly #changes = new InTurn();
  #unwatch: () => void = () => {};

  constructor(parts: ControlParts) {
    this.#parts = parts;
    this.#log = parts.log;
    this.#store = parts.store;
    this.#beside = parts.beside;
    this.#context = {
      plugins: parts.catalogue,
      flavor: parts.settings.routerFlavor,
      patterns: new Map(),
      policies: Policies.of(parts.settings, parts.own),
      quotas: parts.settings.workspaceQuotas,
    };
    this.#fromStore = new StoreChanges(parts.beside, this.#context);
    this.#inForce = new InForce(parts, this.#context);
    this.#whole = new WholeConfigurations(parts, this.#context, this.#inForce, (job) => this.alone(job));
  }

  /** The entities in force. */
  get index(): EntityIndex {
    return this.#inForce.state.index;
  }

  get hash(): string {
    return this.#inForce.state.hash;
  }

  /** The hash of what a workspace holds, by its name; of everything if it is null. */
  hashOf(workspace: string | null): string {
    const id = workspace === null ? undefined : this.index.named("workspaces", "", workspace)?.id;
    return id === undefined ? this.hash : workspaceHash(this.index, id);
  }

  /** All entities in force as lists: dear among many, for those who need them all. */
  get config(): GatewayConfig {
    return configOf(this.#inForce.state);
  }

  /** The certificates in force, with what references to vaults lead to: to be looked at, and shown to nobody. */
  get certificates(): readonly Certificate[] {
    return this.#inForce.certificates;
  }

  get store(): Store | null {
    return this.#store;
  }

  /** The limits of a workspace's guests, by the configuration in force. */
  limitsOf(workspace: string): WorkspaceLimits {
    return this.#inForce.limitsOf(workspace);
  }

  /** What a workspace may have, by the configuration in force. */
  quotasOf(workspace: string): Quotas {
    const quotas = this.index.named("workspaces", "", workspace)?.quotas;
    return quotasOf({ name: workspace, quotas }, this.#context.quotas);
  }

  /**
   * Puts in force what the gateway starts with: its file, what its store holds, or nothing.
   * @param ready resolves when there are threads to give it to.
   * @throws {StartError} with everything that is wrong with it
   */
  async open(ready: Promise<void>): Promise<void> {
    const file = this.#parts.settings.declarativeConfig;
    if (this.#store !== null && file === null) {
      const { edits, next } = await this.#stored(this.#store);
      await ready;
      await this.#inForce
        .deploy(edits, next, async () => next.revision)
        .catch((error) => {
          const isSaid =
            error instanceof UnresolvedReferences ||
            error instanceof WriteRefused ||
            error instanceof StoreUnavailable;
          throw isSaid ? new StartError(error.message) : error;
        });
      this.#unwatch = this.#store.watch(() => void this.#followStore());
      return;
    }
    const config = file === null ? emptyConfig() : await this.#whole.fromFile(file);
    await ready;
    await this.#whole.put(config);
  }

  async #stored(store: Store): Promise<StoreChange> {
    try {
      const state = await store.read();
      return politely(() => this.#fromStore.all(this.#inForce.state, state));
    } catch (error) {
      if (error instanceof StoreUnavailable)
        throw new StartError(`the store cannot be read: ${error.message}`);
      if (error instanceof UnsoundRow)
        throw new StartError(
          `${error.message}; nothing is served rather than something else than was configured`,
        );
      throw error;
    }
  }

  /**
   * Writes one entity. Resolves once it is stored and every thread serves by it.
   * @returns it as it is kept; null if it was removed.
   * @throws {WriteRefused} nothing has changed.
   * @throws {NotDeployed} a thread could not prepare it; nothing has changed.
   */
  write(write: Write, by: Author): Promise<Entity | null> {
    return this.#written(async (store) => {
      // A package may have been published by another gateway just before.
      if (write.kind === "plugins") await this.#parts.registry.catchUp?.();
      const { state } = this.#inForce;
      const judged = await withHashes(judge(write, state.index, this.#context, Date.now()));
      const { edits, entity } = judged;
      if (edits.put.length + edits.removed.length === 0) return entity;
      const audit = this.#parts.auditOf?.(judged, write, by) ?? [];
      const beside = edits.removed.flatMap(({ kind, id }) =>
        kind === "workspaces" ? this.#beside.removedWith(id) : [],
      );
      const decide = () => store.write(state.revision, [...storeEdits(edits), ...beside], audit);
      try {
        await this.#inForce.deploy(edits, nextState(state, edits, state.revision), decide);
      } catch (error) {
        throw error instanceof UnresolvedReferences ? unresolved(error, write) : error;
      }
      this.#beside.apply(beside);
      return entity;
    });
  }

  /**
   * Writes what is no entity. Resolves once it is stored and counts.
   * @param plan what to write, by what is there; asked again when others were faster.
   * @throws {WriteRefused} and whatever `plan` throws: nothing has changed.
   */
  writeBeside<T>(plan: () => BesideWrite & { readonly result: T }): Promise<T> {
    return this.#written(async (store) => {
      const { edits, audit, result } = plan();
      this.#inForce.unchangedAt(await store.write(this.#inForce.state.revision, edits, audit));
      this.#beside.apply(edits);
      return result;
    });
  }

  /** Tries until nobody else has written meanwhile. */
  #written<T>(attempt: (store: Store) => Promise<T>): Promise<T> {
    return this.alone(async () => {
      await this.#parts.readSettingsFiles();
      const store = this.#store;
      if (store === null) throw new Error("there is no store to write to");
      const began = performance.now();
      for (let tries = 0; ; tries++)
        try {
          return await attempt(store);
        } catch (error) {
          const isLate = performance.now() - began > PATIENCE_MS;
          if (!(error instanceof StaleRevision) || isLate) throw refusalOf(error);
          await setTimeout(Math.random() * Math.min(2 ** tries, LONGEST_PAUSE_MS));
          await this.#catchUp(store).catch((reason) => {
            throw refusalOf(reason);
          });
        }
    });
  }

  /**
   * What a document would change in the configuration in force.
   * @param inTurn for judging it, which is all that the main thread does meanwhile; passwords are compared in between.
   * @throws {WriteRefused} no such workspace.
   */
  async plan(request: PlanRequest, inTurn = atOnce): Promise<Planned & { readonly hash: string }> {
    const store = this.#store;
    // What another gateway has just acknowledged is no difference; while the store is away, what is in force must do.
    if (store !== null) await this.alone(() => this.#catchUp(store)).catch(() => 0);
    const passwords = new PasswordWork({ makesHashes: false });
    let document: ReadApart | undefined;
    for (;;) {
      const planned = await inTurn(async () => {
        document ??= await readApart(request.text);
        const { state } = this.#inForce;
        const hash = this.hashOf(request.workspace);
        return { ...(await this.#planOf(request, document, state, passwords)), hash };
      });
      if (!passwords.isDue) return planned;
      await passwords.work();
    }
  }

  /**
   * Puts all that a document changes in force with one write to the store.
   * @param inTurn as for `plan`; passwords are hashed in between.
   * @param expected hash of what the change was planned for, a workspace's or everything's; null for whatever is in force.
   * @throws {WriteRefused} nothing has changed.
   * @throws {NotDeployed} a thread could not prepare it; nothing has changed.
   */
  async sync(request: PlanRequest, expected: string | null, by: Author, inTurn = atOnce): Promise<Planned> {
    const passwords = new PasswordWork({ makesHashes: true });
    let document: ReadApart | undefined;
    for (;;) {
      const planned = await inTurn(async () => {
        document ??= await readApart(request.text);
        return this.#trySync(request, document, expected, by, passwords);
      });
      if (!passwords.isDue) return planned;
      // Thousands take minutes, in which others write.
      await passwords.work();
    }
  }

  #trySync(
    request: PlanRequest,
    document: ReadApart,
    expected: string | null,
    by: Author,
    passwords: PasswordWork,
  ): Promise<Planned> {
    return this.#written(async (store) => {
      const { state } = this.#inForce;
      if (expected !== null && expected !== this.hashOf(request.workspace)) throw movedOn();
      const planned = await this.#planOf(request, document, state, passwords);
      if (!planned.ok || passwords.isDue || planned.plan.changes.length === 0) return planned;
      const { edits, edited } = planned.plan;
      const audit = edited.flatMap(({ kind, entity, old }) => {
        const { ws_id: workspace } = (entity ?? old) as Entity;
        const judged = { edits: { put: [], removed: [] }, entity, old };
        return this.#parts.auditOf?.(judged, { kind, workspace }, by) ?? [];
      });
      const decide = () => store.write(state.revision, storeEdits(edits), audit);
      try {
        await this.#inForce.deploy(edits, nextState(state, edits, state.revision), decide);
      } catch (error) {
        throw error instanceof UnresolvedReferences
          ? schemaViolation([{ path: ["@entity"], message: error.message }])
          : error;
      }
      return planned;
    });
  }

  /**
   * Names that move may mean other packages now: what they mean is put in force, without a request that notices.
   * @param concerns the plugins by their owner and name.
   * @throws {NotDeployed} @throws {PackageMissing} @throws {DamagedArtifact} what was in force goes on.
   */
  packagesMoved(concerns: (owner: string, name: string) => boolean): Promise<number> {
    return this.alone(async () => {
      const { state } = this.#inForce;
      const isConcerned = ({ name, ws_id: workspaceId }: Entity) => {
        const named = parsePackageName(String(name));
        const owner = named.owner ?? state.index.workspace(workspaceId)?.name;
        return owner !== undefined && concerns(owner, named.name);
      };
      return this.#inForce.deploy({ put: [], removed: [] }, state, async () => state.revision, isConcerned);
    });
  }

  #planOf(
    request: PlanRequest,
    document: ReadApart,
    { index }: State,
    passwords: PasswordWork,
  ): Promise<Planned> {
    return planOf(request, document, index, this.#context, this.#parts.vaults, passwords, Date.now());
  }

  /** Does something between two changes. */
  alone<T>(job: () => Promise<T>): Promise<T> {
    return this.#changes.run(job);
  }

  /** Puts a whole configuration in force in place of the one before, or tells what is wrong with it. */
  replace(text: string, options: Omit<ReplaceOptions, "file">): Promise<Replaced> {
    return this.#whole.replace(text, options);
  }

  /** The file has changed. */
  reload(file: string): Promise<void> {
    return this.#whole.reload(file);
  }

  async close(): Promise<void> {
    this.#unwatch();
    await this.alone(async () => {});
    await this.#store?.close();
  }

  /** The store may hold what others have written. */
  async #followStore(): Promise<void> {
    const store = this.#store as Store;
    try {
      const changed = await this.alone(() => this.#catchUp(store));
      if (changed > 0)
        this.#log.info(
          { config_hash: this.hash, changed_entities: changed, revision: this.#inForce.state.revision },
          "what others have written to the store is live on all threads",
        );
    } catch (error) {
      this.#log.error(
        { reason: (error as Error).message },
        "what is in the store is not in force here; the last good configuration keeps serving",
      );
    }
  }

  /** Puts in force what others have written since. @returns how many entities the threads heard of. */
  async #catchUp(store: Store): Promise<number> {
    // What others have written may name packages that were published just before.
    await this.#parts.registry.catchUp?.();
    const { state } = this.#inForce;
    const change = await store.changesSince(state.revision);
    const { edits, next } =
      change === null
        ? this.#fromStore.all(state, await store.read())
        : this.#fromStore.since(state, change.revision, change.edits);
    if (edits.put.length + edits.removed.length === 0) {
      this.#inForce.unchangedAt(next.revision);
      return 0;
    }
    return this.#inForce.deploy(edits, next, async () => next.revision);
  }
}

/** What is kept of passwords is a hash; one that is written back as it is kept stays. */
async function withHashes(judged: Judged): Promise<Judged> {
  const { edits, entity, old } = judged;
  const own = edits.put.find((one) => one.entity === entity);
  if (entity === null || own === undefined) return judged;
  const hashed: Record<string, string> = {};
  for (const field of ENTITIES[own.kind].hashedFields?.(entity) ?? []) {
    const given = entity[field];
    if (typeof given === "string" && given !== old?.[field]) hashed[field] = await hashPassword(given);
  }
  if (Object.keys(hashed).length === 0) return judged;
  const whole = { ...entity, ...hashed };
  const put = edits.put.map((one) => (one === own ? { ...own, entity: whole } : one));
  return { edits: { ...edits, put }, entity: whole, old };
}
