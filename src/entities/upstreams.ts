/** upstreams, virtual hosts that balance over targets, and the targets. Fields, defaults and rules are Kong's. */
import {
  array,
  boolean,
  foreign,
  integer,
  map,
  number,
  type RecordCheck,
  record,
  set,
  string,
} from "@gatehouse/sdk";
import { checkToken, headerName, id, MAX_TEXT, path, tags, text, timestamp } from "./fields.ts";
import { checkHost, checkHostWithPort, parseHost } from "./hosts.ts";

const HASH_ON = ["none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"] as const;
const CHECK_TYPES = ["tcp", "http", "https", "grpc", "grpcs"] as const;
const counter = () => integer({ default: 0, between: [0, 255] });
const seconds = (standard: number) => number({ default: standard, between: [0, 65_535] });
const statuses = (standard: readonly number[]) =>
  set(integer({ between: [100, 999] }), { default: standard });

/** The fields that kinds of hashing need beside them. A cookie as fallback uses the primary's field. */
function companions(field: string): RecordCheck[] {
  return ["header", "cookie", "query_arg", "uri_capture"].map((kind) => ({
    kind: "conditional",
    ifField: field,
    ifMatch: { oneOf: [kind] },
    thenField: kind === "cookie" ? "hash_on_cookie" : `${field}_${kind}`,
    thenMatch: { required: true },
  }));
}

/** What may follow a kind of hashing that finds nothing to hash. */
function fallbackOf(primary: string, allowed: readonly string[]): RecordCheck {
  return {
    kind: "conditional",
    ifField: "hash_on",
    ifMatch: { oneOf: [primary] },
    thenField: "hash_fallback",
    thenMatch: { oneOf: allowed },
  };
}

const active = record(
  {
    type: string({ default: "http", oneOf: CHECK_TYPES }),
    timeout: seconds(1),
    concurrency: integer({ default: 10, between: [1, 2 ** 31] }),
    http_path: path({ default: "/" }),
    https_sni: string({ lenMax: MAX_TEXT, check: checkHost }),
    https_verify_certificate: boolean({ required: true, default: true }),
    headers: map(array(text()), { keys: headerName() }),
    healthy: record(
      { interval: seconds(0), http_statuses: statuses([200, 302]), successes: counter() },
      { required: true },
    ),
    unhealthy: record(
      {
        interval: seconds(0),
        http_statuses: statuses([429, 404, 500, 501, 502, 503, 504, 505]),
        tcp_failures: counter(),
        timeouts: counter(),
        http_failures: counter(),
      },
      { required: true },
    ),
  },
  { required: true },
);

const passive = record(
  {
    type: string({ default: "http", oneOf: CHECK_TYPES }),
    healthy: record(
      {
        http_statuses: statuses([
          200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 306, 307, 308,
        ]),
        successes: counter(),
      },
      { required: true },
    ),
    unhealthy: record(
      {
        http_statuses: statuses([429, 500, 503]),
        tcp_failures: counter(),
        timeouts: counter(),
        http_failures: counter(),
      },
      { required: true },
    ),
  },
  { required: true },
);

export const upstreamSchema = record(
  {
    id: id(),
    created_at: timestamp(),
    updated_at: timestamp(),
    name: string({
      required: true,
      unique: true,
      lenMax: MAX_TEXT,
      check: checkUpstreamName,
      description: "What services name as their host.",
    }),
    algorithm: string({
      default: "round-robin",
      oneOf: ["consistent-hashing", "least-connections", "round-robin", "latency"],
      description: "How a target is chosen.",
    }),
    hash_on: string({ default: "none", oneOf: HASH_ON, description: "What is hashed to choose a target." }),
    hash_fallback: string({
      default: "none",
      oneOf: HASH_ON,
      description: "What is hashed where that is not there.",
    }),
    hash_on_header: headerName(),
    hash_fallback_header: headerName(),
    hash_on_cookie: string({ lenMax: 1024, check: checkToken }),
    hash_on_cookie_path: path({ default: "/" }),
    hash_on_query_arg: text(),
    hash_fallback_query_arg: text(),
    hash_on_uri_capture: text(),
    hash_fallback_uri_capture: text(),
    slots: integer({ default: 10_000, between: [10, 65_536], description: "Points of the ring of hashes." }),
    healthchecks: record(
      { active, passive, threshold: number({ default: 0, between: [0, 100] }) },
      { required: true },
    ),
    tags: tags(),
    host_header: string({
      lenMax: MAX_TEXT,
      check: checkHostWithPort,
      description: "The Host that targets see.",
    }),
    client_certificate: foreign("certificates", { description: "What targets are shown." }),
    use_srv_name: boolean({
      default: false,
      description: "Whether targets see the name of their SRV record as Host.",
    }),
  },
  {
    checks: [
      ...companions("hash_on"),
      ...companions("hash_fallback"),
      ...(["none", "cookie"] as const).map((kind) => fallbackOf(kind, ["none"])),
      // A second hash of the same would say nothing new.
      ...(["consumer", "ip", "path"] as const).map((kind) =>
        fallbackOf(
          kind,
          HASH_ON.filter((other) => other !== kind),
        ),
      ),
      ...["header", "query_arg", "uri_capture"].map(
        (kind): RecordCheck => ({
          kind: "distinct",
          fields: [`hash_on_${kind}`, `hash_fallback_${kind}`],
        }),
      ),
    ],
  },
);

export const targetSchema = record({
  id: id(),
  created_at: number({
    timestamp: true,
    auto: true,
    description: "Seconds since the epoch, with milliseconds.",
  }),
  updated_at: number({
    timestamp: true,
    auto: true,
    description: "Seconds since the epoch, with milliseconds.",
  }),
  upstream: foreign("upstreams", { required: true, onDelete: "cascade" }),
  target: string({
    required: true,
    lenMax: MAX_TEXT,
    check: checkHostWithPort,
    description: "`host[:port]`; the port is 8000 when absent.",
  }),
  weight: integer({ default: 100, between: [0, 65_535], description: "0 takes it out of rotation." }),
  tags: tags(),
});

/** The port that a target without one is written with. */
const TARGET_PORT = 8000;

/** `host[:port]` as it is kept: lower-case, always with a port. */
export function normalizeTarget(target: string): string {
  const parts = parseHost(target);
  if (typeof parts === "string") return target;
  const host = parts.kind === "ipv6" ? `[${parts.host}]` : parts.host;
  return `${host}:${parts.port ?? TARGET_PORT}`;
}

function checkUpstreamName(name: string): string | undefined {
  const parts = parseHost(name);
  if (typeof parts === "string") return "Invalid name; must be a valid hostname";
  if (parts.kind !== "name") return "Invalid name; no ip addresses allowed";
  return parts.port === null ? undefined : "Invalid name; no port allowed";
}

/**
 * Hashing and algorithm imply each other: hashing makes the algorithm consistent-hashing; without it, a
 * consistent-hashing that was not asked for beside it is round-robin.
 */
export function alignHashing(upstream: Record<string, unknown>): void {
  const { hash_on: hashOn, algorithm } = upstream;
  if (algorithm === "least-connections" || algorithm === "latency") upstream.hash_on = undefined;
  else if (typeof hashOn === "string" && hashOn !== "none") upstream.algorithm = "consistent-hashing";
  else if (hashOn === "none" && algorithm === undefined) upstream.algorithm = "round-robin";
}
