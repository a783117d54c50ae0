/**
 * Every setting, once: its name, type, default, what it is for, and how its value is read. Validation, flags,
 * environment variables, the `Settings` type and the reference docs all come from this table. Those of TLS, of
 * PostgreSQL, of guests and those that bound clients are in files beside it.
 *
 * Names, meanings and defaults are Kong's where Kong has the setting.
 */
import { availableParallelism } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { array, boolean, integer, number, string } from "@gatehouse/sdk";
import { checkNetwork } from "../egress/networks.ts";
import { readAddress, readListeners, readNetwork, readProxyListeners, UnreadableValue } from "./addresses.ts";
import { ADMIN_SETTINGS } from "./admin-settings.ts";
import { CLIENT_SETTINGS } from "./client-settings.ts";
import { GUEST_SETTINGS } from "./guest-settings.ts";
import { POSTGRES_SETTINGS } from "./postgres-settings.ts";
import { expandHeaders, RESPONSE_HEADERS } from "./response-headers.ts";
import { DAY_MS, MIB, plain, type ReadContext, read, timeout } from "./setting.ts";
import { TLS_SETTINGS } from "./tls-settings.ts";

export type { Listen, ProxyListen, TlsListen } from "./addresses.ts";
export type { ResponseHeader } from "./response-headers.ts";
export type { Setting } from "./setting.ts";

/** At most as many as are worth a look at every new address. */
const networks = (description: string) =>
  plain(array(string({ lenMax: 64, check: checkNetwork }), { default: [], lenMax: 1000, description }));

