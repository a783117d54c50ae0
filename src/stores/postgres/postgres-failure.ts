/** What PostgreSQL's and the network's errors mean to an operator: which server, what, and what to do. */
import { StoreUnavailable } from "../store.ts";

/** SQLSTATEs (PostgreSQL's appendix A), or their class of two letters. */
const STATES: Readonly<Record<string, string>> = {
  "28P01": "it refuses the password of the user; see `pg_user` and `pg_password`",
  "28": "it refuses the user; see `pg_user`, `pg_password` and the server's pg_hba.conf",
  "3D000": "it has no such database; create it, or see `pg_database`",
  "3F000": "it has no such schema: run 'gatehouse migrations up', or see `pg_schema`",
  "42P01": "its tables are missing: run 'gatehouse migrations up', or see `pg_schema`",
  "42703": "its tables are not as this version needs them: run 'gatehouse migrations status'",
  "42501": "the user lacks a right there; make it the owner of the schema, or give it the right",
  "25006": "it is read-only (a standby?); `pg_host` must name the primary",
  "53100": "its disk is full; nothing was written. Make room there; no restart is needed",
  "53300": "it takes no more connections; raise its max_connections, or lower `pg_max_concurrent_queries`",
  "53": "it is out of resources",
  "57014": "it took longer than `pg_timeout`",
  "55P03": "another transaction has held what is needed for longer than `pg_timeout`",
  "25P03": "this gateway was too slow in the middle of a transaction, which was given up",
  "57P01": "it is shutting down, or an administrator has ended the connection",
  "57P02": "it restarts after a crash",
  "57P03": "it is starting up or shutting down",
  "08": "the connection was lost",
  "58": "its disk fails; see its log",
  XX001: "its data are damaged; see its log, and put a backup in their place",
  XX002: "an index of its is damaged; see its log, and reindex",
};

const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there; is it running? See `pg_host` and `pg_port`",
  ENOENT: "there is no such socket; is it running? See `pg_host` and `pg_port`",
  EACCES: "this user may not use its socket",
  ENOTFOUND: "its name is not known; see `pg_host`",
  EAI_AGAIN: "its name cannot be looked up now",
  ETIMEDOUT: "it does not answer",
  EHOSTUNREACH: "there is no way to it",
  ENETUNREACH: "there is no way to it",
  ECONNRESET: "the connection was lost",
  EPIPE: "the connection was lost",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is not trusted; see `lua_ssl_trusted_certificate`",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is not trusted; see `lua_ssl_trusted_certificate`",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is not trusted; see `lua_ssl_trusted_certificate`",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is not trusted; see `lua_ssl_trusted_certificate`",
  CERT_HAS_EXPIRED: "its certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name than `pg_host`",
};

/** Messages of the client's own, which has no codes. */
const MESSAGES: readonly (readonly [RegExp, string])[] = [
  [/timeout|timed out/i, "it does not answer within `pg_timeout`"],
  [/connection terminated|not queryable|connection ended/i, "the connection was lost"],
  [/does not support SSL/i, "it does not speak TLS; see `pg_ssl`"],
  [/SASL|password/i, "it wants a password; see `pg_password`"],
];

/** An error of a query or connection as one for an operator; nothing of it is a secret. */
export function postgresFailure(error: unknown, place: string): StoreUnavailable {
  if (error instanceof StoreUnavailable) return error;
  // Of several addresses of a name, each fails in its own way; the first one's is as good as any.
  const one = error instanceof AggregateError ? error.errors[0] : error;
  const { code = "", message = "" } = one as { code?: string; message?: string };
  const meaning =
    STATES[code] ??
    NETWORK[code] ??
    (/^[0-9A-Z]{5}$/.test(code) ? STATES[code.slice(0, 2)] : undefined) ??
    MESSAGES.find(([pattern]) => pattern.test(message))?.[1] ??
    `${message || "it fails"}${code === "" ? "" : ` (${code})`}`;
  return new StoreUnavailable(`${place}: ${meaning}`);
}
