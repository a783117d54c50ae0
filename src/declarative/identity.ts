/**
 * Names for things by their content: the ids of entities that a file leaves out, so that reloading the same
 * file keeps them, and the hash of a configuration.
 */
import { hash } from "node:crypto";

/** Root of Kong's namespaces for ids in declarative files. */
const ROOT = "fd02801f-0957-4a15-a55a-c8d9606f30b5";

const namespaces = new Map<string, Buffer>();

function bytesOf(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll("-", ""), "hex");
}

/** UUID version 5 (RFC 9562 5.5) of a name in a namespace. */
function uuidV5(namespace: Buffer, name: string): string {
  const hex = hash("sha1", Buffer.concat([namespace, Buffer.from(name)]), "hex");
  const variant = ((Number.parseInt(hex[16]!, 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** The id that Kong derives for an entity of a collection from its key. */
export function entityId(collection: string, key: string): string {
  let namespace = namespaces.get(collection);
  if (!namespace) {
    namespace = bytesOf(uuidV5(bytesOf(ROOT), collection));
    namespaces.set(collection, namespace);
  }
  return uuidV5(namespace, key);
}

/** JSON with the keys of objects in order, so that equal content is equal text. */
export function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  if (Array.isArray(value)) {
    let list = "[";
    for (let i = 0; i < value.length; i++) list += (i === 0 ? "" : ",") + canonicalJson(value[i]);
    return `${list}]`;
  }
  const source = value as Record<string, unknown>;
  let out = "{";
  for (const key of Object.keys(source).sort()) {
    if (source[key] === undefined) continue;
    out += `${out === "{" ? "" : ","}${JSON.stringify(key)}:${canonicalJson(source[key])}`;
  }
  return `${out}}`;
}

/** The content of an entity whose fields are in the order of its schema. What is null is as good as absent. */
export function entityContent(collection: string, entity: Readonly<Record<string, unknown>>): string {
  // The id comes first, so that sorting compares few characters.
  let out = `${collection} ${entity.id}`;
  for (const field in entity) {
    const value = entity[field];
    if (value !== null && value !== undefined) out += `\t${field}:${canonicalJson(value)}`;
  }
  return out;
}

/** 32 hexadecimal digits, as Kong's `configuration_hash`. */
export function contentHash(content: string): string {
  return hash("sha256", content, "hex").slice(0, 32);
}

/** Whether two values are the same JSON, whatever the order of keys. */
export function equalJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((value, i) => equalJson(value, b[i]));
  if (Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every(
      (key) => Object.hasOwn(b, key) && equalJson(a[key as keyof typeof a], b[key as keyof typeof b]),
    )
  );
}
