/** Certificates and authorities that services name, by id. Never changed, replaced whole. */
import type { CaCertificate, Certificate } from "../entities/entities.ts";
import type { KeyPair } from "./contexts.ts";

/** What of a change of the configuration is read here. */
interface KeysChange {
  readonly put: {
    readonly certificates: readonly Certificate[];
    readonly ca_certificates: readonly CaCertificate[];
  };
  readonly removed: { readonly certificates: readonly string[]; readonly ca_certificates: readonly string[] };
}

export class UpstreamKeys {
  static readonly none = new UpstreamKeys(new Map(), new Map());
  readonly #certificates: ReadonlyMap<string, KeyPair>;
  readonly #authorities: ReadonlyMap<string, string>;

  private constructor(certificates: ReadonlyMap<string, KeyPair>, authorities: ReadonlyMap<string, string>) {
    this.#certificates = certificates;
    this.#authorities = authorities;
  }

  next({ put, removed }: KeysChange): UpstreamKeys {
    const lists = [put.certificates, put.ca_certificates, removed.certificates, removed.ca_certificates];
    if (lists.every((list) => list.length === 0)) return this;
    const certificates = new Map(this.#certificates);
    const authorities = new Map(this.#authorities);
    for (const id of removed.certificates) certificates.delete(id);
    for (const id of removed.ca_certificates) authorities.delete(id);
    for (const { id, cert, key } of put.certificates) certificates.set(id, { cert, key });
    for (const { id, cert } of put.ca_certificates) authorities.set(id, cert);
    return new UpstreamKeys(certificates, authorities);
  }

  /** @throws {Error} if it is not there, which loading has seen to */
  certificate(id: string): KeyPair {
    const found = this.#certificates.get(id);
    if (found === undefined) throw new Error(`certificate ${id} is not there`);
    return found;
  }

  /** PEM of authorities. @throws {Error} if one is not there, which loading has seen to */
  authorities(ids: readonly string[]): readonly string[] {
    return ids.map((id) => {
      const found = this.#authorities.get(id);
      if (found === undefined) throw new Error(`ca_certificate ${id} is not there`);
      return found;
    });
  }
}
