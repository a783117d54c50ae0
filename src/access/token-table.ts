/**
 * The tokens of the Admin API: rows of the store beside the entities, which no data thread hears of. A token is shown
 * once, when it is made; what is kept is a hash that costs time and memory to guess against.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { isUuid } from "../entities/fields.ts";
import { hashPassword, isHashedPassword } from "../entities/passwords.ts";
import type { Edit, Row } from "../stores/store.ts";
import { ROLES, type Role } from "./standing.ts";

export const TOKEN_KIND = "admin_tokens";
/** Tokens of one workspace, and those of all workspaces. */
export const MAX_TOKENS = 1000;

const SECRET_BYTES = 32;
/** `gh_<id>_<secret>`; a UUID has no `_`. */
const FORM = /^gh_([0-9a-f-]{36})_([A-Za-z0-9_-]{43})$/;
/** Longer ones are no tokens of anybody. */
export const MAX_TOKEN_LENGTH = 256;

export interface AdminToken {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** Id of the only workspace that it is for; empty for all. */
  readonly workspace: string;
  /** Of the whole token (entities/passwords.ts). */
  readonly hash: string;
  /** The last characters of the token, to tell it by. */
  readonly lastFour: string;
  /** Seconds since the epoch. */
  readonly createdAt: number;
  /** Seconds since the epoch; null for never. */
  readonly expiresAt: number | null;
}

export interface MadeToken {
  /** What its bearer sends. */
  readonly text: string;
  readonly token: AdminToken;
}

/** A new token; it counts once it is in the table. */
export async function makeToken(
  given: Pick<AdminToken, "name" | "role" | "workspace" | "expiresAt">,
  now: number,
): Promise<MadeToken> {
  const { id, text } = freshToken();
  const { name, role, workspace, expiresAt } = given;
  const hash = await hashPassword(text);
  const createdAt = Math.floor(now / 1000);
  return {
    text,
    token: { id, name, role, workspace, hash, lastFour: text.slice(-4), createdAt, expiresAt },
  };
}

export function freshToken(): { id: string; text: string } {
  const id = randomUUID();
  return { id, text: `gh_${id}_${randomBytes(SECRET_BYTES).toString("base64url")}` };
}

/** The id that a token names, if it has a token's form. */
export function idOf(text: string): string | null {
  return FORM.exec(text)?.[1] ?? null;
}

/** The rows of tokens, as the store has them. */
export class TokenTable {
  readonly kind = TOKEN_KIND;
  #tokens = new Map<string, AdminToken>();
  readonly #onUnsound: (id: string) => void;

  /** @param onUnsound called with the id of a row that is no token: nobody gets in by it. */
  constructor(onUnsound: (id: string) => void = () => {}) {
    this.#onUnsound = onUnsound;
  }

  find(id: string): AdminToken | undefined {
    return this.#tokens.get(id);
  }

  /** Those of a workspace by its id, or those of all workspaces if it is empty, or every one if it is null. */
  list(workspace: string | null): AdminToken[] {
    return [...this.#tokens.values()].filter((one) => workspace === null || one.workspace === workspace);
  }

  /** Takes up all that a store has. */
  replace(rows: readonly Row[]): void {
    this.#tokens = new Map();
    this.apply(rows.map((put) => ({ put })));
  }

  /** Takes up what was written. Other kinds are not looked at. */
  apply(edits: readonly Edit[]): void {
    for (const edit of edits) {
      const { kind, id } = "put" in edit ? edit.put : edit.remove;
      if (kind !== TOKEN_KIND) continue;
      const token = "put" in edit ? tokenOf(edit.put) : undefined;
      if (token === null) this.#onUnsound(id);
      if (token) this.#tokens.set(id, token);
      else this.#tokens.delete(id);
    }
  }

  /** What goes with a workspace that is removed. */
  removedWith(workspace: string): Edit[] {
    return this.list(workspace).map(({ id }) => ({ remove: { kind: TOKEN_KIND, id } }));
  }
}

export function rowOfToken({ id, workspace, ...token }: AdminToken): Row {
  const { name, role, hash, lastFour, createdAt, expiresAt } = token;
  const body = {
    id,
    name,
    role,
    hash,
    last_four: lastFour,
    created_at: createdAt,
    expires_at: expiresAt,
  };
  return { kind: TOKEN_KIND, id, workspace, body };
}

/** A row may have been written by another version, or by a hand: what is not a token in every field is none. */
function tokenOf({ id, workspace, body }: Row): AdminToken | null {
  const { name, role, hash, last_four: lastFour, created_at: createdAt, expires_at: expiresAt } = body;
  const isTime = (value: unknown) => typeof value === "number" && Number.isFinite(value);
  const known = ROLES.find((one) => one === role);
  if (known === undefined || !isUuid(id) || body.id !== id) return null;
  if (typeof name !== "string" || typeof lastFour !== "string") return null;
  if (typeof hash !== "string" || !hash.startsWith("$") || !isHashedPassword(hash)) return null;
  if (!isTime(createdAt) || !(expiresAt === null || isTime(expiresAt))) return null;
  return {
    id,
    name,
    role: known,
    workspace,
    hash,
    lastFour,
    createdAt: createdAt as number,
    expiresAt: expiresAt as number | null,
  };
}
