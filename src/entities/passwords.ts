/**
 * Passwords as they are kept: a hash that costs time and memory to guess against (scrypt, RFC 7914), salted at random.
 * Kong's own form, SHA-1 of password and consumer, is read where a file says that its values are transformed already,
 * and never written.
 */
import { hash, randomBytes, scrypt, scryptSync, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

/** What new hashes cost: 16 MiB and some 30 ms of a core. Kept with each hash, so it can be raised. */
const COST = { N: 2 ** 14, r: 8, p: 1 } as const;
const HASH_BYTES = 32;
const SALT_BYTES = 16;
/** Hashes that others made may not ask for more: N and r are 64 MiB at most, and p four times that work. */
const MAX_LOG_N = 16;
const MAX_P = 4;

/** `$scrypt$ln=14,r=8,p=1$<salt>$<hash>`, both in base64 without padding. */
const OWN = /^\$scrypt\$ln=(\d{1,2}),r=8,p=(\d)\$([A-Za-z0-9+/]{16,86})\$([A-Za-z0-9+/]{43})$/;
const KONGS = /^[0-9a-f]{40}$/;

const derive = promisify<string, Uint8Array, number, object, Buffer>(scrypt);

/** The form in which a password is kept. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  return written(salt, await derive(password, salt, HASH_BYTES, COST));
}

/** The same at once: for callers that have few and cannot wait. */
export function hashPasswordNow(password: string): string {
  const salt = randomBytes(SALT_BYTES);
  return written(salt, scryptSync(password, salt, HASH_BYTES, COST));
}

/** Whether a text is a password in a form in which one may be kept, ours or Kong's. */
export function isHashedPassword(text: string): boolean {
  return KONGS.test(text) || parse(text) !== null;
}

/** Whether `password` is what was kept as `stored` for a consumer. */
export async function verifyPassword(stored: string, password: string, consumerId: string): Promise<boolean> {
  if (KONGS.test(stored)) {
    const given = hash("sha1", password + consumerId, "hex");
    return timingSafeEqual(Buffer.from(stored), Buffer.from(given));
  }
  const kept = parse(stored);
  if (kept === null) return false;
  const { salt, expected, cost } = kept;
  return timingSafeEqual(expected, await derive(password, salt, HASH_BYTES, { ...cost, maxmem: 2 ** 27 }));
}

function parse(stored: string) {
  const [, logN, p, salt, expected] = OWN.exec(stored) ?? [];
  if (logN === undefined || p === undefined || salt === undefined || expected === undefined) return null;
  const cost = { N: 2 ** Number(logN), r: 8, p: Number(p) };
  if (Number(logN) < 10 || Number(logN) > MAX_LOG_N || cost.p < 1 || cost.p > MAX_P) return null;
  return { cost, salt: Buffer.from(salt, "base64"), expected: Buffer.from(expected, "base64") };
}

function written(salt: Uint8Array, derived: Uint8Array): string {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64").replaceAll("=", "");
  return `$scrypt$ln=${Math.log2(COST.N)},r=${COST.r},p=${COST.p}$${text(salt)}$${text(derived)}`;
}
