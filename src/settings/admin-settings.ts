/** Settings of the Admin API: where it listens, who may ask, and how it speaks TLS. */
import { resolve } from "node:path";
import { array, boolean, integer, string } from "@gatehouse/sdk";
import { type CertificateRole, ROLES } from "../access/standing.ts";
import { isLoopback, readHostName, readOrigin, readTlsListeners, UnreadableValue } from "./addresses.ts";
import { plain, read } from "./setting.ts";

export const ADMIN_SETTINGS = {
  admin_listen: read(
    array(string(), {
      default: ["127.0.0.1:8001"],
      lenMin: 1,
      description:
        "Addresses of the Admin API, `ip:port`, optionally `ssl`; or `off`. One that other machines can reach needs " +
        "`admin_auth: on`, or `ssl` and `admin_client_ca`; and `ssl`, or `admin_plaintext`. See docs/admin-security.md.",
    }),
    readTlsListeners,
  ),
  admin_auth: plain(
    string({
      default: "auto",
      oneOf: ["auto", "on", "off"],
      description:
        "Whether requests to the Admin API need a token. `auto`: as soon as a store has another workspace than " +
        "`default`; where a file or `POST /config` is the configuration, never. `off`: never, and no second workspace.",
    }),
  ),
  admin_plaintext: plain(
    boolean({
      default: false,
      description:
        "Whether the Admin API may listen without TLS where other machines can reach it: tokens and keys can be read on " +
        "the way, unless something else encrypts it.",
    }),
  ),
  admin_ssl_cert: read(
    string({
      description:
        "Path of the certificate (PEM, with its chain) of `ssl` addresses of `admin_listen`. The default is the " +
        "self-signed one under `prefix`.",
    }),
    (path, { directory }) => path && resolve(directory, path),
  ),
  admin_ssl_cert_key: read(
    string({ description: "Path of the key of `admin_ssl_cert`." }),
    (path, { directory }) => path && resolve(directory, path),
  ),
  admin_client_ca: read(
    string({
      description:
        "Path of the authorities (PEM) of clients: `ssl` addresses of `admin_listen` let nobody in without a certificate " +
        "of one of them. A token is asked for besides, where one is, unless `admin_client_roles` names the certificate.",
    }),
    (path, { directory }) => path && resolve(directory, path),
  ),
  admin_client_roles: read(
    array(string({ lenMax: 256 }), {
      default: [],
      lenMax: 1000,
      description:
        "Certificates that count as a token: `<SHA-256 of the certificate>=<role>`, for one workspace alone " +
        "`…=<role>@<workspace>`; the roles are viewer, author, admin, owner.",
    }),
    (entries) => entries.map(readCertificateRole),
  ),
  admin_allowed_hosts: read(
    array(string(), {
      default: [],
      description:
        "Names under which the Admin API answers besides localhost and its own address (`Host`, without port).",
    }),
    (entries) => entries.map(readHostName),
  ),
  admin_allowed_origins: read(
    array(string(), {
      default: [],
      description: "Web origins whose pages may use the Admin API, such as `https://console.example.com`.",
    }),
    (entries) => entries.map(readOrigin),
  ),
  audit_log_days: plain(
    integer({
      default: 90,
      between: [1, 3650],
      description: "Days for which the store keeps the audit log of the Admin API.",
    }),
  ),
} as const;

/** `AB:CD:…=admin@workspace`. @throws {UnreadableValue} */
function readCertificateRole(text: string): CertificateRole {
  const [, written = "", role, workspace] =
    /^([0-9a-fA-F:]+)=([a-z]+)(?:@([a-z0-9][a-z0-9_-]{0,63}))?$/.exec(text) ?? [];
  const fingerprint = written.replaceAll(":", "").toLowerCase();
  const known = ROLES.find((one) => one === role);
  if (fingerprint.length !== 64 || known === undefined)
    throw new UnreadableValue(
      `'${text}' is no certificate with a role; write <SHA-256 in hexadecimal>=<role>[@<workspace>], with one of the ` +
        `roles ${ROLES.join(", ")}`,
    );
  return { fingerprint, role: known, workspace: workspace ?? null };
}

interface AdminTogether {
  readonly adminListen: readonly { readonly host: string; readonly port: number; readonly ssl: boolean }[];
  readonly adminAuth: string;
  readonly adminPlaintext: boolean;
  readonly adminSslCert: string | null;
  readonly adminSslCertKey: string | null;
  readonly adminClientCa: string | null;
  readonly adminClientRoles: readonly CertificateRole[];
}

/** What the settings of the Admin API may not say together. */
export function* adminContradictions(settings: AdminTogether): Generator<string> {
  const { adminListen, adminAuth, adminClientCa: ca } = settings;
  for (const { host, port, ssl } of adminListen) {
    if (isLoopback(host)) continue;
    const where = `admin_listen: '${host}:${port}' can be reached from other machines`;
    if (adminAuth !== "on" && !(ssl && ca !== null))
      yield `${where}, and nobody has to say who they are there; set admin_auth to on, or ask for client certificates ` +
        "(ssl and admin_client_ca), or use a loopback address (127.0.0.1 or [::1]) and reach it through a tunnel";
    if (!ssl && !settings.adminPlaintext)
      yield `${where}, where tokens and keys could be read on the way; add 'ssl' to it, or set admin_plaintext to on if ` +
        "something else encrypts what goes there";
  }
  if ((settings.adminSslCert === null) !== (settings.adminSslCertKey === null))
    yield "admin_ssl_cert: goes with admin_ssl_cert_key; set both, or neither for a self-signed certificate";
  if (ca !== null && adminListen.length > 0 && !adminListen.some(({ ssl }) => ssl))
    yield "admin_client_ca: nobody can show a certificate without TLS; add 'ssl' to an address of admin_listen";
  if (settings.adminClientRoles.length > 0 && ca === null)
    yield "admin_client_roles: no certificate is asked for; set admin_client_ca to the authorities of the clients";
}
