/**
 * Rows as stores write them: JSON text, checked once for all stores, so that what one takes every other takes, and
 * gives back the same.
 *
 * JSON text and no JSON type of a database: PostgreSQL's `jsonb` refuses U+0000 and reorders keys, and its numbers are
 * not JavaScript's. As text, escapes stay escapes, and every double comes back as it went.
 */
import { type AuditEntry, type Edit, type Row, StoreUnavailable, UnfitValue } from "./store.ts";

/** Of a kind, an id and a workspace each, in UTF-8. */
export const MAX_NAME_BYTES = 1024;
/** Of one row's body or audit entry, as JSON in UTF-8. */
export const MAX_BODY_BYTES = 16 << 20;
/** Edits of one write. */
export const MAX_EDITS = 1_000_000;
/**
 * Removed rows that a store remembers, for `changesSince`. Who has missed more reads everything again. (What was put is
 * found by the revision of its row, however long ago.)
 */
export const MAX_REMOVED = 50_000;
export const MAX_AUDIT_PAGE = 1000;

export interface PackedRow {
  readonly kind: string;
  readonly id: string;
  readonly workspace: string;
  /** JSON. */
  readonly body: string;
}

export interface Key {
  readonly kind: string;
  readonly id: string;
}

export interface PackedAudit {
  readonly at: number;
  readonly workspace: string;
  /** JSON. */
  readonly body: string;
}

/** One write. No key is in it twice. */
export interface PackedWrite {
  readonly puts: readonly PackedRow[];
  readonly removes: readonly Key[];
  readonly audit: readonly PackedAudit[];
}

/** A store's answer to `changesSince`, not yet unpacked. */
export interface PackedChange {
  readonly revision: number;
  readonly puts: readonly PackedRow[];
  readonly removes: readonly Key[];
}

/** @throws {UnfitValue} */
export function packWrite(edits: readonly Edit[], audit: readonly AuditEntry[]): PackedWrite {
  if (edits.length > MAX_EDITS)
    throw new UnfitValue(`one write has at most ${MAX_EDITS} edits, not ${edits.length}`);
  const last = new Map<string, Edit>();
  for (const edit of edits) last.set(keyText("put" in edit ? edit.put : edit.remove), edit);
  const puts: PackedRow[] = [];
  const removes: Key[] = [];
  for (const edit of last.values()) {
    if ("put" in edit) puts.push(packRow(edit.put));
    else removes.push(packKey(edit.remove));
  }
  return { puts, removes, audit: audit.map(packAudit) };
}

/** @throws {StoreUnavailable} what is kept is no JSON: something else has written there, or it is damaged. */
export function unpackRow({ kind, id, workspace, body }: PackedRow): Row {
  return { kind, id, workspace, body: unpack(body, `the row ${kind} ${id}`) };
}

export function unpackChange({ revision, puts, removes }: PackedChange): {
  revision: number;
  edits: Edit[];
} {
  const edits: Edit[] = puts.map((row) => ({ put: unpackRow(row) }));
  for (const { kind, id } of removes) edits.push({ remove: { kind, id } });
  return { revision, edits };
}

export function unpackAudit({ at, workspace, body }: PackedAudit): AuditEntry {
  return { at, workspace, body: unpack(body, `the audit entry of ${new Date(at).toISOString()}`) };
}

/** One text for a kind and an id: neither has U+0000 in it. */
export function keyText({ kind, id }: Key): string {
  return `${kind}\0${id}`;
}

/**
 * The number of an audit entry that a page ends before; null for the newest.
 * @throws {UnfitValue}
 */
export function checkAuditPage(size: number, before: string | null): number | null {
  if (!Number.isInteger(size) || size < 1 || size > MAX_AUDIT_PAGE)
    throw new UnfitValue(`a page of the audit log has from 1 to ${MAX_AUDIT_PAGE} entries, not ${size}`);
  if (before === null) return null;
  if (!/^[1-9]\d{0,14}$/.test(before)) throw new UnfitValue("no page of the audit log has that mark");
  return Number(before);
}

function packRow(row: Row): PackedRow {
  const { kind, id } = packKey(row);
  const what = `${kind} ${id}`;
  return { kind, id, workspace: checkName("workspace", row.workspace, what), body: pack(row.body, what) };
}

function packKey({ kind, id }: Key): Key {
  if (checkName("kind", kind, "a row") === "" || checkName("id", id, `a row of ${kind}`) === "")
    throw new UnfitValue("a row has a kind and an id");
  return { kind, id };
}

function packAudit({ at, workspace, body }: AuditEntry): PackedAudit {
  const what = "an audit entry";
  if (!Number.isSafeInteger(at) || at < 0) throw new UnfitValue(`${what}: its time is no whole number of ms`);
  return { at, workspace: checkName("workspace", workspace, what), body: pack(body, what) };
}

function checkName(name: string, text: string, what: string): string {
  if (typeof text !== "string" || text.includes("\0") || !text.isWellFormed())
    throw new UnfitValue(`${what}: its ${name} is no text that every database keeps`);
  if (text.length * 3 > MAX_NAME_BYTES && Buffer.byteLength(text) > MAX_NAME_BYTES)
    throw new UnfitValue(`${what}: its ${name} is longer than ${MAX_NAME_BYTES} bytes`);
  return text;
}

function pack(body: unknown, what: string): string {
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw new UnfitValue(`${what}: its body is no JSON object`);
  const text = JSON.stringify(body, (name, value: unknown) => {
    // What JSON would silently write as null or as a rounded number.
    if (typeof value === "bigint" || (typeof value === "number" && !Number.isFinite(value)))
      throw new UnfitValue(`${what}: its field '${name}' is ${value}, which JSON cannot say`);
    return value;
  });
  if (
    text.length > MAX_BODY_BYTES ||
    (text.length * 3 > MAX_BODY_BYTES && Buffer.byteLength(text) > MAX_BODY_BYTES)
  )
    throw new UnfitValue(`${what}: its body is longer than ${MAX_BODY_BYTES} bytes`);
  return text;
}

function unpack(text: string, what: string): Row["body"] {
  try {
    return JSON.parse(text) as Row["body"];
  } catch {
    throw new StoreUnavailable(
      `${what} is damaged in the store; put a backup in its place, or remove it there`,
    );
  }
}
