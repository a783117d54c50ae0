/** The policies of all workspaces. Never changed, replaced whole with the configuration. */
import type { Workspace } from "../entities/entities.ts";
import { DEFAULT_WORKSPACE, DEFAULT_WORKSPACE_ID } from "../entities/workspaces.ts";
import { Networks } from "./networks.ts";
import { OwnListeners } from "./own-listeners.ts";
import { type EgressLists, EgressPolicy, NO_LISTS, type Purpose } from "./policy.ts";

/** What of the settings is read here. */
export interface EgressSettings {
  readonly egressAllow: readonly string[];
  readonly egressDeny: readonly string[];
  readonly egressGuestAllow: readonly string[];
}

/** What of a change of the configuration is read here. */
interface WorkspacesChange {
  readonly put: { readonly workspaces: readonly Workspace[] };
  readonly removed: { readonly workspaces: readonly string[] };
}

/** The lists as a workspace's entity has them. */
export type WorkspaceEgress = Workspace["egress"];

interface Entry {
  readonly name: string;
  readonly egress: WorkspaceEgress;
  /** Made when they are asked for first. */
  readonly policies: Map<Purpose, EgressPolicy>;
}

const NO_SETTINGS: EgressSettings = { egressAllow: [], egressDeny: [], egressGuestAllow: [] };

/** Policies of workspaces that no configuration has. */
const MAX_STRANGERS = 1000;

export class Policies {
  readonly #lists: EgressLists;
  readonly #own: OwnListeners;
  readonly #byId: ReadonlyMap<string, Entry>;
  readonly #idOf: ReadonlyMap<string, string>;
  /** Of workspaces that are in no configuration yet. */
  readonly #strangers = new Map<string, EgressPolicy>();

  private constructor(lists: EgressLists, own: OwnListeners, byId: ReadonlyMap<string, Entry>) {
    this.#lists = lists;
    this.#own = own;
    this.#byId = byId;
    this.#idOf = new Map([...byId].map(([id, { name }]) => [name, id]));
  }

  /** Those that hold before there is a configuration. */
  static of(settings: EgressSettings = NO_SETTINGS, own = new OwnListeners([])): Policies {
    const lists = {
      allow: new Networks(settings.egressAllow),
      deny: new Networks(settings.egressDeny),
      guestAllow: new Networks(settings.egressGuestAllow),
    };
    const home: Entry = { name: DEFAULT_WORKSPACE, egress: null, policies: new Map() };
    return new Policies(lists, own, new Map([[DEFAULT_WORKSPACE_ID, home]]));
  }

  next({ put, removed }: WorkspacesChange): Policies {
    if (put.workspaces.length === 0 && removed.workspaces.length === 0) return this;
    const byId = new Map(this.#byId);
    for (const id of removed.workspaces) byId.delete(id);
    for (const { id, name, egress } of put.workspaces) byId.set(id, { name, egress, policies: new Map() });
    return new Policies(this.#lists, this.#own, byId);
  }

  /** Of a workspace by id. The same object as long as nothing about the workspace changes. */
  of(workspaceId: string, purpose: Purpose): EgressPolicy {
    const entry = this.#byId.get(workspaceId);
    if (entry === undefined) return this.unknown(workspaceId, null, purpose);
    let policy = entry.policies.get(purpose);
    if (policy === undefined) {
      policy = this.#make(entry.name, entry.egress, purpose);
      entry.policies.set(purpose, policy);
    }
    return policy;
  }

  /** Of a workspace by name. */
  named(workspace: string, purpose: Purpose): EgressPolicy {
    const id = this.#idOf.get(workspace);
    return id === undefined ? this.unknown(workspace, null, purpose) : this.of(id, purpose);
  }

  /** Of a workspace that is not in the configuration, or not yet. */
  unknown(workspace: string, egress: WorkspaceEgress, purpose: Purpose): EgressPolicy {
    if (egress !== null) return this.#make(workspace, egress, purpose);
    let policy = this.#strangers.get(`${purpose} ${workspace}`);
    if (policy === undefined) {
      if (this.#strangers.size >= MAX_STRANGERS) this.#strangers.clear();
      policy = this.#make(workspace, null, purpose);
      this.#strangers.set(`${purpose} ${workspace}`, policy);
    }
    return policy;
  }

  #make(workspace: string, egress: WorkspaceEgress, purpose: Purpose): EgressPolicy {
    return new EgressPolicy({
      workspace,
      purpose,
      free: workspace === DEFAULT_WORKSPACE && purpose === "configuration",
      own: this.#own,
      workspaceLists: egress === null ? NO_LISTS : compile(egress),
      lists: this.#lists,
    });
  }
}

function compile(egress: NonNullable<WorkspaceEgress>): EgressLists {
  return {
    allow: new Networks(egress.allow),
    deny: new Networks(egress.deny),
    guestAllow: new Networks(egress.guest_allow),
  };
}
