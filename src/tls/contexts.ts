/**
 * Contexts of OpenSSL for listeners, made from certificates and keys when the first handshake needs them. Equal
 * content is one context, whichever configuration asks: a reload that changes other things changes no context.
 */
import { constants, hash } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";

/** PEM: a certificate with the chain that follows it, and its key. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** How listeners speak TLS, from the settings `ssl_*`. */
export interface ListenerTls {
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  readonly maxVersion: "TLSv1.2" | "TLSv1.3";
  /** In OpenSSL's words. */
  readonly ciphers: string;
  readonly preferServerCiphers: boolean;
  readonly sessionTickets: boolean;
  readonly sessionTimeoutSeconds: number;
}

/** 16 bytes of name, 16 of a key for authentication, 16 of one for encryption. */
export const TICKET_KEY_BYTES = 48;

export class Contexts {
  readonly #options: ListenerTls;
  readonly #known = new Map<string, WeakRef<SecureContext>>();
  readonly #unused = new FinalizationRegistry<string>((id) => {
    // Another one may have taken the place of the one that is gone.
    if (this.#known.get(id)?.deref() === undefined) this.#known.delete(id);
  });
  #ticketKeys: Uint8Array;

  /** `ticketKeys` is the same on every thread, so that each resumes what another one began. */
  constructor(options: ListenerTls, ticketKeys: Uint8Array) {
    this.#options = options;
    this.#ticketKeys = ticketKeys;
  }

  /**
   * The context for a certificate, or for two of different kinds of key. Tickets that one context gives are good
   * for it alone: `owner` keeps those of equal certificates apart.
   * @throws {Error} OpenSSL's, if it does not take them
   */
  context(pairs: readonly KeyPair[], owner: string): SecureContext {
    const id = hash("sha256", JSON.stringify([owner, pairs]), "hex");
    const known = this.#known.get(id)?.deref();
    if (known !== undefined) return known;
    const context = serverContext(pairs, this.#options, { id, ticketKeys: this.#ticketKeys });
    this.#known.set(id, new WeakRef(context));
    this.#unused.register(context, id);
    return context;
  }

  /** From now on tickets are made with other keys; those made before are met with a full handshake. */
  replaceTicketKeys(keys: Uint8Array): void {
    this.#ticketKeys = keys;
    for (const reference of this.#known.values()) {
      const context = reference.deref()?.context as { setTicketKeys(keys: Uint8Array): void } | undefined;
      context?.setTicketKeys(Buffer.from(keys));
    }
  }
}

/** @throws {Error} OpenSSL's, if it does not take them */
export function serverContext(
  pairs: readonly KeyPair[],
  options: ListenerTls,
  session: { readonly id: string; readonly ticketKeys: Uint8Array },
): SecureContext {
  return createSecureContext({
    cert: pairs.map(({ cert }) => cert),
    key: pairs.map(({ key }) => key),
    ca: [], // no client's certificate is asked for; the default would be the system's whole store
    minVersion: options.minVersion,
    maxVersion: options.maxVersion,
    ciphers: options.ciphers,
    honorCipherOrder: options.preferServerCiphers,
    // A client that asks for handshake after handshake on one connection has us do all the work.
    secureOptions:
      constants.SSL_OP_NO_RENEGOTIATION | (options.sessionTickets ? 0 : constants.SSL_OP_NO_TICKET),
    sessionTimeout: options.sessionTimeoutSeconds,
    sessionIdContext: session.id.slice(0, 32), // as long as OpenSSL takes
    ticketKeys: Buffer.from(session.ticketKeys),
  });
}
