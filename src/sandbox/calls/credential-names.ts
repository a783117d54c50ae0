/**
 * Under which names clients of a workspace send credentials: what its authentication plugins look for, in a header
 * or in the query. What goes by such a name is kept from guests whose manifest does not name it, as `Authorization`
 * is; and what a guest has not seen, it does not change.
 */

/** By lower-case name. */
export interface CredentialNames {
  readonly size: number;
  has(name: string): boolean;
  names(): Iterable<string>;
}

export const NO_CREDENTIALS: CredentialNames = { size: 0, has: () => false, names: () => [] };

class Counted implements CredentialNames {
  readonly counts = new Map<string, number>();

  get size(): number {
    return this.counts.size;
  }

  has(name: string): boolean {
    return this.counts.has(name);
  }

  names(): Iterable<string> {
    return this.counts.keys();
  }
}

/** Of all workspaces of a data thread, as their plugins come and go. */
export class WorkspaceCredentials {
  readonly #workspaces = new Map<string, Counted>();

  /** The names of a workspace: always those of the moment. */
  of(workspace: string): CredentialNames {
    return this.#counted(workspace);
  }

  /** A plugin looks for credentials under these names. Returns what takes them back. */
  add(workspace: string, names: readonly string[]): () => void {
    const { counts } = this.#counted(workspace);
    const lower = [...new Set(names.map((name) => name.toLowerCase()))];
    for (const name of lower) counts.set(name, (counts.get(name) ?? 0) + 1);
    return () => {
      for (const name of lower) {
        const left = (counts.get(name) ?? 1) - 1;
        if (left === 0) counts.delete(name);
        else counts.set(name, left);
      }
    };
  }

  #counted(workspace: string): Counted {
    let counted = this.#workspaces.get(workspace);
    if (counted === undefined) {
      counted = new Counted();
      this.#workspaces.set(workspace, counted);
    }
    return counted;
  }
}

/** Decides by lower-case name whether a query parameter is kept from the guest. */
type Conceals = (name: string) => boolean;

/** The query without the parameters that are kept from a guest. */
export function shownQuery(query: string, conceals: Conceals): string {
  return divided(query, conceals).shown.join("&");
}

/** The query that a guest wrote, with the parameters of the one before it that were kept from the guest. */
export function queryWithConcealed(written: string, before: string, conceals: Conceals): string {
  const { concealed } = divided(before, conceals);
  return written === "" ? concealed.join("&") : [written, ...concealed].join("&");
}

function divided(query: string, conceals: Conceals): { shown: string[]; concealed: string[] } {
  const shown: string[] = [];
  const concealed: string[] = [];
  if (query !== "")
    for (const field of query.split("&")) (conceals(nameOf(field)) ? concealed : shown).push(field);
  return { shown, concealed };
}

function nameOf(field: string): string {
  const equals = field.indexOf("=");
  const name = (equals < 0 ? field : field.slice(0, equals)).replaceAll("+", " ");
  try {
    return decodeURIComponent(name).toLowerCase();
  } catch {
    return name.toLowerCase();
  }
}