export const SETTINGS = {
  proxy_listen: read(
    array(string(), {
      default: ["0.0.0.0:8000", "0.0.0.0:8443 ssl"],
      lenMin: 1,
      description:
        "Addresses of the proxy: `ip:port`, optionally `ssl`, `proxy_protocol`, `reuseport` or `backlog=N`; `off` for none.",
    }),
    readProxyListeners,
  ),
  ...ADMIN_SETTINGS,
  status_listen: read(
    array(string(), {
      default: ["127.0.0.1:8007"],
      lenMin: 1,
      description: "Addresses of the Status API (`/status`, `/status/ready`, `/metrics`), or `off`.",
    }),
    readListeners,
  ),
  prefix: read(
    string({ default: "./.gatehouse", description: "Working directory: artifacts, logs, `ports.json`." }),
    (_, { prefix }) => prefix,
  ),
  database: read(
    string({
      oneOf: ["sqlite", "postgres", "off"],
      description:
        "Where entities are kept. `sqlite`: in a file under `prefix`; `postgres`: in the server of `pg_host`, which several " +
        "gateways may share; `off`: in the declarative configuration alone. The default is `off` with a " +
        "`declarative_config`, `sqlite` without. See docs/stores.md.",
    }),
    readDatabase,
  ),
  declarative_config: read(
    string({ description: "Path of the declarative configuration; also `start --config FILE`." }),
    (path, { directory }) => path && resolve(directory, path),
  ),
  data_threads: read(
    integer({
      between: [1, 1024],
      description: "Threads that carry traffic. The default, also written `auto`, is one per core.",
    }),
    (count) => count ?? Math.min(availableParallelism(), 1024),
    { aliases: ["nginx_worker_processes"] },
  ),
  thread_hang_ms: read(
    integer({
      default: 500,
      between: [0, DAY_MS],
      description:
        "Time without a sign of life, of which it had the CPU or slept, after which a data thread is ended and " +
        "replaced; at least 200, or 0 for never.",
    }),
    (ms) => {
      if (ms > 0 && ms < 200)
        throw new UnreadableValue(`${ms} is less than two heartbeats; write 200 or more, or 0 for never`);
      return ms;
    },
  ),
  deploy_timeout_ms: timeout(
    10_000,
    "Time that a data thread gets to take up a changed configuration, and 1 ms more for each entity of the change. One " +
      "that takes longer is ended and replaced; where `thread_hang_ms` is 0, the change is refused.",
  ),
  log_level: plain(
    string({
      default: "notice",
      oneOf: ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"],
      description: "The least severe messages that are logged.",
    }),
  ),
  proxy_access_log: read(
    string({
      default: "logs/access.log",
      description: "Where requests are logged: a path (relative to `prefix`), `/dev/stdout`, or `off`.",
    }),
    (path, { prefix }) => (path === "off" ? null : isAbsolute(path) ? path : join(prefix, path)),
  ),
  upstream_keepalive_pool_size: plain(
    integer({
      default: 512,
      between: [0, 65536],
      description: "Idle connections that a data thread keeps per upstream address; 0 closes each after use.",
    }),
  ),
  upstream_keepalive_max_requests: plain(
    integer({
      default: 10000,
      between: [0, 2 ** 31 - 1],
      description: "Requests after which an upstream connection is closed; 0 for no limit.",
    }),
  ),
  upstream_keepalive_idle_timeout: plain(
    number({
      default: 60,
      between: [0, 86_400],
      description: "Seconds after which an idle upstream connection is closed; 0 for never.",
    }),
  ),
  ...POSTGRES_SETTINGS,
  ...TLS_SETTINGS,
  trusted_ips: read(
    array(string(), {
      default: [],
      description: "Addresses and networks whose `X-Forwarded-*` headers and real-IP header are believed.",
    }),
    (entries) => entries.map(readNetwork),
  ),
  real_ip_header: plain(
    string({
      default: "X-Real-IP",
      match: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
      lenMax: 256,
      description:
        "Header that carries the client's address when the peer is in `trusted_ips`; `proxy_protocol` for the one " +
        "of listeners with that option.",
    }),
  ),
  real_ip_recursive: plain(
    boolean({
      default: false,
      description: "Whether to search the real-IP header from the right for the first untrusted address.",
    }),
  ),
  headers: read(
    array(string(), {
      default: ["server_tokens", "latency_tokens", "X-Kong-Request-Id"],
      lenMin: 1,
      description:
        `Headers added to responses: ${RESPONSE_HEADERS.join(", ")}; \`server_tokens\` is Server and Via, ` +
        "`latency_tokens` the four latencies; `off` for none.",
    }),
    (entries) => expandHeaders(entries),
  ),
  headers_upstream: read(
    array(string(), {
      default: ["X-Kong-Request-Id"],
      lenMin: 1,
      description: "Headers added to upstream requests: `X-Kong-Request-Id` or `off`.",
    }),
    (entries) => {
      if (entries.length === 1 && entries[0] === "off") return [];
      for (const entry of entries) {
        if (entry.toLowerCase() !== "x-kong-request-id")
          throw new UnreadableValue(`'${entry}' is not known; allowed: X-Kong-Request-Id, off`);
      }
      return ["X-Kong-Request-Id"] as const;
    },
  ),
  error_default_type: plain(
    string({
      default: "text/plain",
      oneOf: ["text/plain", "text/html", "application/json", "application/xml"],
      description: "Type of the gateway's own error bodies when the client names none.",
    }),
  ),
  dns_resolver: read(
    array(string(), {
      default: [],
      description: "Name servers, `ip[:port]`. The default is the system's.",
    }),
    (entries) => entries.map((entry) => readAddress(entry, 53)),
  ),
  egress_allow: networks(
    "What workspaces other than `default` may have the gateway connect to although it is loopback, link-local, " +
      "reserved or multicast: addresses, networks, or kinds such as `loopback`. The metadata services of clouds " +
      "must be named each, or by `metadata`.",
  ),
  egress_deny: networks(
    "What workspaces other than `default`, and all guests, may not have the gateway connect to, besides: " +
      "`private` for all private networks.",
  ),
  egress_guest_allow: networks(
    "What guests of all workspaces may fetch from although it is private, loopback, link-local or such.",
  ),
  guest_kv: plain(
    string({
      default: "local",
      oneOf: ["local", "redis"],
      description:
        "Where plugins' values are kept: `local` is a file under `prefix`, `redis` the server of `redis_host`, which " +
        "several gateways may share.",
    }),
  ),
  guest_kv_max_bytes: plain(
    integer({
      default: 4096 * MIB,
      between: [MIB, 1024 * 1024 * MIB],
      description: "Most bytes of the local file of plugins' values.",
    }),
    { bytes: true },
  ),
  recordings_max_bytes: plain(
    integer({
      default: 512 * MIB,
      between: [MIB, 1024 * 1024 * MIB],
      description:
        "Most bytes of the local file of recorded requests (plugin `request-recording`). Where it is full, the workspace " +
        "that has most loses its oldest.",
    }),
    { bytes: true },
  ),
  redis_host: plain(
    string({
      default: "127.0.0.1",
      lenMax: 255,
      description: "The Redis server, where a setting asks for one.",
    }),
  ),
  redis_port: plain(integer({ default: 6379, between: [1, 65_535], description: "Its port." })),
  redis_username: plain(string({ lenMax: 256, description: "Its user; without one, its default user." })),
  redis_password: plain(
    string({
      lenMax: 1024,
      description:
        "Its password. Better by the environment or a settings file than on the command line, which others can see.",
    }),
    { secret: true },
  ),
  redis_database: plain(
    integer({ default: 0, between: [0, 65_535], description: "The number of its database." }),
  ),
  redis_ssl: plain(boolean({ default: false, description: "Whether it is spoken to by TLS." })),
  secrets_dir: read(
    string({
      description:
        "Directory of the secrets that plugins may be granted: `<workspace>/<name>`, files that other users of the " +
        "machine have no rights to. Without it there are none.",
    }),
    (path, { directory }) => path && resolve(directory, path),
  ),
  ...CLIENT_SETTINGS,
  drain_timeout_ms: timeout(30_000, "Time that requests in flight get to finish when the gateway stops."),
  ...GUEST_SETTINGS,
  router_flavor: read(
    string({
      default: "traditional_compatible",
      description:
        "Kinds of routes: `traditional_compatible` (methods, hosts, paths, headers, snis), or `expressions`, where " +
        "routes may have an `expression` and a `priority` instead.",
    }),
    readFlavor,
  ),
} as const;

function readDatabase(given: string | null, { isDeclarative }: ReadContext): "sqlite" | "postgres" | "off" {
  if (given === null) return isDeclarative ? "off" : "sqlite";
  if (given !== "off" && isDeclarative)
    throw new UnreadableValue(
      `'${given}' keeps entities of its own, and \`declarative_config\` names a file of them; leave one of the two out`,
    );
  return given === "off" || given === "postgres" ? given : "sqlite";
}

/** Kong's oldest flavour is another order of routes, with patterns that may take exponential time. */
function readFlavor(flavor: string): "traditional_compatible" | "expressions" {
  if (flavor === "expressions") return flavor;
  if (flavor === "traditional_compatible") return flavor;
  if (flavor !== "traditional")
    throw new UnreadableValue("expected one of: traditional_compatible, expressions");
  throw new UnreadableValue(
    "'traditional' is not served: its patterns (PCRE) may take exponential time for a request; use " +
      "traditional_compatible, which reads the same routes with patterns in linear time, or expressions",
  );
}

type SettingName = keyof typeof SETTINGS;

/** `proxy_listen` → `proxyListen`. */
type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;

/** What the gateway was told, checked and read. Plain data: it is posted to threads as it is. */
export type Settings = {
  readonly [K in SettingName as Camel<K>]: ReturnType<(typeof SETTINGS)[K]["read"]>;
};

export function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
