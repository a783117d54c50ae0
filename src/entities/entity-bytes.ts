/** How large entities are, for those who bound them: by their JSON, which is what a store keeps and a list shows. */

const known = new WeakMap<object, number>();

/** Bytes of an entity as JSON. An entity never changes: it is measured once. */
export function entityBytes(entity: object): number {
  let bytes = known.get(entity);
  if (bytes === undefined) {
    bytes = jsonBytes(entity);
    known.set(entity, bytes);
  }
  return bytes;
}

/** The same of what is not an entity yet. */
export const jsonBytes = (value: object): number => Buffer.byteLength(JSON.stringify(value));
