/**
 * Schemas are values. One value gives a plugin's (or an entity's) TypeScript type, its defaults, its
 * validation, the Admin API's `/schemas/...` output and the reference docs.
 *
 * The vocabulary and its meaning are those of Kong's schemas, so that a schema reads the same in both worlds:
 * `required`, `default`, `one_of`, `between`, `gt`, `len_min`, `match`, sets, maps, records, entity checks.
 */

declare const VALUE: unique symbol;
declare const PRESENT: unique symbol;

export type FieldType =
  | "string"
  | "integer"
  | "number"
  | "boolean"
  | "array"
  | "set"
  | "map"
  | "record"
  | "foreign"
  | "any";

/** A field of a record: its type and every rule that a value of it must keep. */
export interface Field<T = unknown, P extends boolean = boolean> {
  readonly [VALUE]?: T;
  readonly [PRESENT]?: P;
  readonly type: FieldType;
  readonly required: boolean;
  readonly default?: unknown;
  readonly description?: string;
  /** Allowed values, in the order in which an error lists them. */
  readonly oneOf?: readonly unknown[];
  readonly notOneOf?: readonly unknown[];
  /** Inclusive range of a number. */
  readonly between?: readonly [number, number];
  /** Exclusive lower bound of a number. */
  readonly gt?: number;
  /** Least and greatest length: bytes of a string, elements of an array or set, entries of a map. */
  readonly lenMin?: number;
  readonly lenMax?: number;
  /** Source of a regular expression that a string must match. */
  readonly match?: string;
  readonly startsWith?: string;
  readonly elements?: Field;
  readonly keys?: Field;
  readonly values?: Field;
  readonly fields?: Readonly<Record<string, Field>>;
  /** Rules over several fields of a record, checked once its fields are sound. */
  readonly checks?: readonly RecordCheck[];
  /** What a string may not match, each with what is wrong then. */
  readonly matchNone?: readonly { readonly pattern: string; readonly err: string }[];
  /** A string that is a UUID in its usual form, lower-case. */
  readonly uuid?: boolean;
  /** A number of seconds since the epoch; a note for whoever draws forms. */
  readonly timestamp?: boolean;
  /** Name of the entity that a foreign field points to. */
  readonly reference?: string;
  /** What deleting the entity that this points to does to the owner: default `restrict`, the deletion is refused. */
  readonly onDelete?: OnDelete;
  /** No two entities of a workspace may share the value. */
  readonly unique?: boolean;
  /** Nor may two of different workspaces. */
  readonly uniqueAcrossWs?: boolean;
  /** Whether a `{vault://...}` reference is accepted in place of the value. */
  readonly referenceable?: boolean;
  readonly encrypted?: boolean;
  /** Whether the gateway makes the value up when none is given. */
  readonly auto?: boolean;
  /** A rule that has no name in the vocabulary: returns what is wrong, or nothing. */
  readonly check?: (value: never) => string | undefined;
}

export type OnDelete = "cascade" | "restrict";

/** What a conditional check asks of one field. `eq: null` is "not set". */
export type Match =
  | { readonly eq: null }
  | { readonly required: true }
  | { readonly oneOf: readonly unknown[] }
  | { readonly notOneOf: readonly unknown[] };

/** A rule over several fields of a record. */
export type RecordCheck =
  | {
      readonly kind:
        | "at_least_one_of"
        | "only_one_of"
        | "mutually_exclusive"
        | "mutually_required"
        /** Values that are set differ from each other. */
        | "distinct";
      readonly fields: readonly string[];
    }
  | {
      /** If one field is such, then another must be such. */
      readonly kind: "conditional";
      readonly ifField: string;
      readonly ifMatch: Match;
      readonly thenField: string;
      readonly thenMatch: Match;
    }
  | {
      /** The schema of a field is chosen by the value of another. */
      readonly kind: "subschema";
      readonly key: string;
      readonly field: string;
      readonly schemas: Readonly<Record<string, Field>>;
      /** What is wrong with a value of `key` that has no schema. */
      readonly unknown: (name: string) => string;
    }
  | {
      /** Returns what is wrong by field (`@entity` for the record as a whole), or nothing. */
      readonly kind: "custom";
      readonly run: (value: Record<string, unknown>) => Record<string, string> | undefined;
    };

