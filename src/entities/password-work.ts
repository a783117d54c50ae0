/**
 * Passwords of documents, which may have thousands: comparing or hashing one takes some 30 ms of a core, by intention. So
 * whoever judges a document asks for what is known of its passwords, and has the rest done while nothing waits for it.
 */
import { createHmac, randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { InTurn } from "../in-turn.ts";
import { hashPassword, verifyPassword } from "./passwords.ts";

/** A password as a document has it. */
export interface GivenPassword {
  readonly password: string;
  /** What is kept in its place now; null if nothing is. */
  readonly kept: string | null;
  /** Whose it is: Kong's form depends on it. */
  readonly consumer: string;
}

/**
 * How many are done at once, of all documents together: the pool that does it reads files and looks up names as well, and
 * whoever sends a document shall not have all cores for minutes.
 */
const AT_ONCE = Math.max(1, Math.min(2, availableParallelism() >> 1));
const pool = new InTurn(AT_ONCE);

/** Passwords that are known to be what is kept, so that the same document costs no more the next time. */
const MAX_REMEMBERED = 100_000;
const remembered = new Set<string>();
/** Known to nobody, and gone with the process. */
const KEY = randomBytes(32);

const digest = (...texts: readonly string[]) =>
  createHmac("sha256", KEY).update(JSON.stringify(texts)).digest("base64");

/** The same password again, for who keeps in mind what it was without keeping it. */
export const passwordMark = (password: string): string => digest(password);

function remember(mark: string): void {
  const [oldest] = remembered.size >= MAX_REMEMBERED ? remembered : [];
  if (oldest !== undefined) remembered.delete(oldest);
  remembered.add(mark);
}

/** Does something for each, and lets others with few of them in between. */
export async function eachPassword<T>(all: Iterable<T>, work: (one: T) => Promise<void>): Promise<void> {
  const left = all[Symbol.iterator]();
  const worker = async () => {
    for (let one = left.next(); !one.done; one = left.next()) {
      const { value } = one;
      await pool.run(() => work(value));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** The passwords of one document. */
export class PasswordWork {
  readonly #makesHashes: boolean;
  /** What is to be kept, by what was given. */
  readonly #known = new Map<string, string>();
  readonly #left = new Map<string, GivenPassword>();

  /** @param makesHashes false where nothing will be kept: a new password is the empty text then, and costs nothing. */
  constructor({ makesHashes }: { readonly makesHashes: boolean }) {
    this.#makesHashes = makesHashes;
  }

  /** What is to be kept: what is kept now if it is of that password, else a new hash; undefined before it was worked out. */
  find(given: GivenPassword): string | undefined {
    const { kept, password, consumer } = given;
    if (kept !== null && (kept === password || remembered.has(digest(kept, password, consumer)))) return kept;
    if (kept === null && !this.#makesHashes) return "";
    const mark = digest(kept ?? "", password, consumer);
    const known = this.#known.get(mark);
    if (known === undefined) this.#left.set(mark, given);
    return known;
  }

  /** Whether something was asked for that is not known yet. */
  get isDue(): boolean {
    return this.#left.size > 0;
  }

  /** Works out what was asked for. */
  async work(): Promise<void> {
    const left = [...this.#left];
    this.#left.clear();
    await eachPassword(left, async ([mark, { kept, password, consumer }]) => {
      const isSame = kept !== null && (await verifyPassword(kept, password, consumer));
      const found = isSame ? kept : this.#makesHashes ? await hashPassword(password) : "";
      if (found !== "") remember(digest(found, password, consumer));
      this.#known.set(mark, found);
    });
  }
}
