/**
 * What a document says, entity by entity: each validated and related to the others, those that stay beside it in force
 * included, and the whole held against what workspaces may have.
 */
import { isObject } from "@gatehouse/sdk";
import { Policies } from "../egress/policies.ts";
import {
  DEFAULT_WORKSPACE,
  DEFAULT_WORKSPACE_ID,
  ENTITIES,
  type PluginCatalogue,
  type RouterFlavor,
} from "../entities/entities.ts";
import { entityBytes, jsonBytes } from "../entities/entity-bytes.ts";
import { isUuid } from "../entities/fields.ts";
import { coveredHostFaults, hostOwnerFaults, hostOwners } from "../entities/host-ownership.ts";
import { type InspectionContext, inspect } from "../entities/inspect.ts";
import { type Entity, relationFaults, type WorkspaceFacts, workspaceFacts } from "../entities/relations.ts";
import { reservedNameFault } from "../entities/reserved-names.ts";
import { type GivenQuotas, overQuota, quotasOf } from "../tenancy/quotas.ts";
import type { Draft, Faults, Path, Scope } from "./draft.ts";
import { tellFinding } from "./findings.ts";
import { COLLECTIONS, checkRemarks, countHeld, Gatherer, OFFERED, suggest } from "./gather.ts";
import type { Ground } from "./ground.ts";
import { checkTransformed } from "./hashed-fields.ts";
import { entityId } from "./identity.ts";
import { checkMeta, FORMAT_VERSION, META } from "./meta.ts";
import type { Previous } from "./previous.ts";
import { Directory } from "./resolve.ts";

/** What a document is judged by. */
export interface Rules {
  readonly plugins: PluginCatalogue;
  /** Setting `router_flavor`; default `traditional_compatible`. */
  readonly routerFlavor?: RouterFlavor;
  /**
   * Where workspaces may have the gateway connect to; null where nothing connects, so that nobody asks. Default: what
   * holds with the default settings.
   */
  readonly egress?: Policies | null;
  /** What the document is put upon. Without it the document is the whole configuration. */
  readonly ground?: Ground;
  /** Setting `workspace_quotas`; default: what holds without it. */
  readonly quotas?: GivenQuotas;
}

type WorkspaceScope = Scope & { readonly draft: Draft };

/** What a document says, and the entities in force that stay beside it. */
export interface Read {
  readonly drafts: readonly Draft[];
  readonly staying: readonly Draft[];
  readonly isTransformed: boolean;
}

const NOTHING: Read = { drafts: [], staying: [], isTransformed: false };

export class Loader {
  readonly #inspection: InspectionContext;
  readonly #egress: Policies | null;
  readonly #quotas: GivenQuotas;
  readonly #faults: Faults;
  readonly #previous: Previous;
  readonly #gatherer: Gatherer;
  readonly #directory: Directory;
  /** Whether passwords are in the form in which they are kept. */
  #transformed = false;
  /** Workspaces themselves are the operator's. */
  readonly #top = newScope(DEFAULT_WORKSPACE, DEFAULT_WORKSPACE_ID);
  /** Whose top-level entities are: the operator's, unless the document is for one workspace. */
  readonly #home: Scope;
  readonly #ground: Ground | null;
  /** Workspaces in force, by id and by name. */
  readonly #inForce: ReadonlyMap<string, WorkspaceFacts>;
  readonly #inForceByName: ReadonlyMap<string, WorkspaceFacts>;

  constructor(
    { plugins, routerFlavor = "traditional_compatible", egress = Policies.of(), quotas = {}, ground }: Rules,
    faults: Faults,
    previous: Previous,
  ) {
    this.#inspection = { plugins, flavor: routerFlavor, patterns: new Map() };
    this.#egress = egress;
    this.#quotas = quotas;
    this.#faults = faults;
    this.#previous = previous;
    this.#gatherer = new Gatherer(faults);
    this.#directory = new Directory(faults);
    this.#ground = ground ?? null;
    const inForce = ground?.workspaces() ?? [];
    this.#inForce = new Map(inForce.map((facts) => [facts.id, facts]));
    this.#inForceByName = new Map(inForce.map((facts) => [facts.name, facts]));
    const home = ground?.home ?? null;
    this.#home = home === null ? this.#top : newScope(home.name, home.id);
    if (home !== null) this.#directory.addWorkspace(home);
  }

