/** Certificates that are about to end, for the operator to hear of while there is time. */

import type { Logger } from "pino";
import { certificatesIn } from "../entities/certificates.ts";
import type { Certificate } from "../entities/entities.ts";

const SOON_MS = 14 * 86_400_000;

export interface Expiring {
  /** Whose: an entity's id, or the setting. */
  readonly certificate: string;
  readonly not_after: string;
  readonly expired: boolean;
}

/** What may end: a certificate with its chain, and perhaps one of another kind of key. */
export type Ending = Pick<Certificate, "id" | "cert" | "cert_alt">;

/** Warns of each that has ended or will soon. */
export function warnOfEnds(log: Pick<Logger, "warn">, certificates: readonly Ending[]): void {
  for (const one of expiring(certificates))
    log.warn({ ...one }, one.expired ? "a certificate has expired" : "a certificate expires soon");
}

/** Those of the certificates, each with its chain, that have ended or will within two weeks. */
export function expiring(certificates: readonly Ending[]): Expiring[] {
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
