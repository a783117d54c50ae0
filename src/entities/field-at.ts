/** What a schema says of the values inside of a value. */
import type { Field } from "@gatehouse/sdk";

type Path = readonly (string | number)[];

/** The schemas of the values on the way, the first one below `schema`; it ends where a schema knows nothing of the next. */
export function* fieldsAlong(schema: Field, path: Path): Generator<Field> {
  let at: Field = schema;
  for (const step of path) {
    const below = fieldBelow(at, step);
    if (below === undefined) return;
    yield below;
    at = below;
  }
}

/** The schema of the value at the end of the way; undefined if there is none. */
export function fieldAt(schema: Field, path: Path): Field | undefined {
  if (path.length === 0) return schema;
  const along = [...fieldsAlong(schema, path)];
  return along.length === path.length ? along.at(-1) : undefined;
}

function fieldBelow({ elements, values, fields = {} }: Field, step: string | number): Field | undefined {
  return elements ?? values ?? (Object.hasOwn(fields, step) ? fields[step] : undefined);
}
