/**
 * Files of Kong and of decK, whatever their version, on their way to a document of format 3.0: what they say in ways of
 * their own is said in ours where that can be done, and everything that cannot is told with its place in the file.
 */
import { isObject } from "@gatehouse/sdk";
import { stringify } from "yaml";
import { judgeDocument } from "../declarative/declarative.ts";
import { readDocument } from "../declarative/document.ts";
import type { ConfigError } from "../declarative/errors.ts";
import type { Asked, Place } from "../declarative/locator.ts";
import { ENTITY_NAMES, type PluginCatalogue, type RouterFlavor } from "../entities/entities.ts";
import { withEnvironment } from "./environment.ts";
import { rewrite } from "./rewrite.ts";

export interface Remark extends Place {
  /** `left out`: the new document does without it. `changed`: it says the same in another way. */
  readonly kind: "left out" | "changed";
  /** `plugin 'x'`, or null for the document itself. */
  readonly entity: string | null;
  readonly field: string;
  readonly message: string;
  readonly hint: string | null;
}

export interface KongImport {
  /** In the order of the file. */
  readonly remarks: readonly Remark[];
  /** By collection, how many entities map. */
  readonly mapped: Readonly<Record<string, number>>;
  /** What maps, as YAML. */
  readonly text: string;
}

export interface ImportOptions {
  readonly plugins: PluginCatalogue;
  readonly routerFlavor: RouterFlavor;
  /** Where `${{ env "DECK_X" }}` is looked up. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

type Tree = Record<string, unknown>;
type Path = readonly (string | number)[];

/** Removing a fault may uncover another: a route whose service is left out. */
const MAX_ROUNDS = 32;

/** @returns null and what is wrong if the text cannot be read at all. */
export function importKong(
  text: string,
  options: ImportOptions,
): { readonly imported: KongImport } | { readonly unreadable: readonly (Place & { message: string })[] } {
  const remarks: Remark[] = [];
  const filled = withEnvironment(text, options.environment, remarks);
  const document = readDocument(filled);
  if (!document.ok) return { unreadable: document.faults };
  if (!isObject(document.value))
    return { unreadable: [{ line: 1, column: 1, message: "this is no map of entities" }] };
  const origins = new Map<object, Path>();
  noteOrigins(document.value, [], origins);
  const top = rewrite(document.value, origins, (path, remark, atKey = false) =>
    remarks.push({ ...document.locate({ path, atKey }), ...remark }),
  );
  const mapped = keepSound(
    top,
    options,
    ({ path, atKey }) => {
      const { origin, rest } = originOf(top, path, origins);
      return document.locate({ path: [...origin, ...rest], atKey });
    },
    remarks,
  );
  remarks.sort((a, b) => a.line - b.line || a.column - b.column);
  return {
    imported: {
      remarks,
      mapped,
      text: stringify(top, { aliasDuplicateObjects: false, lineWidth: 0 }),
    },
  };
}

/** Where each map of the file stands in it, so that it is found again wherever it is moved to. */
function noteOrigins(value: unknown, path: Path, origins: Map<object, Path>): void {
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) noteOrigins(item, [...path, i], origins);
    return;
  }
  if (!isObject(value) || origins.has(value)) return;
  origins.set(value, path);
  for (const [key, child] of Object.entries(value)) noteOrigins(child, [...path, key], origins);
}

/** The nearest thing on the way that the file has, and what is left of the way. */
function originOf(top: Tree, path: Path, origins: ReadonlyMap<object, Path>): { origin: Path; rest: Path } {
  let at: unknown = top;
  let found: { origin: Path; rest: Path } = { origin: [], rest: path };
  for (const [i, step] of path.entries()) {
    at = (at as Record<string | number, unknown> | undefined)?.[step];
    const origin = typeof at === "object" && at !== null ? origins.get(at) : undefined;
    if (origin !== undefined) found = { origin, rest: path.slice(i + 1) };
  }
  return found;
}

/** Takes away what is not sound, until the rest is. */
function keepSound(
  top: Tree,
  { plugins, routerFlavor }: ImportOptions,
  locate: (asked: Asked) => Place,
  remarks: Remark[],
): Record<string, number> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const judged = judgeDocument(top, {
      plugins,
      routerFlavor,
      egress: null,
      maxTold: Number.POSITIVE_INFINITY,
    });
    if (judged.ok) {
      const mapped: Record<string, number> = {};
      for (const { type } of judged.drafts) mapped[type.name] = (mapped[type.name] ?? 0) + 1;
      return mapped;
    }
    const gone = new Set<string>();
    const { faults } = judged;
    for (const error of faults.placed(faults.asked().map(locate))) {
      const path = removable(top, error);
      remarks.push(remarkOf(error, path));
      gone.add(JSON.stringify(path));
    }
    remove(
      top,
      [...gone].map((path) => JSON.parse(path) as Path),
    );
  }
  return {};
}

/** @param removed what is left out for it: a field, or the entity that it is wrong in. */
function remarkOf(error: ConfigError, removed: Path): Remark {
  const { line, column, entity, name, field, message, hint } = error;
  const what = entity === null ? null : name === null ? entity : `${entity} '${name}'`;
  const isWhole = entity !== null && removed.length < error.path.length;
  // Whoever reads of a field may not think of what goes with it, nor of what is open without a plugin.
  const loss = !isWhole
    ? null
    : entity === "plugin"
      ? "requests go on without this plugin"
      : `all of this ${entity} is left out, with what belongs to it`;
  const hints = [hint, loss].filter((one) => one !== null);
  return { line, column, kind: "left out", entity: what, field, message, hint: hints.join("; ") || null };
}

/** A field that nobody knows goes alone; of anything else the entity goes that it is wrong in. */
function removable(top: Tree, { path, message }: ConfigError): Path {
  if (message === "unknown field" || path.length <= 1) return path;
  const collections: readonly string[] = ENTITY_NAMES;
  let end = 0;
  let at: unknown = top;
  for (const [i, step] of path.entries()) {
    at = (at as Record<string | number, unknown> | undefined)?.[step];
    const isEntity = typeof step === "number" && collections.includes(String(path[i - 1]));
    if (isEntity && at !== undefined) end = i + 1;
  }
  return end === 0 ? path : path.slice(0, end);
}

/** Elements of lists go last first, so that the others keep their numbers meanwhile. */
function remove(top: Tree, paths: readonly Path[]): void {
  const inOrder = paths.toSorted((a, b) => compare(b, a));
  for (const path of inOrder) {
    let at: unknown = top;
    for (const step of path.slice(0, -1)) at = (at as Record<string | number, unknown> | undefined)?.[step];
    const last = path.at(-1);
    if (Array.isArray(at) && typeof last === "number") at.splice(last, 1);
    else if (isObject(at) && last !== undefined) delete at[last];
  }
}

function compare(a: Path, b: Path): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i] as string | number, b[i] as string | number];
    if (x === y) continue;
    if (typeof x === "number" && typeof y === "number") return x - y;
    return String(x) < String(y) ? -1 : 1;
  }
  return a.length - b.length;
}
