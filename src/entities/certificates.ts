/**
 * certificates, which listeners show to clients and services to their upstreams; snis, the names that they are
 * shown for; ca_certificates, authorities that upstreams are verified against. Fields and rules are Kong's.
 *
 * What is loaded is what OpenSSL takes: a certificate that cannot be read or whose key is another's is refused
 * here, not at the first handshake. Messages never quote a key.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { foreign, record, string } from "@gatehouse/sdk";
import { id, MAX_TEXT, tags, timestamp } from "./fields.ts";
import { checkHost, checkRouteHost } from "./hosts.ts";

/** Longest chain or key, in bytes. */
const MAX_PEM = 65_536;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

const certificate = {
  lenMax: MAX_PEM,
  referenceable: true,
  check: checkCertificate,
  description: "PEM, chain included.",
} as const;
const privateKey = {
  lenMax: MAX_PEM,
  referenceable: true,
  encrypted: true,
  check: checkKey,
  description: "PEM.",
} as const;

export const certificateSchema = record(
  {
    id: id(),
    created_at: timestamp(),
    updated_at: timestamp(),
    cert: string({ ...certificate, required: true }),
    key: string({ ...privateKey, required: true }),
    cert_alt: string(certificate),
    key_alt: string(privateKey),
    tags: tags(),
  },
  { checks: [{ kind: "custom", run: checkPairs }] },
);

export const sniSchema = record({
  id: id(),
  created_at: timestamp(),
  updated_at: timestamp(),
  name: string({
    required: true,
    unique: true,
    uniqueAcrossWs: true,
    lenMax: MAX_TEXT,
    check: checkSniName,
    description: "A name, `*.name`, `name.*`, or `*` for whoever asks for a name that is nobody's.",
  }),
  certificate: foreign("certificates", { required: true, onDelete: "cascade" }),
  tags: tags(),
});

export const caCertificateSchema = record({
  id: id(),
  created_at: timestamp(),
  updated_at: timestamp(),
  cert: string({ required: true, lenMax: MAX_PEM, check: checkAuthority, description: "PEM, exactly one." }),
  cert_digest: string({
    unique: true,
    lenMax: 64,
    description: "SHA-256 of the certificate, in hexadecimal.",
  }),
  tags: tags(),
});

/** The certificates of a PEM text. @throws {Error} if one of them is none */
export function certificatesIn(pem: string): X509Certificate[] {
  return (pem.match(CERTIFICATE) ?? []).map((text) => new X509Certificate(text));
}

/** SHA-256 of an authority's certificate as Kong writes it, or null if there is no such certificate. */
export function digestOf(pem: unknown): string | null {
  if (typeof pem !== "string" || checkCertificate(pem) !== undefined) return null;
  return (certificatesIn(pem)[0] as X509Certificate).fingerprint256.replaceAll(":", "").toLowerCase();
}

export function checkCertificate(pem: string): string | undefined {
  try {
    return certificatesIn(pem).length > 0 ? undefined : "invalid certificate: expected PEM text";
  } catch {
    return "invalid certificate: it cannot be read";
  }
}

function readKey(pem: string): KeyObject | null {
  try {
    return createPrivateKey(pem);
  } catch {
    return null;
  }
}

export function checkKey(pem: string): string | undefined {
  return readKey(pem) === null ? "invalid key: expected a private key as PEM text, not encrypted" : undefined;
}

function checkAuthority(pem: string): string | undefined {
  const wrong = checkCertificate(pem);
  if (wrong !== undefined) return wrong;
  const [authority, ...others] = certificatesIn(pem) as [X509Certificate, ...X509Certificate[]];
  if (others.length > 0) return "please submit only one certificate at a time";
  if (Date.parse(authority.validTo) < Date.now())
    return 'certificate expired, "Not After" time is in the past';
  return authority.ca
    ? undefined
    : 'certificate does not appear to be a CA because it is missing the "CA" basic constraint';
}

function checkPairs(entity: Record<string, unknown>): Record<string, string> | undefined {
  const { cert_alt: certAlt, key_alt: keyAlt } = entity;
  const present = (value: unknown) => value !== null && value !== undefined;
  if (present(certAlt) !== present(keyAlt))
    return {
      [present(certAlt) ? "key_alt" : "cert_alt"]: "required field missing",
      "@entity": "all or none of these fields must be set: 'cert_alt', 'key_alt'",
    };
  const wrong: Record<string, string> = {};
  const kinds = new Set<string>();
  for (const [certField, keyField] of [
    ["cert", "key"],
    ["cert_alt", "key_alt"],
  ] as const) {
    const { [certField]: cert, [keyField]: key } = entity;
    // Each of the two was judged for itself already.
    if (typeof cert !== "string" || typeof key !== "string") continue;
    if (checkCertificate(cert) !== undefined || checkKey(key) !== undefined) continue;
    const problem = checkPair(cert, key);
    if (problem !== undefined) wrong[keyField] = problem;
    kinds.add(createPrivateKey(key).asymmetricKeyType ?? "");
  }
  if (present(certAlt) && kinds.size === 1 && Object.keys(wrong).length === 0)
    wrong.cert_alt =
      "certificate and alternative certificate need to have different type (e.g. RSA and ECDSA)";
  return Object.keys(wrong).length > 0 ? wrong : undefined;
}

/** Whether a certificate and a key that are sound each serve together; else what is wrong. */
export function checkPair(cert: string, key: string): string | undefined {
  const [leaf] = certificatesIn(cert) as [X509Certificate];
  if (!leaf.checkPrivateKey(createPrivateKey(key))) return "certificate does not match key";
  try {
    createSecureContext({ cert, key, ca: [] });
    return undefined;
  } catch (error) {
    // OpenSSL's reasons name rules such as "ee key too small", and quote nothing.
    return `certificate and key cannot be used: ${(error as { reason?: string }).reason ?? "OpenSSL refuses them"}`;
  }
}

function checkSniName(name: string): string | undefined {
  if (name === "*") return undefined;
  return name.includes("*") ? checkRouteHost(name) : checkHost(name);
}
