/**
 * All roll-outs that the registry's store knows: begun, moved on, ended by people or by the watch. Every step is one write
 * that is held against what the store has by then; what follows from what others have written (a consent, a channel that
 * was moved by hand, a version that is gone) is done by whichever gateway sees it first.
 */
import { randomUUID } from "node:crypto";
import type { Deed } from "../access/audit.ts";
import type { Author } from "../control/write.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import { rowOfChannel } from "../registry/channels.ts";
import { type Line, RegistryRefusal } from "../registry/desk.ts";
import { type Excess, excessText } from "../registry/grants-asked.ts";
import { LATEST, parsePackageName } from "../registry/package-name.ts";
import { KeyedTable, type Planned } from "../registry/records.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import { followersOf } from "../registry/uses.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";
import type { Edit, Row } from "../stores/store.ts";
import type { RolloutRequest } from "./request.ts";
import {
  ended,
  forgotten,
  isOpen,
  MAX_RUNNING,
  ROLLOUT_KIND,
  type Rollout,
  rolloutOfRow,
  rowOfRollout,
} from "./rollout.ts";
import { endBy, excessIn, type User, type VersionFor, versionFor } from "./standing.ts";
import { Tally } from "./tally.ts";
import { Watcher } from "./watcher.ts";

/** Rows of roll-outs, for the registry to keep beside its own. */
export const rolloutTable = (onUnsound: (row: Row) => void): KeyedTable<Rollout> =>
  new KeyedTable(ROLLOUT_KIND, rolloutOfRow, onUnsound);

export interface RolloutParts {
  readonly registry: Registry;
  readonly table: KeyedTable<Rollout>;
  readonly index: () => EntityIndex;
  /** What guests have cost, by all data threads of this gateway. */
  readonly ledger: () => readonly LedgerRow[];
  /** Puts in force what has been written. */
  readonly deploy: (line: Pick<Line, "workspace" | "name">) => Promise<unknown>;
  readonly note: (deed: Deed, by: Author) => Promise<void>;
  readonly log: (level: "info" | "warn" | "error", message: string, fields: object) => void;
}

/** The version that a part of a plugin entity's requests gets. */
export interface Tried extends VersionFor {
  readonly rollout: Rollout;
  readonly tally: SharedArrayBuffer;
}

const NOBODY: Author = { actor: null };
const seconds = () => Math.floor(Date.now() / 1000);
const placeOf = ({ workspace, name, channel }: Pick<Rollout, "workspace" | "name" | "channel">) =>
  `${workspace}/${name}#${channel}`;

export class Rollouts {
  readonly #parts: RolloutParts;
  /** Those that have not ended, by the channel that they move. */
  #open: ReadonlyMap<string, Rollout> = new Map();
  /** By roll-out that runs. */
  readonly #tallies = new Map<string, Tally>();
  /** Names of the workspaces that follow a roll-out's channel, by this configuration. */
  readonly #usersBy = new Map<string, ReadonlySet<string>>();
  #usersOf: EntityIndex | null = null;
  readonly #watcher: Watcher;
  #unfollow: () => void = () => {};
  #settling: Promise<void> = Promise.resolve();

