/**
 * Who asks the Admin API: a token's bearer, the holder of a certificate, or, where nobody has to say who they are, the
 * operator. What they may ask is in `roles.ts`.
 */
import type { Author } from "../control/write.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import { Attempts, MAX_FAILURES } from "./attempts.ts";
import type { CertificateRole, Standing } from "./standing.ts";
import { type AdminToken, idOf, MAX_TOKEN_LENGTH, type TokenTable } from "./token-table.ts";
import { sameDigest, Verifier, VerifierBusy } from "./verifier.ts";

export type Asker = Author & Standing;

/** Where nobody has to say who they are, whoever reaches the API is the operator. */
export const ANYBODY: Asker = { actor: null, role: "owner", workspace: null };

/** What a request says of whoever makes it. */
export interface Bearer {
  /** Fields `Authorization` and `Kong-Admin-Token`. */
  readonly authorization: string | undefined;
  readonly adminToken: string | undefined;
  /** Of the connection's other end. */
  readonly address: string;
  /** The certificate that it showed and that was verified, if any. */
  readonly certificate: { readonly fingerprint: string; readonly subject: string } | null;
}

export interface AccessRefusal {
  readonly status: 401 | 403 | 429;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface AccessParts {
  /** Setting `admin_auth`. */
  readonly mode: "auto" | "on" | "off";
  readonly certificateRoles: readonly CertificateRole[];
  readonly tokens: TokenTable;
  /** The entities in force. */
  readonly index: () => EntityIndex;
  /** Whether entities are written to a store, where there may be tenants. */
  readonly hasStore: boolean;
  /** The token of `<prefix>/admin-token`, which is the operator's. */
  readonly fileToken: string | null;
  /** Told of wrong tokens, often enough to notice and not so often that it does harm. */
  readonly onFailure: (failure: { readonly address: string; readonly failures: number }) => void;
  readonly now?: () => number;
}

/** Failures that are told of in a minute. */
const MAX_TOLD = 30;
const TOLD_WINDOW_MS = 60_000;

const UNAUTHORIZED: AccessRefusal = {
  status: 401,
  message:
    "A valid token is required: send it as 'Authorization: Bearer <token>' or 'Kong-Admin-Token: <token>'",
  headers: { "www-authenticate": 'Bearer realm="gatehouse"' },
};

const tooMany = (seconds: number): AccessRefusal => ({
  status: 429,
  message: "Too many wrong tokens; try again later",
  headers: { "retry-after": String(seconds) },
});

/** Tenants, and nobody who is asked who they are: whoever reached the API would be everybody's operator. */
export const NEEDS_TOKENS =
  "admin_auth is off, and with more than one workspace the Admin API has to ask for tokens; " +
  "set admin_auth to auto or on";

export class Access {
  readonly #parts: AccessParts;
  readonly #now: () => number;
  readonly #verifier: Verifier;
  readonly #attempts: Attempts;
  readonly #fileDigest: Buffer | null;
  readonly #fileId: string | null;
  #told = { count: 0, until: 0 };

  constructor(parts: AccessParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
    this.#verifier = new Verifier(parts.tokens, this.#now);
    this.#attempts = new Attempts(this.#now);
    this.#fileDigest = parts.fileToken === null ? null : this.#verifier.digest(parts.fileToken);
    this.#fileId = parts.fileToken === null ? null : idOf(parts.fileToken);
  }