  /** In steps, each a part of a millisecond unless an entity is large: who must not be long goes on later. */
  *load(top: unknown): Generator<undefined, Read> {
    if (!isObject(top)) {
      this.#faults.document([], `expected a map with _format_version: "${FORMAT_VERSION}" and entities`);
      return NOTHING;
    }
    checkMeta(top, this.#faults);
    this.#transformed = top._transform === false;
    const home = this.#ground?.home ?? null;
    const hasWorkspaces = home === null;
    // Before any work is done for them: whoever writes a document for one workspace is its tenant.
    const tooMany = home && overQuota(home.name, countHeld(top), quotasOf(home, this.#quotas));
    if (tooMany) {
      this.#faults.document([], tooMany);
      return NOTHING;
    }
    this.#collections(top, [], this.#home, [...META, ...(hasWorkspaces ? ["workspaces"] : [])]);
    const workspaces = hasWorkspaces ? this.#workspaces(top.workspaces) : [];
    const { drafts } = this.#gatherer;
    if (this.#faults.isFull) return NOTHING;
    const staying = this.#ground === null ? [] : this.#settle(this.#ground, workspaces);
    for (const draft of staying) this.#directory.add(draft);
    for (const draft of drafts) this.#directory.add(draft);
    for (const draft of drafts) {
      if (this.#faults.isFull) return NOTHING;
      yield;
      draft.kept = this.#previous.unchanged(draft, this.#directory);
      if (draft.kept === null) this.#validate(draft);
      else {
        draft.value = draft.kept;
        draft.sound = true;
      }
    }
    for (const draft of drafts) {
      if (draft.kept !== null) continue;
      yield;
      this.#directory.resolve(draft);
      draft.value.id = draft.id;
      draft.value.ws_id = draft.scope.id;
    }
    for (const draft of [...staying, ...drafts]) {
      yield;
      this.#directory.checkCacheKey(draft);
    }
    yield* this.#checkTogether(drafts, staying);
    this.#checkQuotas(workspaces, [...staying, ...drafts]);
    return {
      drafts: [...workspaces.map(({ draft }) => draft), ...drafts],
      staying,
      isTransformed: this.#transformed,
    };
  }

  /** The entities in force that stay beside those of the document. */
  #settle(ground: Ground, workspaces: readonly WorkspaceScope[]): Draft[] {
    const { drafts } = this.#gatherer;
    const scopes = new Map([this.#home, ...workspaces].map((scope) => [scope.id, scope]));
    const { staying, stuck } = ground.settle(drafts, [...scopes.values()], (draft) => {
      const { value, findings } = inspect(draft.type, draft.input, draft.scope.name, this.#inspection);
      return findings.length === 0 ? value : null;
    });
    for (const message of stuck) this.#faults.document([], message);
    for (const facts of this.#inForce.values())
      if (!scopes.has(facts.id)) {
        scopes.set(facts.id, newScope(facts.name, facts.id));
        this.#directory.addWorkspace(facts);
      }
    return staying.flatMap(({ type, entity }): Draft[] => {
      const scope = scopes.get(entity.ws_id);
      if (scope === undefined) return [];
      const common = { path: [], expanded: null, references: {}, parents: {}, stays: true } as const;
      return [
        { type, scope, input: entity, id: entity.id, value: entity, sound: true, kept: entity, ...common },
      ];
    });
  }

  /** The collections of the document or of a workspace, and whatever else is written there. */
  #collections(node: Record<string, unknown>, path: Path, scope: Scope, others: readonly string[]): void {
    for (const key of Object.keys(node)) {
      const name = COLLECTIONS.find((each) => each === key);
      if (name) this.#gatherer.collection(ENTITIES[name], node[key], [...path, key], scope, null);
      else if (!others.includes(key))
        this.#faults.document(
          [...path, key],
          "unknown field",
          suggest(key, [...OFFERED, ...others], this.#faults.speller),
          true,
        );
    }
  }

  #workspaces(list: unknown): WorkspaceScope[] {
    if (list === undefined || list === null) return [];
    if (!Array.isArray(list)) {
      this.#faults.document(["workspaces"], "expected an array");
      return [];
    }
    const scopes: WorkspaceScope[] = [];
    list.forEach((node, i) => {
      const path = ["workspaces", i];
      if (!isObject(node)) this.#faults.document(path, "expected a record");
      else scopes.push(this.#workspace(node, path));
    });
    const facts = new Map(
      scopes.map((scope) => [
        scope,
        workspaceFacts({ ...soundOf(scope.draft), id: scope.id, name: scope.name }),
      ]),
    );
    const named = new Set(scopes.map(({ id }) => id));
    const beside = [...this.#inForce.values()].filter(({ id }) => !named.has(id));
    const before = hostOwners(beside);
    const owners = hostOwners([...beside, ...facts.values()]);
    for (const [scope, own] of facts) {
      for (const { path, message, hint } of [
        ...hostOwnerFaults(own, owners),
        ...coveredHostFaults(own, before),
      ])
        this.#faults.entity(scope.draft, path, message, hint);
      if (scope.draft.sound) this.#directory.addWorkspace(own);
    }
    return scopes;
  }

  #workspace(node: Record<string, unknown>, path: Path): WorkspaceScope {
    const type = ENTITIES.workspaces;
    const input: Record<string, unknown> = {};
    const entities: Record<string, unknown> = {};
    for (const key of Object.keys(node)) {
      if ((COLLECTIONS as readonly string[]).includes(key)) entities[key] = node[key];
      else if (key !== "_comment" && key !== "_ignore") input[key] = node[key];
    }
    checkRemarks(node, path, this.#faults);
    const name = typeof input.name === "string" ? input.name : "";
    const own = typeof input.id === "string" && isUuid(input.id) ? input.id : null;
    const inForce = this.#inForceByName.get(name) ?? this.#inForce.get(own ?? "");
    const id = inForce?.id ?? own ?? entityId(type.name, name);
    const common = { expanded: null, references: {}, parents: {}, id, value: {}, sound: false, kept: null };
    const draft: Draft = { type, scope: this.#top, path, input, ...common };
    this.#validate(draft);
    draft.value.id = id;
    draft.value.ws_id = id;
    if (inForce !== undefined && inForce.name !== name)
      this.#faults.entity(draft, ["name"], "the name of a workspace cannot be changed");
    if (inForce !== undefined && own !== null && inForce.id !== own)
      this.#faults.entity(draft, ["id"], `value must be ${inForce.id}: ids do not change`);
    if (name === DEFAULT_WORKSPACE || id === DEFAULT_WORKSPACE_ID)
      this.#faults.entity(
        draft,
        [name === DEFAULT_WORKSPACE ? "name" : "id"],
        `uniqueness violation: 'workspaces' entity with name set to '${DEFAULT_WORKSPACE}' already declared`,
        "entities of the default workspace stand at the top level",
      );
    else this.#directory.add(draft);
    const reserved = inForce === undefined ? reservedNameFault(name) : null;
    if (reserved !== null) this.#faults.entity(draft, ["name"], reserved);
    const scope = newScope(name, id);
    this.#collections(entities, path, scope, []);
    return { ...scope, draft };
  }

  #validate(draft: Draft): void {
    const { type, input, references, parents, scope } = draft;
    const candidate = { ...input };
    for (const field of Object.keys(references)) candidate[field] = { id: "" };
    for (const field of Object.keys(parents)) candidate[field] = { id: "" };
    const { value, findings } = inspect(type, candidate, scope.name, this.#inspection);
    draft.value = value;
    draft.sound = findings.length === 0;
    for (const finding of findings) {
      // One entity may have a million.
      if (this.#faults.isFull) break;
      tellFinding(draft, finding, this.#inspection.plugins, this.#faults);
    }
    if (draft.sound && this.#transformed) checkTransformed(draft, this.#faults);
  }

  #checkQuotas(workspaces: readonly WorkspaceScope[], drafts: readonly Draft[]): void {
    const held = new Map(workspaces.map(({ id }) => [id, { entities: 0, routes: 0, bytes: 0 }]));
    // One that the document is put upon is not in it.
    const { id: homeId, name: homeName } = this.#home;
    const home = held.has(homeId) ? undefined : this.#inForce.get(homeId);
    const own = { entities: 0, routes: 0, bytes: 0 };
    if (home !== undefined) held.set(homeId, own);
    for (const { scope, type, value, kept } of drafts) {
      const count = held.get(scope.id);
      if (count === undefined) continue;
      count.entities++;
      if (type.name === "routes") count.routes++;
      count.bytes += kept === null ? jsonBytes(value) : entityBytes(kept);
    }
    if (home !== undefined) {
      const message = overQuota(homeName, own, quotasOf(home, this.#quotas));
      if (message !== null) this.#faults.document([], message);
    }
    for (const { id, name, draft } of workspaces) {
      const { quotas } = draft.value;
      const count = held.get(id);
      const message =
        count === undefined || !draft.sound
          ? null
          : overQuota(name, count, quotasOf({ name, quotas }, this.#quotas));
      if (message !== null) this.#faults.entity(draft, [], message);
    }
  }

  /** @param drafts those that are not workspaces */
  *#checkTogether(drafts: readonly Draft[], staying: readonly Draft[]): Generator<undefined, void> {
    for (const draft of [...staying, ...drafts]) this.#directory.link(draft);
    // What is asked of workspaces may have changed for what stays in them, and what services list may be gone.
    const moved = new Set(drafts.map(({ scope }) => scope));
    const asked = staying.filter(({ type, scope }) => moved.has(scope) && type.name !== "plugins");
    for (const draft of [...asked, ...drafts]) {
      if (!draft.sound) continue;
      yield;
      const faults = relationFaults(draft.type, draft.value as Entity, this.#directory, this.#egress);
      for (const { path, message, hint } of faults) this.#faults.entity(draft, path, message, hint);
    }
  }
}

const newScope = (name: string, id: string): Scope => ({ name, id, byKey: new Map() });

/** Fields of a workspace; of one that is not sound nothing counts but where it may have the gateway connect to. */
const soundOf = ({ sound, value }: Draft) => (sound ? value : { egress: value.egress });