  constructor(parts: RolloutParts) {
    this.#parts = parts;
    this.#watcher = new Watcher({
      open: () => this.open(),
      tally: (rollout) => this.#tally(rollout),
      ledger: parts.ledger,
      users: (rollout) => this.#users(rollout),
      end: (rollout, state, why, figures) => this.#end(rollout, state, why, figures, NOBODY),
      log: parts.log,
    });
    this.#read();
  }

  /** There is a configuration in force: roll-outs are watched, and moved on, from now on. */
  start(): void {
    this.#unfollow = this.#parts.registry.records.onChange(() => this.#follow());
    this.#follow();
  }

  close(): void {
    this.#unfollow();
    this.#watcher.close();
  }

  /** Takes up what the store says by now, which others may have written. */
  #follow(): void {
    this.#read();
    this.#watcher.follow();
    this.#settling = this.#settling.then(() => this.#settle());
  }

  #read(): void {
    const open = [...this.#parts.table.values()].filter(isOpen);
    this.#open = new Map(open.map((rollout) => [placeOf(rollout), rollout]));
    const ids = new Set(open.map(({ id }) => id));
    for (const id of this.#tallies.keys()) if (!ids.has(id)) this.#tallies.delete(id);
    for (const rollout of open)
      if ("weight" in rollout.split) this.#tally(rollout).weight = rollout.split.weight;
  }

  /** Resolves when what followed from the last change has been done. */
  settled(): Promise<void> {
    return this.#settling;
  }

  /** Those that have not ended. */
  open(): Rollout[] {
    return [...this.#open.values()];
  }

  /** Of a plugin, the newest first. */
  list({ workspace, name }: Pick<Line, "workspace" | "name">): Rollout[] {
    return [...this.#parts.table.values()]
      .filter((one) => one.workspace === workspace && one.name === name)
      .sort((a, b) => Number(isOpen(b)) - Number(isOpen(a)) || b.createdAt - a.createdAt);
  }

  /** What was found so far on this gateway; null where nobody watches. */
  seen(rollout: Rollout): ReturnType<Watcher["seen"]> {
    return this.#watcher.seen(rollout);
  }

  /** What the version of a roll-out asks for that its workspace has not consented to. */
  excess(rollout: Pick<Rollout, "workspace" | "name" | "to">): Excess[] {
    return excessIn(this.#parts.registry, rollout);
  }

  /**
   * The version that requests of a plugin entity are tried with beside `running`, which it resolves to; null if none is.
   */
  tried(
    plugin: { readonly name: string; readonly config: unknown },
    workspace: User,
    running: StoredPackage,
  ): Tried | null {
    const { wanted, name } = parsePackageName(plugin.name);
    if (wanted?.kind !== "channel" || wanted.channel === LATEST) return null;
    const place = placeOf({ workspace: running.workspace, name, channel: wanted.channel });
    const rollout = this.#open.get(place);
    // An entity that another version holds, for its config or for what was consented to, stays there.
    if (rollout?.state !== "running" || rollout.from !== running.manifest.version) return null;
    const fit = versionFor(this.#parts.registry, rollout, plugin.config, workspace, running);
    return fit === null ? null : { rollout, tally: this.#tally(rollout).shared, ...fit };
  }

  /**
   * Begins a roll-out, or moves the channel at once where nothing is asked to be seen before.
   * @returns it as it is then: `running`, `waiting_consent` or `promoted`.
   * @throws {RegistryRefusal} @throws {StoreUnavailable}
   */
  async begin(line: Line, request: RolloutRequest, by: Author): Promise<Rollout> {
    const begun = await this.#parts.registry.records.write(() => this.#planBegin(line, request, by));
    await this.#done(begun, "create", by);
    return begun;
  }

  #planBegin(
    line: Line,
    { version: to, channel, split, watch }: RolloutRequest,
    by: Author,
  ): Planned<Rollout> {
    const { registry, table } = this.#parts;
    const why = by.actor === null ? "deployed" : `deployed by ${by.actor}`;
    // Refuses what no channel can be moved to.
    const moved = registry.desk.planMove(line, channel, to, by.actor, why);
    const open = [...table.values()].filter((one) => isOpen(one) && one.workspace === line.workspace);
    const other = open.find((one) => placeOf(one) === placeOf({ ...line, channel }));
    if (other !== undefined)
      throw new RegistryRefusal(
        "conflict",
        `a roll-out of ${line.name}@${other.to} to channel '${channel}' has not ended; promote it or roll it back first`,
      );
    if (open.length >= MAX_RUNNING)
      throw new RegistryRefusal(
        "notAllowed",
        `workspace '${line.workspace}' has ${MAX_RUNNING} roll-outs that have not ended, the most that it may have; end one`,
      );
    const from = registry.desk.channel(line.workspace, line.name, channel)?.version ?? null;
    if (from === to)
      throw new RegistryRefusal(
        "notAllowed",
        `channel '${channel}' of '${line.name}' points to ${to} already`,
      );
    // What may not be used here, unsigned for one, is found by nobody who follows the channel.
    const usable = registry.find(`${line.name}@${to}`, line.workspace);
    if ("missing" in usable) throw new RegistryRefusal("notAllowed", usable.missing);
    const place = { workspace: line.workspace, workspaceId: line.workspaceId, name: line.name };
    const begun: Rollout = {
      ...{ id: randomUUID(), ...place, channel, from: from ?? to, to },
      ...{ split: split ?? { weight: 1 }, watch, state: "running", by: by.actor },
      ...{ createdAt: seconds(), endedAt: null, why: "", figures: null },
    };
    const excess = from === null ? [] : this.excess(begun);
    if (excess.length > 0) {
      const waits = `it asks for more than was consented to: ${excessText(excess)}`;
      const waiting: Rollout = { ...begun, state: "waiting_consent", why: waits };
      return { edits: [{ put: rowOfRollout(waiting) }], result: waiting };
    }
    // Nothing to compare with, or nobody asks for a comparison.
    const isAtOnce = from === null || (split === null && watch === null);
    if (!isAtOnce) return { edits: [{ put: rowOfRollout(begun) }], result: begun };
    const result = ended(begun, "promoted", {
      at: seconds(),
      why: from === null ? "the channel is new" : why,
    });
    return { edits: [...this.#rowsOfEnd(result), { put: rowOfChannel(moved) }], result };
  }

  /**
   * Gives the new version another part of the requests. No configuration changes: threads read it from now on.
   * @throws {RegistryRefusal} @throws {StoreUnavailable}
   */
  async weigh(id: string, weight: number, by: Author): Promise<Rollout> {
    const changed = await this.#parts.registry.records.write(() => {
      const rollout = this.#find(id);
      if (rollout.state !== "running" || !("weight" in rollout.split))
        throw new RegistryRefusal(
          "notAllowed",
          "only a roll-out that runs, and that gives the version to a part of the requests, has a weight",
        );
      const result: Rollout = { ...rollout, split: { weight } };
      return { edits: [{ put: rowOfRollout(result) }], result };
    });
    await this.#done(changed, "update", by);
    return changed;
  }

  /** The channel moves to the new version. @throws {RegistryRefusal} @throws {StoreUnavailable} */
  promote(id: string, by: Author, why?: string): Promise<Rollout> {
    const who = by.actor === null ? "promoted by hand" : `promoted by ${by.actor}`;
    return this.#ended(id, "promoted", why ?? who, by);
  }

  /** The channel stays where it is. @throws {RegistryRefusal} @throws {StoreUnavailable} */
  rollBack(id: string, by: Author, why?: string): Promise<Rollout> {
    const who = by.actor === null ? "rolled back by hand" : `rolled back by ${by.actor}`;
    return this.#ended(id, "rolled_back", why ?? who, by);
  }

  /**
   * Without a roll-out: the channel moves back to where it pointed before. Those who follow it get that version again.
   * @returns what was rolled back, as a roll-out that has ended.
   * @throws {RegistryRefusal} @throws {StoreUnavailable}
   */
  async moveBack(line: Line, channel: string, by: Author, why?: string): Promise<Rollout> {
    const { registry } = this.#parts;
    const told = why ?? (by.actor === null ? "rolled back by hand" : `rolled back by ${by.actor}`);
    const back = await registry.records.write((): Planned<Rollout> => {
      const from = registry.desk.channel(line.workspace, line.name, channel)?.version;
      const moved = registry.desk.planMoveBack(line, channel, by.actor, told);
      const place = { workspace: line.workspace, workspaceId: line.workspaceId, name: line.name };
      const result: Rollout = {
        ...{ id: randomUUID(), ...place, channel, from: moved.version, to: from ?? moved.version },
        ...{ split: { weight: 1 }, watch: null, state: "rolled_back", by: by.actor },
        ...{ createdAt: seconds(), endedAt: seconds(), why: told, figures: null },
      };
      return { edits: [...this.#rowsOfEnd(result), { put: rowOfChannel(moved) }], result };
    });
    await this.#done(back, "update", by);
    return back;
  }

  async #ended(id: string, state: "promoted" | "rolled_back", why: string, by: Author): Promise<Rollout> {
    const rollout = this.#find(id);
    const figures = this.#watcher.seen(rollout)?.figures ?? null;
    const end = await this.#parts.registry.records.write(() => this.#planEnd(id, state, why, figures, by));
    await this.#done(end, "update", by);
    return end;
  }

  #planEnd(
    id: string,
    state: "promoted" | "rolled_back",
    why: string,
    figures: Rollout["figures"],
    by: Author,
  ): Planned<Rollout> {
    const rollout = this.#find(id);
    if (!isOpen(rollout)) throw new RegistryRefusal("conflict", `the roll-out has ended: ${rollout.why}`);
    const result = ended(rollout, state, { at: seconds(), why, figures });
    if (state === "rolled_back") return { edits: this.#rowsOfEnd(result), result };
    const excess = excessText(this.excess(rollout));
    if (excess !== "")
      throw new RegistryRefusal(
        "notAllowed",
        `${rollout.name}@${rollout.to} asks for more than was consented to (${excess}); consent to it first`,
      );
    const moved = this.#parts.registry.desk.planMove(rollout, rollout.channel, rollout.to, by.actor, why);
    return { edits: [...this.#rowsOfEnd(result), { put: rowOfChannel(moved) }], result };
  }

  /** With those that are forgotten for it. */
  #rowsOfEnd(rollout: Rollout): Edit[] {
    const others = this.list(rollout).filter(({ id }) => id !== rollout.id);
    return [
      ...forgotten(others).map((old) => ({ remove: { kind: ROLLOUT_KIND, id: rowOfRollout(old).id } })),
      { put: rowOfRollout(rollout) },
    ];
  }

  /** By the watch or by what others have done; somebody else's word may have come first. */
  async #end(
    { id }: Rollout,
    state: "promoted" | "rolled_back",
    why: string,
    figures: Rollout["figures"],
    by: Author,
  ): Promise<void> {
    const end = await this.#parts.registry.records.write((): Planned<Rollout | null> => {
      const now = this.#byId(id);
      if (now === undefined || !isOpen(now)) return { edits: [], result: null };
      return this.#planEnd(id, state, why, figures, by);
    });
    if (end !== null) await this.#done(end, "update", by);
  }

  /** What follows from what the store says by now. */
  async #settle(): Promise<void> {
    for (const rollout of this.open())
      try {
        await this.#settleOne(rollout);
      } catch (error) {
        this.#parts.log("error", "a roll-out could not be moved on", {
          ...told(rollout),
          reason: (error as Error).message,
        });
      }
  }

  async #settleOne(rollout: Rollout): Promise<void> {
    const { registry } = this.#parts;
    const end = endBy(registry, rollout);
    if (end !== null) return this.#end(rollout, end.state, end.why, null, NOBODY);
    if (rollout.state !== "waiting_consent" || this.excess(rollout).length > 0) return;
    const runs = await registry.records.write((): Planned<Rollout | null> => {
      const now = this.#byId(rollout.id);
      if (now?.state !== "waiting_consent" || this.excess(now).length > 0) return { edits: [], result: null };
      const result: Rollout = { ...now, state: "running", why: "" };
      return { edits: [{ put: rowOfRollout(result) }], result };
    });
    if (runs !== null) await this.#done(runs, "update", NOBODY);
  }

  /** A workspace is no more. @throws {StoreUnavailable} */
  forgetWorkspace(workspace: { readonly id: string; readonly name: string }): Promise<void> {
    const { registry, table } = this.#parts;
    return registry.records.write(() => ({
      edits: [...table.values()]
        .filter((one) => one.workspace === workspace.name && one.workspaceId === workspace.id)
        .map((rollout) => ({ remove: { kind: ROLLOUT_KIND, id: rowOfRollout(rollout).id } })),
      result: undefined,
    }));
  }

  /** Something was written: it is put in force, logged and told to the audit log. */
  async #done(rollout: Rollout, action: "create" | "update", by: Author): Promise<void> {
    const level = rollout.state === "rolled_back" ? "warn" : "info";
    this.#parts.log(level, MESSAGES[rollout.state], {
      ...told(rollout),
      why: rollout.why,
      figures: rollout.figures,
    });
    await this.#parts.note(
      {
        ...{ action, entity: "rollouts", id: rollout.id, name: rollout.name, workspace: rollout.workspaceId },
        after: { ...told(rollout), state: rollout.state, why: rollout.why, figures: rollout.figures },
      },
      by,
    );
    await this.#parts.deploy(rollout);
  }

  /** Looked up once for each configuration. */
  #users(rollout: Rollout): ReadonlySet<string> {
    const index = this.#parts.index();
    if (this.#usersOf !== index) this.#usersBy.clear();
    this.#usersOf = index;
    let users = this.#usersBy.get(rollout.id);
    if (users === undefined) {
      const uses = [...followersOf(index, rollout, rollout.channel)];
      users = new Set(uses.map(({ workspace }) => workspace));
      this.#usersBy.set(rollout.id, users);
    }
    return users;
  }

  #tally(rollout: Rollout): Tally {
    let tally = this.#tallies.get(rollout.id);
    if (tally === undefined) {
      tally = Tally.empty();
      tally.weight = "weight" in rollout.split ? rollout.split.weight : 0;
      this.#tallies.set(rollout.id, tally);
    }
    return tally;
  }

  #find(id: string): Rollout {
    const rollout = this.#byId(id);
    if (rollout === undefined) throw new RegistryRefusal("notFound", "there is no such roll-out");
    return rollout;
  }

  #byId(id: string): Rollout | undefined {
    for (const rollout of this.#parts.table.values()) if (rollout.id === id) return rollout;
    return undefined;
  }
}

const MESSAGES: Readonly<Record<Rollout["state"], string>> = {
  waiting_consent: "a roll-out waits until somebody consents to what its version asks for",
  running: "a roll-out runs",
  promoted: "a plugin's channel has moved to another version",
  rolled_back: "a version of a plugin is rolled back",
};

/** For log and audit. */
function told({ id, workspace, name, channel, from, to, split }: Rollout): Record<string, unknown> {
  return { rollout: id, workspace, plugin: name, channel, from, to, ...split };
}
