/**
 * Whether a version takes the config of a plugin entity that was written for another one. A name that moves changes the
 * schema under configs that nobody has touched: what is missing gets its default, and what another version has filled in
 * by itself and this one does not know is left out.
 */
import {
  type Field,
  isObject,
  record,
  schemaFromJson,
  type Validated,
  type ValidateOptions,
  validate,
} from "@gatehouse/sdk";
import { equalJson } from "../declarative/identity.ts";
import type { StoredPackage } from "./stored-package.ts";

type Compile = ValidateOptions["compile"];
type Path = readonly (string | number)[];

const schemas = new WeakMap<object, Field>();

/** Schema of a package's config, made once. */
export function schemaOf({ manifest }: Pick<StoredPackage, "manifest">): Field {
  const known = schemas.get(manifest) ?? schemaFromJson(manifest.schema);
  schemas.set(manifest, known);
  return known;
}

/** @param others versions that the config may have been written for. */
export function fitted(
  stored: StoredPackage,
  config: unknown,
  others: readonly StoredPackage[],
  compile: Compile,
): Validated<unknown> {
  const schema = schemaOf(stored);
  const options = compile === undefined ? {} : { compile };
  const checked = validate(schema, config ?? {}, options);
  if (checked.violations.length === 0) return checked;
  const strange = checked.violations.filter(({ path }) => fieldAt(schema, path) === undefined);
  // Only what nobody has written may go: it says what its own version says without it.
  const isFilledIn = ({ path }: { readonly path: Path }) =>
    others.some((other) => {
      const field = fieldAt(schemaOf(other), path);
      if (field === undefined) return false;
      const absent = validate(record({ absent: field }), {}, options).value;
      return equalJson(valueAt(config, path) ?? null, valueAt(absent, ["absent"]) ?? null);
    });
  if (strange.length === 0 || !strange.every(isFilledIn)) return checked;
  const cleaned = structuredClone(config);
  for (const { path } of strange) removeAt(cleaned, path);
  const again = validate(schema, cleaned, options);
  return again.violations.length === 0 ? again : checked;
}

/** The field of a record that a path names; undefined if there is none, or it leads through a list or map. */
function fieldAt(schema: Field, path: Path): Field | undefined {
  let field: Field | undefined = schema;
  for (const name of path) field = typeof name === "string" ? own(field?.fields, name) : undefined;
  return field;
}

const own = <T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;

function valueAt(value: unknown, path: Path): unknown {
  let at = value;
  for (const name of path) at = isObject(at) ? own(at, String(name)) : undefined;
  return at;
}

function removeAt(value: unknown, path: Path): void {
  const inside = valueAt(value, path.slice(0, -1));
  if (isObject(inside)) delete inside[String(path.at(-1))];
}
