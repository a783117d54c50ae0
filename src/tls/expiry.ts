/** Certificates that are about to end, for the operator to hear of while there is time. */

import { certificatesIn } from "../entities/certificates.ts";
import type { Certificate } from "../entities/entities.ts";

const SOON_MS = 14 * 86_400_000;

export interface Expiring {
  /** Whose: an entity's id, or the setting. */
  readonly certificate: string;
  readonly not_after: string;
  readonly expired: boolean;
}

/** Those of the certificates, each with its chain, that have ended or will within two weeks. */
export function expiring(certificates: readonly Pick<Certificate, "id" | "cert" | "cert_alt">[]): Expiring[] {
  const now = Date.now();
  return certificates.flatMap(({ id, cert, cert_alt: alt }) => {
    const ends = [cert, alt]
      .flatMap((pem) => (pem === null ? [] : certificatesIn(pem)))
      .map(({ validTo }) => Date.parse(validTo));
    const first = Math.min(...ends);
    if (first > now + SOON_MS) return [];
    return [{ certificate: id, not_after: new Date(first).toISOString(), expired: first < now }];
  });
}
