/** What loading passes from step to step: entities on their way from a file to a configuration. */
import type { EntityName, EntityType } from "../entities/entities.ts";
import { type ConfigError, documentError, fieldName } from "./errors.ts";
import type { Place } from "./locator.ts";
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

/** Gathers faults, each with its place. */
export class Faults {
  /** For what to write instead. */
  readonly speller = new Speller();
  readonly list: ConfigError[] = [];
  /** Whether so many were found that nobody looks for more. */
  isFull = false;
  readonly #file: string | null;
  readonly #locate: (path: Path, atKey: boolean) => Place;

  readonly #maxTold: number;

  constructor(
    file: string | null,
    locate: (path: Path, atKey: boolean) => Place,
    maxTold: number = MAX_TOLD,
  ) {
    this.#file = file;
    this.#locate = locate;
    this.#maxTold = maxTold;
  }

  /** Something wrong with the document, outside of any entity. */
  document(path: Path, message: string, hint: string | null = null, atKey = false): void {
    if (this.isFull) return;
    const place = this.#locate(path, atKey);
    this.#tell({
      file: this.#file,
      ...place,
      entity: null,
      name: null,
      workspace: null,
      field: fieldName(path),
      path,
      message,
      hint,
      found: null,
    });
  }

  entity(
    draft: Draft,
    field: Path,
    message: string,
    hint: string | null = null,
    atKey = false,
    found: string | null = null,
  ): void {
    if (this.isFull) return;
    const first = field[0];
    const shorthand = typeof first === "string" ? draft.expanded?.get(first) : undefined;
    const at = shorthand === undefined ? field : [shorthand];
    const place = this.#locate([...draft.path, ...at], atKey);
    const error: ConfigError = {
      file: this.#file,
      ...place,
      entity: draft.type.singular,
      name: draftName(draft),
      workspace: draft.scope.name,
      field: fieldName(at),
      path: [...draft.path, ...at],
      message: shorthand === undefined ? message : `${first}: ${message}`,
      hint,
      found,
    };
    subjects.set(error, draft);
    this.#tell(error);
  }

  #tell(error: ConfigError): void {
    this.list.push(error);
    if (this.list.length >= this.#maxTold) this.isFull = true;
  }

  /** Line of something, for messages that point to it. */
  line(path: Path): number {
    return this.#locate(path, false).line;
  }

  /** In the order of the document. */
  sorted(): ConfigError[] {
    const told = this.list.sort((a, b) => a.line - b.line || a.column - b.column);
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
