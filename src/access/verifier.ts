/**
 * Whether a token is one of the table's. Its hash costs some 30 ms of a core and 16 MiB, so what was found right is
 * remembered for a while by a hash with a key of this process; what the table says of it is looked at every time, so a
 * token that is revoked or comes to its end is good for nothing at once.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { hashPasswordNow, verifyPassword } from "../entities/passwords.ts";
import { type AdminToken, idOf, type TokenTable } from "./token-table.ts";

/** How long, and how many. */
const REMEMBERED_MS = 60_000;
const MAX_REMEMBERED = 1024;
/** Hashes worked on at once, and how many wait for that. */
const MAX_HASHES = 2;
const MAX_WAITING = 32;

/** Too many are being looked at: nothing is said about this one. */
export class VerifierBusy extends Error {
  override name = "VerifierBusy";
}

interface Remembered {
  readonly id: string;
  readonly hash: string;
  readonly until: number;
}

export class Verifier {
  readonly #tokens: Pick<TokenTable, "find">;
  readonly #key = randomBytes(32);
  readonly #remembered = new Map<string, Remembered>();
  /** Under way: many requests with one token are one piece of work. */
  readonly #pending = new Map<string, Promise<boolean>>();
  readonly #waiting: (() => void)[] = [];
  readonly #now: () => number;
  readonly #maxRemembered: number;
  #running = 0;
  /** Of no token: whoever names one that is not there waits as long. */
  readonly #decoy = hashPasswordNow(randomBytes(32).toString("hex"));
  /** How many hashes were worked out. */
  hashes = 0;

  constructor(
    tokens: Pick<TokenTable, "find">,
    now: () => number = Date.now,
    maxRemembered: number = MAX_REMEMBERED,
  ) {
    this.#tokens = tokens;
    this.#now = now;
    this.#maxRemembered = maxRemembered;
  }

  /** The same for equal texts, for as long as the process lasts. */
  digest(text: string): Buffer {
    return createHmac("sha256", this.#key).update(text).digest();
  }

  /** The token, if it was found right a short while ago and counts still; it costs no more than a lookup. */
  known(text: string): AdminToken | null {
    const key = this.digest(text).toString("base64");
    const one = this.#remembered.get(key);
    if (one === undefined) return null;
    const token = this.#current(one.id);
    if (one.until > this.#now() && token?.hash === one.hash) return token;
    this.#remembered.delete(key);
    return null;
  }

  /**
   * The token, or null if it is none or does not count any more: both take the same time.
   * @throws {VerifierBusy}
   */
  async verify(text: string): Promise<AdminToken | null> {
    const id = idOf(text) ?? "";
    const hash = this.#tokens.find(id)?.hash;
    const key = this.digest(text).toString("base64");
    const isRight = await this.#isRight(`${key} ${hash}`, hash ?? this.#decoy, text);
    // The table may have changed meanwhile.
    const token = this.#current(id);
    if (!isRight || token === null || token.hash !== hash) return null;
    this.#remembered.delete(key);
    if (this.#remembered.size >= this.#maxRemembered) {
      const [oldest] = this.#remembered.keys();
      if (oldest !== undefined) this.#remembered.delete(oldest);
    }
    this.#remembered.set(key, { id, hash, until: this.#now() + REMEMBERED_MS });
    return token;
  }

  #current(id: string): AdminToken | null {
    const token = this.#tokens.find(id);
    if (token === undefined) return null;
    return token.expiresAt === null || token.expiresAt * 1000 > this.#now() ? token : null;
  }

  #isRight(key: string, hash: string, text: string): Promise<boolean> {
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const fresh = this.#turn(() => verifyPassword(hash, text, "")).finally(() => this.#pending.delete(key));
    this.#pending.set(key, fresh);
    return fresh;
  }

  async #turn(job: () => Promise<boolean>): Promise<boolean> {
    if (this.#running >= MAX_HASHES) {
      if (this.#waiting.length >= MAX_WAITING) throw new VerifierBusy();
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    } else this.#running++;
    this.hashes++;
    try {
      return await job();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

/** Whether two digests are equal, in a time that does not tell where they differ. */
export const sameDigest = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b);
