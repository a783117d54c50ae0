/** What the control plane can be asked to write, and what comes of it. */
import type { EntityName } from "../entities/entities.ts";
import type { EntityEdits } from "../entities/entity-index.ts";
import type { Entity } from "../entities/relations.ts";
import type { Input } from "./input.ts";

/** Who asks for a change. */
export interface Author {
  /** Null where nobody has to say who they are. */
  readonly actor: string | null;
  /** Id of the token that said who they are. */
  readonly token?: string;
  /** Address that the request came from. */
  readonly from?: string;
}

/** The entity that another is asked for under: `/services/{parent}/routes`. */
export interface Parent {
  readonly kind: EntityName;
  /** Id or endpoint key. */
  readonly key: string;
  /** The child's field that points to it. */
  readonly field: string;
}

interface Addressed {
  readonly kind: EntityName;
  /** Id of the workspace in which all of it happens. */
  readonly workspace: string;
  readonly parent?: Parent;
}

export type Write =
  | (Addressed & { readonly verb: "create"; readonly input: Input })
  /** Creates it, or replaces all of it. `key` is an id or an endpoint key. */
  | (Addressed & { readonly verb: "put"; readonly key: string; readonly input: Input })
  | (Addressed & { readonly verb: "patch"; readonly key: string; readonly input: Input })
  /** `cascade`: of a workspace, with everything that it holds. */
  | (Addressed & { readonly verb: "remove"; readonly key: string; readonly cascade?: boolean });

/** A write that nothing speaks against. */
export interface Judged {
  readonly edits: EntityEdits;
  /** As it will be; null where it is removed, or was not there. */
  readonly entity: Entity | null;
  /** As it was; null where it was not there. */
  readonly old: Entity | null;
}
