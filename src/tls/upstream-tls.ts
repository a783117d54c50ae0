/**
 * TLS towards one place of an upstream: whom to trust, which certificate to show, which name to ask for and to
 * verify. Connections whose parameters differ in anything never serve each other's requests: `id` tells them apart.
 */
import { hash } from "node:crypto";
import {
  checkServerIdentity,
  connect,
  createSecureContext,
  type PeerCertificate,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import type { KeyPair } from "./contexts.ts";

export interface UpstreamTlsOptions {
  /** Name sent as SNI and verified in the certificate; null for an address. */
  readonly servername: string | null;
  readonly verify: boolean;
  /** Certificates of authorities that may stand between the upstream's and a trusted one; null for any number. */
  readonly depth: number | null;
  /** PEM of the authorities to trust; null for the runtime's own. */
  readonly ca: readonly string[] | null;
  /** What the gateway shows of itself; null for nothing. */
  readonly client: KeyPair | null;
}

/** Contexts by what they hold: many places share one, and reading authorities takes its time. */
const contexts = new Map<string, WeakRef<SecureContext>>();
const unused = new FinalizationRegistry<string>((id) => {
  if (contexts.get(id)?.deref() === undefined) contexts.delete(id);
});
/** Digests of sets of authorities: their text is long, and the same one is asked for again and again. */
const digests = new WeakMap<readonly string[], string>();

export class UpstreamTls {
  /** Equal for equal parameters. Holds no secret. */
  readonly id: string;
  readonly #options: UpstreamTlsOptions;
  readonly #contextId: string;
  #context: SecureContext | null = null;
  /** The session that the upstream gave last: a new connection resumes it. */
  #session: Buffer | null = null;

  constructor(options: UpstreamTlsOptions) {
    const { servername, verify, depth, ca, client } = options;
    this.#options = options;
    this.#contextId = `${ca === null ? "" : digest(ca)} ${client === null ? "" : hash("sha256", JSON.stringify(client))}`;
    this.id = JSON.stringify([servername, verify, depth, this.#contextId]);
  }

  /** Opens a connection; verified by the time of `secureConnect`, or it ends in an error. */
  connect(address: string, port: number): TLSSocket {
    const { servername, verify, depth } = this.#options;
    this.#context ??= this.#shared();
    const socket = connect({
      host: address,
      port,
      ALPNProtocols: ["http/1.1"],
      secureContext: this.#context,
      rejectUnauthorized: verify,
      ...(servername === null ? {} : { servername }),
      ...(this.#session === null ? {} : { session: this.#session }),
      checkServerIdentity: (name, certificate) =>
        checkServerIdentity(name, certificate) ??
        (depth === null ? undefined : checkDepth(certificate, depth)),
    });
    socket.on("session", (session) => {
      this.#session = session;
    });
    // One that is refused, or leads nowhere, is not tried again.
    socket.once("error", () => {
      this.#session = null;
    });
    return socket;
  }

  #shared(): SecureContext {
    const known = contexts.get(this.#contextId)?.deref();
    if (known !== undefined) return known;
    const { ca, client } = this.#options;
    const context = createSecureContext({
      ...(ca === null ? {} : { ca: [...ca] }),
      ...(client === null ? {} : { cert: client.cert, key: client.key }),
    });
    contexts.set(this.#contextId, new WeakRef(context));
    unused.register(context, this.#contextId);
    return context;
  }
}

function digest(ca: readonly string[]): string {
  let known = digests.get(ca);
  if (known === undefined) {
    known = hash("sha256", JSON.stringify(ca));
    digests.set(ca, known);
  }
  return known;
}

/** As OpenSSL counts: neither the upstream's own certificate nor the one that is trusted. */
function checkDepth(certificate: PeerCertificate, most: number): Error | undefined {
  let between = -1;
  type Issued = PeerCertificate & { issuerCertificate?: Issued };
  for (let at: Issued | undefined = certificate; at !== undefined; at = at.issuerCertificate) {
    if (at.issuerCertificate === at || at.issuerCertificate === undefined) break;
    between++;
    if (between > most) return new Error(`certificate chain longer than tls_verify_depth ${most} allows`);
  }
  return undefined;
}
