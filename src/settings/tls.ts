/** What settings say of TLS: protocols, suites of ciphers by Mozilla's names as in Kong, spans of time. */
import { UnreadableValue } from "./addresses.ts";

const PROTOCOLS = ["TLSv1.2", "TLSv1.3"] as const;
type Protocol = (typeof PROTOCOLS)[number];

/** The oldest and the newest version that is spoken. */
export interface ProtocolRange {
  readonly minVersion: Protocol;
  readonly maxVersion: Protocol;
}

/** `TLSv1.2 TLSv1.3`, with spaces or commas. @throws {UnreadableValue} */
export function readProtocols(text: string): ProtocolRange {
  const wanted = text.split(/[\s,]+/).filter((name) => name !== "");
  for (const name of wanted) {
    if (!(PROTOCOLS as readonly string[]).includes(name))
      throw new UnreadableValue(
        `'${name}' is not served; allowed: ${PROTOCOLS.join(", ")} (older versions are deprecated by RFC 8996)`,
      );
  }
  const known = PROTOCOLS.filter((name) => wanted.includes(name));
  if (known.length === 0) throw new UnreadableValue(`names no version; allowed: ${PROTOCOLS.join(", ")}`);
  return { minVersion: known[0] as Protocol, maxVersion: known.at(-1) as Protocol };
}

const TLS13 = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";

/** Ciphers of Mozilla's server side TLS guidelines 5.7, in OpenSSL's words. */
export const CIPHER_SUITES = {
  modern: TLS13,
  intermediate: [
    TLS13,
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
  ].join(":"),
} as const;

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
/** The longest life of a ticket (RFC 8446 section 4.6.1). */
const MAX_SECONDS = 7 * 86_400;

/** `1d`, `10m` or a number of seconds. @throws {UnreadableValue} */
export function readSeconds(text: string): number {
  const parts = /^(\d{1,7})([smhd]?)$/.exec(text);
  const seconds = parts ? Number(parts[1]) * UNITS[(parts[2] || "s") as keyof typeof UNITS] : 0;
  if (seconds < 1 || seconds > MAX_SECONDS)
    throw new UnreadableValue(`'${text}' is not a time from 1s to 7d; write 1d, 12h, 30m or 600s`);
  return seconds;
}
