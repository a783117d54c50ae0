/**
 * The edits that both transformers are configured with: remove, rename, replace, add and append, in that
 * order, over header fields, query fields or JSON members.
 */
import { array, type Field, type Headers, string } from "@gatehouse/sdk";

/** What can be edited by name: a query, a form, the members of a JSON object. */
export interface Editable<T> {
  has(name: string): boolean;
  remove(name: string): void;
  /** Does nothing if `from` is not there. */
  rename(from: string, to: string): void;
  /** One value in place of all. */
  set(name: string, value: T): void;
  /** One more value. */
  append(name: string, value: T): void;
}

/** Edits of one place as they are configured. */
export type ConfiguredEdits = Readonly<
  Record<"remove" | "rename" | "replace" | "add" | "append", readonly string[]>
>;

/** Edits with their values prepared. */
export interface Edits<V> {
  readonly remove: readonly string[];
  readonly rename: readonly (readonly [from: string, to: string])[];
  readonly replace: readonly (readonly [name: string, value: V])[];
  readonly add: readonly (readonly [name: string, value: V])[];
  readonly append: readonly (readonly [name: string, value: V])[];
}

type AnyEdits = Readonly<Record<keyof ConfiguredEdits, readonly unknown[]>>;

function isIdle({ remove, rename, replace, add, append }: AnyEdits): boolean {
  return remove.length + rename.length + replace.length + add.length + append.length === 0;
}

/** Prepares configured edits; undefined if there are none. `index` is the value's place in its list. */
export function edits<V>(
  config: ConfiguredEdits,
  parse: (value: string, kind: "replace" | "add" | "append", index: number) => V,
): Edits<V> | undefined {
  const list = (kind: "replace" | "add" | "append") =>
    config[kind].map((text, i) => {
      const [name, value] = pair(text);
      return [name, parse(value, kind, i)] as const;
    });
  const prepared = {
    remove: config.remove,
    rename: config.rename.map(pair),
    replace: list("replace"),
    add: list("add"),
    append: list("append"),
  };
  return isIdle(prepared) ? undefined : prepared;
}

export function applyEdits<V, T, C>(
  edits: Edits<V>,
  target: Editable<T>,
  give: (value: V, context: C) => T,
  context: C,
): void {
  for (const name of edits.remove) target.remove(name);
  for (const [from, to] of edits.rename) target.rename(from, to);
  for (const [name, value] of edits.replace) if (target.has(name)) target.set(name, give(value, context));
  for (const [name, value] of edits.add) if (!target.has(name)) target.set(name, give(value, context));
  for (const [name, value] of edits.append) target.append(name, give(value, context));
}

/** Splits `name:value` at the first colon. */
export function pair(text: string): [name: string, value: string] {
  const colon = text.indexOf(":");
  return colon < 0 ? [text, ""] : [text.slice(0, colon).trim(), text.slice(colon + 1)];
}

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
/** What a header value may hold: no CR, LF or NUL, through which a second header could slip in. */
const FIELD_VALUE = /^[^\x00-\x08\x0a-\x1f\x7f]*$/;
/** The gateway frames messages and hops itself; a plugin that did could smuggle a second request. */
const FRAMING = [
  "connection",
  "content-length",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

function nameProblem(name: string): string | undefined {
  if (!TOKEN.test(name)) return `'${name}' is not a valid header`;
  if (FRAMING.includes(name.toLowerCase())) return `'${name}' is set by the gateway and cannot be edited`;
}

interface ListOptions {
  description: string;
  /** What is wrong with a value, beside the rules of its place. */
  value?: (value: string) => string | undefined;
}

/** A list of names. */
export function names(description: string): Field<readonly string[], true> {
  return array(string(), { default: [], description });
}

/** A list of `name:value`. */
export function pairs({ description, value: check }: ListOptions): Field<readonly string[], true> {
  return array(
    string({
      check(text) {
        const [name, value] = pair(text);
        if (name === "" || value === "") return `key '${name}' has no value`;
        return check?.(value);
      },
    }),
    { default: [], description },
  );
}

export function headerNames(description: string): Field<readonly string[], true> {
  return array(string({ check: nameProblem }), { default: [], description });
}

/** A list of `name:value` for header fields. */
export function headerPairs({ description, value: check }: ListOptions): Field<readonly string[], true> {
  return array(
    string({
      check(text) {
        const [name, value] = pair(text);
        if (value === "") return `key '${name}' has no value`;
        if (!FIELD_VALUE.test(value)) return `the value of '${name}' may hold no control characters`;
        return nameProblem(name) ?? check?.(value.trim());
      },
    }),
    { default: [], description },
  );
}

/** A list of `old:new` for header fields. */
export function headerRenames(description: string): Field<readonly string[], true> {
  return headerPairs({ description, value: nameProblem });
}

/** A header field to write: its spelling, the name to look up, and the value. */
interface HeaderEdit<V> {
  readonly name: string;
  readonly lower: string;
  readonly value: V;
}

/** Edits of header fields; what never changes about them is worked out once. */
export interface HeaderEdits<V> {
  readonly remove: readonly string[];
  readonly rename: readonly { readonly from: string; readonly to: string }[];
  readonly replace: readonly HeaderEdit<V>[];
  readonly add: readonly HeaderEdit<V>[];
  readonly append: readonly HeaderEdit<V>[];
}

/** Prepares configured edits; undefined if there are none. */
export function headerEdits<V>(
  config: ConfiguredEdits,
  parse: (value: string) => V,
): HeaderEdits<V> | undefined {
  const list = (texts: readonly string[]) =>
    texts.map((text) => {
      const [name, value] = pair(text);
      return { name, lower: name.toLowerCase(), value: parse(value.trim()) };
    });
  const edits = {
    remove: config.remove.map((name) => name.toLowerCase()),
    rename: config.rename.map((text) => {
      const [from, to] = pair(text);
      return { from: from.toLowerCase(), to: to.trim() };
    }),
    replace: list(config.replace),
    add: list(config.add),
    append: list(config.append),
  };
  return isIdle(edits) ? undefined : edits;
}

/** Hot: runs for every request or response that a transformer applies to. */
export function editHeaders<V, C>(
  edits: HeaderEdits<V>,
  headers: Headers,
  give: (value: V, context: C) => string,
  context: C,
): void {
  for (const name of edits.remove) headers.remove(name);
  for (const { from, to } of edits.rename) renameHeader(headers, from, to);
  for (const edit of edits.replace)
    if (headers.has(edit.lower)) headers.set(edit.name, give(edit.value, context));
  for (const edit of edits.add)
    if (!headers.has(edit.lower)) headers.set(edit.name, give(edit.value, context));
  for (const edit of edits.append) headers.add(edit.name, give(edit.value, context));
}

function renameHeader(headers: Headers, from: string, to: string): void {
  const first = headers.get(from);
  if (first === undefined) return;
  const values = headers.getAll(from);
  headers.remove(from);
  headers.set(to, first);
  for (let i = 1; i < values.length; i++) headers.add(to, values[i] as string);
}
