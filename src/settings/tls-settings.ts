/** Settings of TLS at listeners and towards upstreams, by Kong's names. */
import { resolve } from "node:path";
import { array, boolean, string } from "@gatehouse/sdk";
import { plain, read } from "./setting.ts";
import { CIPHER_SUITES, readProtocols, readSeconds } from "./tls.ts";

export const TLS_SETTINGS = {
  ssl_cert: read(
    array(string(), {
      default: [],
      description:
        "Paths of the certificates (PEM, with their chains) for names that no entity has one for: one, or one each " +
        "of two kinds of key. The default is a self-signed one, made under `prefix`.",
    }),
    (entries, { directory }) => entries.map((entry) => resolve(directory, entry)),
  ),
  ssl_cert_key: read(
    array(string(), { default: [], description: "Paths of the keys of `ssl_cert`, in the same order." }),
    (entries, { directory }) => entries.map((entry) => resolve(directory, entry)),
  ),
  ssl_protocols: read(
    string({ default: "TLSv1.2 TLSv1.3", description: "Versions of TLS that listeners speak." }),
    readProtocols,
  ),
  ssl_cipher_suite: plain(
    string({
      default: "intermediate",
      oneOf: ["modern", "intermediate", "custom"],
      description:
        "Ciphers of listeners, by Mozilla's names: `modern` is TLS 1.3 alone, `custom` what `ssl_ciphers` says.",
    }),
  ),
  ssl_ciphers: plain(
    string({
      default: CIPHER_SUITES.intermediate,
      lenMax: 4096,
      description: "Ciphers of listeners in OpenSSL's words, where `ssl_cipher_suite` is `custom`.",
    }),
  ),
  ssl_prefer_server_ciphers: plain(
    boolean({
      default: true,
      description: "Whether the order of the listener's ciphers decides, not the client's.",
    }),
  ),
  ssl_session_tickets: plain(
    boolean({
      default: true,
      description: "Whether clients may resume sessions, by tickets that all data threads know.",
    }),
  ),
  ssl_session_timeout: read(
    string({
      default: "1d",
      description:
        "Time for which a session may be resumed: `1d`, `10m` or seconds. Ticket keys live as long.",
    }),
    readSeconds,
  ),
  client_ssl: plain(
    boolean({
      default: false,
      description:
        "Whether `client_ssl_cert` is shown to `https` upstreams whose service names no certificate.",
    }),
  ),
  client_ssl_cert: read(
    string({ description: "Path of the certificate (PEM) for upstreams, where `client_ssl` is on." }),
    (path, { directory }) => path && resolve(directory, path),
  ),
  client_ssl_cert_key: read(
    string({ description: "Path of the key of `client_ssl_cert`." }),
    (path, { directory }) => path && resolve(directory, path),
  ),
  lua_ssl_trusted_certificate: read(
    array(string(), {
      default: ["system"],
      lenMin: 1,
      description: "Certificate authorities trusted for upstream TLS: `system`, paths of PEM files, or both.",
    }),
    (entries, { directory }) =>
      entries.map((entry) => (entry === "system" ? entry : resolve(directory, entry))),
  ),
} as const;