interface Common<T> {
  required?: boolean;
  default?: T;
  description?: string;
  unique?: boolean;
  uniqueAcrossWs?: boolean;
  referenceable?: boolean;
  encrypted?: boolean;
  auto?: boolean;
  check?: (value: T) => string | undefined;
}

interface StringOptions<T extends string = string> extends Common<T> {
  oneOf?: readonly T[];
  notOneOf?: readonly string[];
  lenMin?: number;
  lenMax?: number;
  match?: string;
  matchNone?: readonly { readonly pattern: string; readonly err: string }[];
  startsWith?: string;
  uuid?: boolean;
}

interface NumberOptions extends Common<number> {
  timestamp?: boolean;
  between?: readonly [number, number];
  gt?: number;
  oneOf?: readonly number[];
}

interface ListOptions<T> extends Common<readonly T[]> {
  lenMin?: number;
  lenMax?: number;
}

interface MapOptions<T> extends Common<Readonly<Record<string, T>>> {
  keys?: Field<string>;
  lenMin?: number;
  lenMax?: number;
}

/** Present when the field is required, has a default or is made up; otherwise it may be null. */
type PresentIn<O> = O extends { required: true } | { default: unknown } | { auto: true } ? true : false;

/** The TypeScript type of a field's value as a plugin sees it. */
export type ValueOf<F> = F extends Field<infer T, infer P> ? (P extends true ? T : T | null) : never;
export type FieldMap = Readonly<Record<string, Field>>;
/** The TypeScript type of a record of fields: what `create(config)` receives. */
export type RecordOf<M extends FieldMap> = { readonly [K in keyof M]: ValueOf<M[K]> };
/** The config type that a schema stands for. */
export type ConfigOf<S> = S extends Field<infer T> ? T : never;

function field<T, P extends boolean>(type: FieldType, options: object): Field<T, P> {
  return { required: false, ...options, type } as Field<T, P>;
}

export function string<const O extends StringOptions>(
  options: O = {} as O,
): Field<O extends { oneOf: readonly (infer V)[] } ? V : string, PresentIn<O>> {
  return field("string", options);
}

export function integer<const O extends NumberOptions>(options: O = {} as O): Field<number, PresentIn<O>> {
  return field("integer", options);
}

export function number<const O extends NumberOptions>(options: O = {} as O): Field<number, PresentIn<O>> {
  return field("number", options);
}

export function boolean<const O extends Common<boolean>>(options: O = {} as O): Field<boolean, PresentIn<O>> {
  return field("boolean", options);
}

/** A list that keeps its order and may repeat a value. */
export function array<F extends Field, const O extends ListOptions<unknown>>(
  elements: F,
  options: O = {} as O,
): Field<readonly NonNullable<ValueOf<F>>[], PresentIn<O>> {
  return field("array", { ...options, elements });
}

/** A list without repeated values. */
export function set<F extends Field, const O extends ListOptions<unknown>>(
  elements: F,
  options: O = {} as O,
): Field<readonly NonNullable<ValueOf<F>>[], PresentIn<O>> {
  return field("set", { ...options, elements });
}

/** Free names to values of one type. */
export function map<F extends Field, const O extends MapOptions<unknown>>(
  values: F,
  options: O = {} as O,
): Field<Readonly<Record<string, NonNullable<ValueOf<F>>>>, PresentIn<O>> {
  return field("map", { keys: string(), ...options, values });
}

/**
 * Fixed names to fields. As the top of a schema it is always present; inside another record give
 * `required: true` to have it filled with its fields' defaults when it is absent.
 */
export function record<M extends FieldMap, const O extends { required?: boolean; description?: string }>(
  fields: M,
  options: O & { checks?: readonly RecordCheck[] } = {} as O,
): Field<RecordOf<M>, PresentIn<O>> {
  return field("record", { ...options, fields });
}

/** A pointer to another entity, `{ id }` in JSON. */
export function foreign<const O extends Common<{ id: string }> & { onDelete?: OnDelete }>(
  reference: string,
  options: O = {} as O,
): Field<{ readonly id: string }, PresentIn<O>> {
  return field("foreign", { ...options, reference });
}

/** Any JSON value, kept as it is. */
export function any<const O extends Common<unknown>>(options: O = {} as O): Field<unknown, PresentIn<O>> {
  return field("any", options);
}
