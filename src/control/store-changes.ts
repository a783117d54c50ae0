/** What a store holds, as a change of what is in force: all of it at a start, what others have written since later on. */
import { emptyConfig } from "../declarative/empty-config.ts";
import { equalJson } from "../declarative/identity.ts";
import { DEFAULT_WORKSPACE, DEFAULT_WORKSPACE_ID, ENTITY_NAMES } from "../entities/entities.ts";
import type { EntityEdits } from "../entities/entity-index.ts";
import type { InspectionContext } from "../entities/inspect.ts";
import type { Entity } from "../entities/relations.ts";
import type { Edit, StoredState } from "../stores/store.ts";
import type { Beside } from "./beside.ts";
import { checkTogether, isKind, readRows } from "./rows.ts";
import { nextState, type State } from "./state.ts";

export interface StoreChange {
  readonly edits: EntityEdits;
  /** The state after them. */
  readonly next: State;
}

/** Rows that are no entities go to what is kept beside. */
export class StoreChanges {
  readonly #beside: Beside;
  readonly #context: InspectionContext;

  constructor(beside: Beside, context: InspectionContext) {
    this.#beside = beside;
    this.#context = context;
  }

  /** From what is in force to all that a store holds. @throws {UnsoundRow} */
  all(state: State, { revision, rows }: StoredState): StoreChange {
    // The default workspace is there before anything is written.
    const nameOf = (id: string) => (id === DEFAULT_WORKSPACE_ID ? DEFAULT_WORKSPACE : undefined);
    const isBeside = ({ kind }: { readonly kind: string }) => kind === this.#beside.kind;
    this.#beside.replace(rows.filter(isBeside));
    const entities = rows.filter((row) => !isBeside(row));
    const all = readRows(entities, nameOf, this.#context);
    if (!all.some(({ entity: { id } }) => id === DEFAULT_WORKSPACE_ID)) {
      const home = state.index.find("workspaces", DEFAULT_WORKSPACE_ID) ?? emptyConfig().workspaces[0];
      all.unshift({ kind: "workspaces", entity: home as unknown as Entity });
    }
    const there = new Set(all.map(({ kind, entity: { id } }) => `${kind} ${id}`));
    const removed = ENTITY_NAMES.flatMap((kind) =>
      [...state.index.all(kind)].flatMap(({ id }) => (there.has(`${kind} ${id}`) ? [] : [{ kind, id }])),
    );
    return changeBy(state, { put: all, removed }, revision);
  }

  /** What others have written. @throws {UnsoundRow} */
  since(state: State, revision: number, changes: readonly Edit[]): StoreChange {
    const { index } = state;
    // A token that somebody has revoked is good for nothing, whatever becomes of the entities.
    this.#beside.apply(changes);
    const rows = changes.flatMap((edit) =>
      "put" in edit && edit.put.kind !== this.#beside.kind ? [edit.put] : [],
    );
    const removed = changes.flatMap((edit) =>
      "remove" in edit && isKind(edit.remove.kind) ? [{ kind: edit.remove.kind, id: edit.remove.id }] : [],
    );
    const put = readRows(rows, (id) => index.workspace(id)?.name, this.#context);
    return changeBy(state, { put, removed }, revision);
  }
}

function changeBy(state: State, { put, removed }: EntityEdits, revision: number): StoreChange {
  const changed = put.filter(({ kind, entity }) => !equalJson(entity, state.index.find(kind, entity.id)));
  const edits = { put: changed, removed };
  const next = nextState(state, edits, revision);
  checkTogether(edits, next.index);
  return { edits, next };
}
