/**
 * Which certificate a listener shows to whom: by the name that the client asks for, as Kong looks it up. The exact
 * name, the name with a `*` for its first label, with a `*` for its last one, `*`, and then the certificate of the
 * settings.
 *
 * Never changed, replaced whole; contexts are made at the first handshake that needs them.
 */
import type { SecureContext } from "node:tls";
import type { Certificate, Sni } from "../entities/entities.ts";
import type { Contexts, KeyPair } from "./contexts.ts";

export type ContextFor = (serverName: string | null) => SecureContext;

/** What of a change of the configuration is read here. */
export interface CertificateChange {
  readonly put: { readonly certificates: readonly Certificate[]; readonly snis: readonly Sni[] };
  readonly removed: { readonly certificates: readonly string[]; readonly snis: readonly string[] };
}

export class Certificates {
  readonly #contexts: Contexts;
  readonly #fallback: Held;
  readonly #certificates: ReadonlyMap<string, Held>;
  readonly #snis: ReadonlyMap<string, Sni>;
  readonly #byName: ReadonlyMap<string, Held>;

  private constructor(
    contexts: Contexts,
    fallback: Held,
    certificates: ReadonlyMap<string, Held>,
    snis: ReadonlyMap<string, Sni>,
  ) {
    this.#contexts = contexts;
    this.#fallback = fallback;
    this.#certificates = certificates;
    this.#snis = snis;
    this.#byName = new Map(
      [...snis.values()].flatMap(({ name, certificate }) => {
        const held = certificates.get(certificate.id);
        return held === undefined ? [] : [[name.toLowerCase(), held]];
      }),
    );
  }

  /** None but the one that `fallback` holds, for every name. */
  static only(contexts: Contexts, fallback: readonly KeyPair[]): Certificates {
    return new Certificates(contexts, new Held(contexts, fallback, ""), new Map(), new Map());
  }

  /** The certificates after a change. */
  next({ put, removed }: CertificateChange): Certificates {
    const touched = [put.certificates, put.snis, removed.certificates, removed.snis];
    if (touched.every((list) => list.length === 0)) return this;
    const certificates = new Map(this.#certificates);
    const snis = new Map(this.#snis);
    for (const id of removed.certificates) certificates.delete(id);
    for (const id of removed.snis) snis.delete(id);
    for (const one of put.certificates)
      certificates.set(one.id, new Held(this.#contexts, pairsOf(one), one.ws_id));
    for (const sni of put.snis) snis.set(sni.id, sni);
    return new Certificates(this.#contexts, this.#fallback, certificates, snis);
  }

  /** The same with another certificate for names that have none. */
  withFallback(fallback: readonly KeyPair[]): Certificates {
    const held = new Held(this.#contexts, fallback, "");
    return new Certificates(this.#contexts, held, this.#certificates, this.#snis);
  }

  contextFor(serverName: string | null): SecureContext {
    return (this.#find(serverName) ?? this.#fallback).context;
  }

  #find(name: string | null): Held | undefined {
    const names = this.#byName;
    if (names.size === 0) return undefined;
    if (name === null) return names.get("*");
    return (
      names.get(name) ??
      names.get(`*${name.slice(name.indexOf(".") >>> 0)}`) ??
      names.get(`${name.slice(0, name.lastIndexOf(".") + 1)}*`) ??
      names.get("*")
    );
  }
}

/** A certificate whose context is made when somebody asks for it. */
class Held {
  readonly #contexts: Contexts;
  readonly #pairs: readonly KeyPair[];
  readonly #owner: string;
  #context: SecureContext | null = null;

  constructor(contexts: Contexts, pairs: readonly KeyPair[], owner: string) {
    this.#contexts = contexts;
    this.#pairs = pairs;
    this.#owner = owner;
  }

  get context(): SecureContext {
    this.#context ??= this.#contexts.context(this.#pairs, this.#owner);
    return this.#context;
  }
}

/** The certificate of an entity, and its second one if it has one. */
export function pairsOf({ cert, key, cert_alt, key_alt }: Certificate): KeyPair[] {
  const first = { cert, key };
  return cert_alt === null || key_alt === null ? [first] : [first, { cert: cert_alt, key: key_alt }];
}
