/** Whom a token or certificate makes of its bearer. What that lets them do is in `roles.ts`. */

/** From the least on: each may do what those before it may. */
export const ROLES = ["viewer", "author", "admin", "owner"] as const;
export type Role = (typeof ROLES)[number];

export interface Standing {
  readonly role: Role;
  /** Name of the only workspace that it counts in; null for all. */
  readonly workspace: string | null;
}

/** A certificate that stands for a role: setting `admin_client_roles`. */
export interface CertificateRole extends Standing {
  /** SHA-256 of the certificate, 64 hexadecimal digits in lower case. */
  readonly fingerprint: string;
}
