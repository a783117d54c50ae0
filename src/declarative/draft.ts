/** What loading passes from step to step: entities on their way from a file to a configuration. */
import type { EntityName, EntityType } from "../entities/entities.ts";
import { type ConfigError, documentError, fieldName } from "./errors.ts";
import type { Asked, Place } from "./locator.ts";
import { Speller } from "./nearest.ts";

export type Path = readonly (string | number)[];

/** A workspace while its entities are gathered. */
export interface Scope {
  readonly name: string;
  readonly id: string;
  /** Entities by endpoint key: references look here, so they never leave the workspace. */
  readonly byKey: Map<EntityName, Map<string, Draft>>;
}

/** An entity as it was found, and later as it is kept. */
export interface Draft {
  readonly type: EntityType;
  readonly scope: Scope;
  /** From the top of the document. */
  readonly path: Path;
  /** Own fields only: shorthands expanded, references taken out, nested entities gathered apart. */
  readonly input: Record<string, unknown>;
  /** Fields of the input that a shorthand stands for: errors in them point at the shorthand. */
  readonly expanded: ReadonlyMap<string, string> | null;
  /** Foreign fields as text, to be resolved. */
  readonly references: Readonly<Record<string, string>>;
  /** The entity that it is nested in, by foreign field. */
  readonly parents: Readonly<Record<string, Draft>>;
  /** Its own, a derived one, or that of the entity in force that it stands for. */
  id: string;
  /** With defaults; complete once `sound`. */
  value: Record<string, unknown>;
  sound: boolean;
  /** The entity in force that says the same; null if there is none, or if nobody has looked yet. */
  kept: Record<string, unknown> | null;
  /** It is in force, stays, and is not in the document. */
  readonly stays?: true;
}

const subjects = new WeakMap<ConfigError, Draft>();

/** The entity that a fault is about; undefined for one of the document itself. */
export const subjectOf = (error: ConfigError): Draft | undefined => subjects.get(error);

/** Faults that are told of one document: whoever mends so many runs it again, and a hostile one has a million. */
const MAX_TOLD = 1000;

/** A fault whose place in the text nobody has looked up. */
interface Told {
  readonly error: Omit<ConfigError, "file" | "line" | "column">;
  readonly draft: Draft | null;
  readonly at: Asked;
  /** What is on the line that the hint ends with. */
  readonly first: Asked | null;
}

/** Gathers faults. Their places are looked up together at the end, which may be done in another thread. */
export class Faults {
  /** For what to write instead. */
  readonly speller = new Speller();
  /** Whether so many were found that nobody looks for more. */
  isFull = false;
  readonly #told: Told[] = [];
  readonly #file: string | null;
  readonly #maxTold: number;

  constructor(file: string | null, maxTold: number = MAX_TOLD) {
    this.#file = file;
    this.#maxTold = maxTold;
  }

  get isEmpty(): boolean {
    return this.#told.length === 0;
  }

  /** Something wrong with the document, outside of any entity. */
  document(path: Path, message: string, hint: string | null = null, atKey = false): void {
    if (this.isFull) return;
    const nothing = { entity: null, name: null, workspace: null, found: null };
    const error = { ...nothing, field: fieldName(path), path, message, hint };
    this.#tell({ error, draft: null, at: { path, atKey }, first: null });
  }

  /**
   * Something wrong with an entity.
   * @param first leads to what is on the line whose number ends the hint.
   */
  entity(
    draft: Draft,
    field: Path,
    message: string,
    hint: string | null = null,
    atKey = false,
    found: string | null = null,
    first: Path | null = null,
  ): void {
    if (this.isFull) return;
    const own = field[0];
    const shorthand = typeof own === "string" ? draft.expanded?.get(own) : undefined;
    const at = shorthand === undefined ? field : [shorthand];
    const path = [...draft.path, ...at];
    const error = {
      entity: draft.type.singular,
      name: draftName(draft),
      workspace: draft.scope.name,
      field: fieldName(at),
      path,
      message: shorthand === undefined ? message : `${own}: ${message}`,
      hint,
      found,
    };
    this.#tell({ error, draft, at: { path, atKey }, first: first && { path: first, atKey: false } });
  }

  #tell(told: Told): void {
    this.#told.push(told);
    if (this.#told.length >= this.#maxTold) this.isFull = true;
  }

  /** The places that `placed` is to be given. */
  asked(): Asked[] {
    return this.#told.flatMap(({ at, first }) => (first === null ? [at] : [at, first]));
  }

  /** In the order of the document. */
  placed(places: readonly Place[]): ConfigError[] {
    const next = places.values();
    const nowhere = { line: 1, column: 1 };
    const told = this.#told.map(({ error, draft, first }): ConfigError => {
      const { line, column } = next.next().value ?? nowhere;
      const hint = first === null ? error.hint : `${error.hint}${(next.next().value ?? nowhere).line}`;
      const placed = { file: this.#file, line, column, ...error, hint };
      if (draft !== null) subjects.set(placed, draft);
      return placed;
    });
    told.sort((a, b) => a.line - b.line || a.column - b.column);
    const last = told.at(-1);
    if (!this.isFull || last === undefined) return told;
    const message = `${this.#maxTold} faults were found, and nothing was looked at after that: mend them, and see what is left`;
    return [...told, documentError(this.#file, { line: last.line, column: last.column, message })];
  }
}

/** What people call it: its name, or the plugin's name, or its explicit id. Never a secret such as a key. */
function draftName({ type, input }: Draft): string | null {
  for (const key of [type.endpointKey, "name", "custom_id", "id"]) {
    if (type.quietFields.includes(key)) continue;
    const value = input[key];
    if (typeof value === "string" && value !== "") return value;
  }
  return null;
}