  /** Whether a request has to have a token, or a certificate with a role. */
  isRequired(): boolean {
    const { mode } = this.#parts;
    return mode === "on" || (mode === "auto" && this.#hasTenants());
  }

  /** Whether another workspace may be made. */
  allowsTenants(): boolean {
    return this.#parts.mode !== "off" || !this.#parts.hasStore;
  }

  /** Whether there are other workspaces although nobody is asked for a token. */
  lacksTokens(): boolean {
    return !this.allowsTenants() && this.#hasTenants();
  }

  /** Whether somebody who was admitted would be now: for answers that go on. */
  counts({ actor, token }: Asker): boolean {
    if (token === undefined) return actor !== null || !this.isRequired();
    if (token === this.#fileId) return true;
    const known = this.#parts.tokens.find(token);
    return known !== undefined && (known.expiresAt === null || known.expiresAt * 1000 > this.#now());
  }

  /** Who asks, or why they are not listened to: the same whatever is wrong with a token. */
  async admit(bearer: Bearer): Promise<{ readonly asker: Asker } | { readonly refusal: AccessRefusal }> {
    const { address: from, certificate } = bearer;
    if (!this.isRequired()) {
      if (this.lacksTokens()) return { refusal: { status: 403, message: NEEDS_TOKENS, headers: {} } };
      const actor = certificate === null ? null : `certificate ${certificate.subject}`;
      return { asker: this.#byCertificate(bearer) ?? { ...ANYBODY, actor, from } };
    }
    const text = tokenIn(bearer);
    if (text === null) {
      const asker = this.#byCertificate(bearer);
      return asker === null ? { refusal: UNAUTHORIZED } : { asker };
    }
    if (this.#fileDigest !== null && sameDigest(this.#fileDigest, this.#verifier.digest(text)))
      return {
        asker: { actor: "the operator", token: idOf(text) ?? "", role: "owner", workspace: null, from },
      };
    const known = this.#verifier.known(text);
    if (known !== null) return this.#asToken(known, from);
    const wait = this.#attempts.begin(from);
    if (wait > 0) return { refusal: tooMany(wait) };
    let token: AdminToken | null;
    try {
      token = await this.#verifier.verify(text);
    } catch (error) {
      if (!(error instanceof VerifierBusy)) throw error;
      this.#attempts.takeBack(from, { right: false });
      return { refusal: tooMany(1) };
    }
    if (token === null) {
      this.#tell(from);
      return { refusal: UNAUTHORIZED };
    }
    this.#attempts.takeBack(from, { right: true });
    return this.#asToken(token, from);
  }

  #asToken(
    { id, name, role, workspace: workspaceId }: AdminToken,
    from: string,
  ): { readonly asker: Asker } | { readonly refusal: AccessRefusal } {
    const workspace = workspaceId === "" ? null : this.#parts.index().workspace(workspaceId)?.name;
    // Its workspace has gone.
    if (workspace === undefined) return { refusal: UNAUTHORIZED };
    return { asker: { actor: name, token: id, role, workspace, from } };
  }

  #byCertificate({ certificate, address: from }: Bearer): Asker | null {
    if (certificate === null) return null;
    const one = this.#parts.certificateRoles.find(
      ({ fingerprint }) => fingerprint === certificate.fingerprint,
    );
    if (one === undefined) return null;
    return { actor: `certificate ${certificate.subject}`, role: one.role, workspace: one.workspace, from };
  }

  #hasTenants(): boolean {
    return this.#parts.hasStore && this.#parts.index().list("workspaces", "").length > 1;
  }

  /** Of an address the first failure and the last that is listened to. */
  #tell(address: string): void {
    const failures = this.#attempts.failures(address);
    if (failures !== 1 && failures !== MAX_FAILURES) return;
    const now = this.#now();
    if (this.#told.until <= now) this.#told = { count: 0, until: now + TOLD_WINDOW_MS };
    if (++this.#told.count <= MAX_TOLD) this.#parts.onFailure({ address, failures });
  }
}

/** The token of a request; null if it has none, and no token's text if it has something else. */
function tokenIn({ authorization, adminToken }: Bearer): string | null {
  const text = adminToken ?? (authorization === undefined ? null : bearerIn(authorization));
  return text === null ? null : text.slice(0, MAX_TOKEN_LENGTH);
}

const bearerIn = (authorization: string): string => /^bearer +(\S+)$/i.exec(authorization)?.[1] ?? "";
