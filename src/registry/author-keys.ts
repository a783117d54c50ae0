/**
 * Keys of authors, by workspace, and what they have signed: an Ed25519 signature (RFC 8032) over the id of a package,
 * which is its SHA-256 as text. A key that is revoked signs nothing more; what it signed before stays signed, since the
 * registry knows when that was. A version that is not to be trusted any more is yanked or deleted.
 */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import type { Row } from "../stores/store.ts";
import type { Signature, StoredPackage } from "./stored-package.ts";

export const AUTHOR_KEY_KIND = "author_keys";
/** Of one workspace, revoked ones counted. */
export const MAX_AUTHOR_KEYS = 100;
/** Of one package. */
export const MAX_SIGNATURES = 8;

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
/** Longer texts are no keys. */
const MAX_TEXT = 1024;
/** What stands before the 32 bytes of a key in its DER form (RFC 8410 4). */
const SPKI = Buffer.from("302a300506032b6570032100", "hex");

export interface AuthorKey {
  readonly workspace: string;
  /** Id of that workspace. */
  readonly workspaceId: string;
  readonly name: string;
  /** The 32 bytes, in Base64. */
  readonly publicKey: string;
  /** Seconds since the epoch, as `revokedAt`. */
  readonly createdAt: number;
  /** Null for one that may sign. */
  readonly revokedAt: number | null;
}

export const authorKeyId = (workspace: string, name: string): string => `${workspace}/${name}`;

/** A signature as it is sent, not yet looked at. */
export interface GivenSignature {
  readonly key: string;
  readonly signature: string;
}

/** Why a key may not be called so; null if it may. */
export function keyNameFault(name: string): string | null {
  return NAME.test(name)
    ? null
    : "a key's name has 1 to 64 lower-case letters, digits, '.', '_' and '-', beginning with a letter or digit";
}

/** The 32 bytes of an Ed25519 public key in PEM, or in Base64; null for anything else. */
export function readPublicKey(text: string): Buffer | null {
  if (text.length > MAX_TEXT) return null;
  if (!text.includes("-----BEGIN")) return bytesOf(text.trim(), 32);
  // A private key has a public one in it: it is not to be sent, and is not taken.
  if (!text.includes("-----BEGIN PUBLIC KEY-----")) return null;
  try {
    const key = createPublicKey(text);
    if (key.asymmetricKeyType !== "ed25519") return null;
    return key.export({ type: "spki", format: "der" }).subarray(SPKI.length);
  } catch {
    return null;
  }
}

/** `name:signature`, several after commas: the value of a header. Null if it is something else. */
export function readSignatures(text: string): GivenSignature[] | null {
  const given = text.split(",").map((one) => {
    const [, key, signature] = /^\s*([^:\s]{1,64}):([A-Za-z0-9+/=]{1,128})\s*$/.exec(one) ?? [];
    return key === undefined || signature === undefined ? null : { key, signature };
  });
  return given.every((one) => one !== null) ? given : null;
}

/** Whether a key has made a signature over a package's id. */
export function hasSigned({ publicKey }: AuthorKey, id: string, signature: string): boolean {
  const bytes = bytesOf(signature, 64);
  const raw = bytesOf(publicKey, 32);
  return bytes !== null && raw !== null && verify(null, Buffer.from(id), keyOf(raw), bytes);
}

/** Of a package, those that a key of its workspace made while it might. They are looked at again, whatever is stored. */
export function soundSignatures(
  { id, workspace, signatures }: Pick<StoredPackage, "id" | "workspace" | "signatures">,
  authorKeyOf: (id: string) => AuthorKey | undefined,
): Signature[] {
  return signatures.filter(({ key: name, signature, at }) => {
    const key = authorKeyOf(authorKeyId(workspace, name));
    if (key === undefined || (key.revokedAt !== null && at > key.revokedAt)) return false;
    return hasSigned(key, id, signature);
  });
}

export function rowOfAuthorKey({ workspaceId, ...key }: AuthorKey): Row {
  const { workspace, name, publicKey, createdAt, revokedAt } = key;
  const body = { workspace, name, public_key: publicKey, created_at: createdAt, revoked_at: revokedAt };
  return { kind: AUTHOR_KEY_KIND, id: authorKeyId(workspace, name), workspace: workspaceId, body };
}

/** Null for a row that is no key. */
export function authorKeyOfRow({ id, workspace: workspaceId, body }: Row): AuthorKey | null {
  const { workspace, name, public_key: publicKey, created_at: createdAt, revoked_at: revokedAt } = body;
  if (typeof workspace !== "string" || typeof name !== "string" || id !== authorKeyId(workspace, name))
    return null;
  if (typeof publicKey !== "string" || bytesOf(publicKey, 32) === null) return null;
  if (typeof createdAt !== "number" || !(revokedAt === null || typeof revokedAt === "number")) return null;
  return { workspace, workspaceId, name, publicKey, createdAt, revokedAt };
}

function keyOf(raw: Buffer): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI, raw]), format: "der", type: "spki" });
}

function bytesOf(base64: string, length: number): Buffer | null {
  const bytes = Buffer.from(base64, "base64");
  return bytes.length === length && bytes.toString("base64") === base64 ? bytes : null;
}
