/** services: where requests go. Fields, defaults and rules are Kong's; `enabled: false` takes its routes along. */
import {
  array,
  boolean,
  foreign,
  integer,
  type Match,
  type RecordCheck,
  record,
  string,
} from "@gatehouse/sdk";
import { id, MAX_TEXT, name, PROTOCOLS, path, port, tags, timeout, timestamp, uuid } from "./fields.ts";
import { checkHost } from "./hosts.ts";

export const serviceSchema = record(
  {
    id: id(),
    created_at: timestamp(),
    updated_at: timestamp(),
    name: name({ description: "The name of the service." }),
    retries: integer({ default: 5, between: [0, 32_767], description: "Further attempts after a failure." }),
    protocol: string({
      required: true,
      default: "http",
      oneOf: PROTOCOLS,
      description: "What upstreams are spoken to in.",
    }),
    host: string({
      required: true,
      lenMax: MAX_TEXT,
      check: checkHost,
      description: "A host name, an address, or the name of an upstream.",
    }),
    port: integer({ ...port, required: true, default: 80, description: "Where the upstream listens." }),
    path: path({ description: "Put before the path of each request." }),
    connect_timeout: timeout(60_000),
    write_timeout: timeout(60_000),
    read_timeout: timeout(60_000),
    tags: tags(),
    client_certificate: foreign("certificates", { description: "What upstreams are shown." }),
    tls_verify: boolean({ description: "Whether the upstream's certificate is verified." }),
    tls_verify_depth: integer({ between: [0, 64], description: "Longest chain that is followed." }),
    ca_certificates: array(uuid(), { description: "Ids of authorities that may vouch for it." }),
    enabled: boolean({
      required: true,
      default: true,
      description: "Whether it and its routes are there at all.",
    }),
  },
  {
    checks: [
      nullIf({ oneOf: ["tcp", "tls", "udp", "grpc", "grpcs"] }, "path"),
      ...["client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates"].map((field) =>
        nullIf({ notOneOf: ["https", "tls"] }, field),
      ),
    ],
  },
);

/** Some fields mean nothing for some protocols. */
function nullIf(ifMatch: Match, thenField: string): RecordCheck {
  return { kind: "conditional", ifField: "protocol", ifMatch, thenField, thenMatch: { eq: null } };
}

/**
 * Takes the `url` shorthand apart: `url` → protocol, host, port, path. Returns the fields it stands for, or
 * what is wrong with it.
 */
export function expandServiceUrl(url: unknown): Record<string, string | number> | string {
  if (typeof url !== "string") return "expected a string";
  const parts = /^([a-z][a-z0-9_+.-]*):\/\/([^/?#]*)([^?#]*)([?#].*)?$/i.exec(url);
  if (!parts) return "missing host in url";
  const [, scheme, authority, path, rest] = parts as unknown as [string, string, string, string, string?];
  if (authority === "") return "missing host in url";
  if (authority.includes("@")) return "must not hold a user name or password";
  if (rest !== undefined) return "must not have a query or a fragment";
  const protocol = scheme.toLowerCase();
  const split = /^(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}))?$/.exec(authority);
  if (!split) return `invalid port number in '${authority}'`;
  const host = split[1]!.replace(/^\[|\]$/g, "");
  const out: Record<string, string | number> = { protocol, host };
  out.port =
    split[2] === undefined ? (["https", "grpcs", "tls"].includes(protocol) ? 443 : 80) : Number(split[2]);
  if (path !== "") out.path = path;
  return out;
}
