/**
 * Every setting, once: its name, type, default, what it is for, and how its value is read. Validation, flags,
 * environment variables, the `Settings` type and the reference docs all come from this table.
 *
 * Names, meanings and defaults are Kong's where Kong has the setting.
 */
import { availableParallelism, totalmem } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { array, boolean, type Field, integer, number, string, type ValueOf } from "@gatehouse/sdk";
import { checkNetwork } from "../egress/networks.ts";
import { type GivenLimits, readLimits } from "../sandbox/limits.ts";
import {
  isLoopback,
  type Listen,
  readAddress,
  readListeners,
  readNetwork,
  readProxyListeners,
  UnreadableValue,
} from "./addresses.ts";
import { connectionsThatFit } from "./descriptors.ts";
import { CIPHER_SUITES, readProtocols, readSeconds } from "./tls.ts";

export type { Listen, ProxyListen } from "./addresses.ts";

/** What reading one setting may depend on. */
export interface ReadContext {
  /** Directory that relative paths start from. */
  readonly directory: string;
  /** The working directory of the gateway, absolute. */
  readonly prefix: string;
}

export interface Setting<F extends Field = Field, T = unknown> {
  readonly field: F;
  /** Other names under which it may be set. */
  readonly aliases: readonly string[];
  /** Whether a string such as `8m` stands for a number of bytes. */
  readonly bytes: boolean;
  /** Turns the checked value into what the gateway uses. @throws {UnreadableValue} */
  readonly read: (value: ValueOf<F>, context: ReadContext) => T;
}

interface Extras {
  aliases?: readonly string[];
  bytes?: boolean;
}

function plain<F extends Field>(field: F, extras: Extras = {}): Setting<F, ValueOf<F>> {
  return { field, aliases: [], bytes: false, ...extras, read: (value) => value };
}

function read<F extends Field, T>(
  field: F,
  reader: (value: ValueOf<F>, context: ReadContext) => T,
  extras: Extras = {},
): Setting<F, T> {
  return { field, aliases: [], bytes: false, ...extras, read: reader };
}

function readLauncher(words: readonly string[]): readonly string[] {
  const [program] = words;
  if (program !== undefined && !program.startsWith("/"))
    throw new UnreadableValue(`'${program}' must be the absolute path of a program`);
  return words;
}

/** Headers that the gateway can add to responses, and the two names that stand for several of them. */
const RESPONSE_HEADERS = [
  "Server",
  "Via",
  "X-Kong-Proxy-Latency",
  "X-Kong-Upstream-Latency",
  "X-Kong-Response-Latency",
  "X-Kong-Admin-Latency",
  "X-Kong-Upstream-Status",
  "X-Kong-Request-Id",
] as const;
export type ResponseHeader = (typeof RESPONSE_HEADERS)[number];

const TOKENS: Record<string, readonly ResponseHeader[]> = {
  server_tokens: ["Server", "Via"],
  latency_tokens: [
    "X-Kong-Proxy-Latency",
    "X-Kong-Upstream-Latency",
    "X-Kong-Response-Latency",
    "X-Kong-Admin-Latency",
  ],
};

const MIB = 1 << 20;
const DAY_MS = 86_400_000;
const timeout = (byDefault: number, description: string) =>
  plain(integer({ default: byDefault, between: [1, DAY_MS], description }));

/** At most as many as are worth a look at every new address. */
const networks = (description: string) =>
  plain(array(string({ lenMax: 64, check: checkNetwork }), { default: [], lenMax: 1000, description }));

const rate = (description: string) =>
  plain(integer({ default: 256, between: [0, 2 ** 31 - 1], description }));

const limitEntries = (description: string) =>
  array(string({ lenMax: 256 }), { default: [], lenMax: 100, description });

function limits(entries: readonly string[]): GivenLimits {
  const given = readLimits(entries);
  if ("wrong" in given) throw new UnreadableValue(String(given.wrong));
  return given;
}

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
  admin_listen: read(
    array(string(), {
      default: ["127.0.0.1:8001"],
      lenMin: 1,
      description:
        "Addresses of the Admin API, or `off`. Loopback addresses only: the Admin API has no authentication.",
    }),
    readAdminListeners,
  ),
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
  database: plain(
    string({
      default: "off",
      oneOf: ["off"],
      description: "Where entities are kept. `off`: in the declarative configuration only.",
    }),
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
  client_head_timeout_ms: timeout(
    10_000,
    "Time in which a request's head must arrive, from its first byte; a new connection has as long to begin.",
  ),
  client_body_timeout_ms: timeout(60_000, "Longest pause of a client that sends a request's body."),
  client_body_min_rate: rate(
    "Bytes per second at which a request's body must arrive in the long run, the time aside in which the gateway " +
      "itself does not read; 0 for no bound.",
  ),
  client_read_timeout_ms: timeout(60_000, "Longest pause of a client that takes its response."),
  client_read_min_rate: rate(
    "Bytes per second at which a client must take what waits for it, in the long run; 0 for no bound.",
  ),
  client_idle_timeout_ms: timeout(60_000, "Time that a client's idle connection is kept."),
  max_connections: read(
    integer({
      between: [1, MIB],
      description:
        "Most connections that clients have at the same time, over all data threads; what is beyond is closed at " +
        "once. The default is half of the descriptors that the process may have, up to 65536.",
    }),
    (count) => count ?? connectionsThatFit(),
  ),
  max_connections_per_ip: plain(
    integer({
      between: [0, MIB],
      description:
        "Most connections from one IPv4 address or IPv6 network of 64 bits, `trusted_ips` aside; 0 for no bound. " +
        "The default is half of max_connections.",
    }),
  ),
  max_requests_per_connection: plain(
    integer({
      default: 10_000,
      between: [0, 2 ** 31 - 1],
      description: "Requests after which a client's connection is closed; 0 for no bound.",
    }),
    { aliases: ["nginx_http_keepalive_requests"] },
  ),
  max_head_bytes: plain(
    integer({
      default: 32_768,
      between: [1024, MIB],
      description: "Longest head of a request or response, in bytes.",
    }),
    { bytes: true },
  ),
  max_headers: plain(
    integer({ default: 100, between: [1, 10_000], description: "Most header fields in one head." }),
    { aliases: ["lua_max_req_headers"] },
  ),
  max_url_bytes: plain(
    integer({ default: 16_384, between: [64, MIB], description: "Longest request target, in bytes." }),
    { bytes: true },
  ),
  client_max_body_size: plain(
    integer({
      default: 0,
      between: [0, Number.MAX_SAFE_INTEGER],
      description: "Largest request body in bytes (`8m` and such are understood); 0 for no limit.",
    }),
    { bytes: true, aliases: ["nginx_http_client_max_body_size", "nginx_proxy_client_max_body_size"] },
  ),
  body_buffer_max_bytes: plain(
    integer({
      default: 10 * MIB,
      between: [0, 1024 * MIB],
      description:
        "Largest body, of a request or a response, that is held for plugins that need a whole one.",
    }),
    { bytes: true },
  ),
  body_buffer_memory_bytes: plain(
    integer({
      default: 256 * 1024,
      between: [0, 1024 * MIB],
      description: "Bytes from which on a body that is held is kept in a file under `prefix`, not in memory.",
    }),
    { bytes: true, aliases: ["nginx_http_client_body_buffer_size"] },
  ),
  body_buffer_thread_bytes: plain(
    integer({
      default: 64 * MIB,
      between: [MIB, 1024 * 1024 * MIB],
      description:
        "Bytes of bodies that a data thread holds in memory, small ones and those that plugins made and that are not " +
        "taken yet, beyond which they go to disk as well; and bytes of bodies from disk that its plugins look at at " +
        "the same time, beyond which others wait.",
    }),
    { bytes: true },
  ),
  body_buffer_disk_bytes: plain(
    integer({
      default: 4096 * MIB,
      between: [0, 1024 * 1024 * MIB],
      description:
        "Bytes of bodies that the gateway holds on disk; a body that finds no room is refused with 503.",
    }),
    { bytes: true },
  ),
  drain_timeout_ms: timeout(30_000, "Time that requests in flight get to finish when the gateway stops."),
  cordons_max: plain(
    integer({
      default: 256,
      between: [1, 1024],
      description:
        "Processes that run guests at the same time. If one more is needed, a spare or the one idle for the longest " +
        "time goes; if none is idle, calls that need it fail as `unavailable`.",
    }),
  ),
  cordons_per_workspace: read(
    integer({
      between: [1, 64],
      description:
        "Processes that one workspace's guests get for each engine while those they have are busy all the time. " +
        "The default is half of the cores, and at least one.",
    }),
    (count) => count ?? Math.min(Math.max(1, Math.floor(availableParallelism() / 2)), 64),
  ),
  cordons_spare: plain(
    integer({
      default: 1,
      between: [0, 8],
      description:
        "Processes that are kept started for each engine that has guests, so that a workspace's first call does " +
        "not wait for one.",
    }),
  ),
  cordons_memory_bytes: read(
    integer({
      between: [64 * MIB, 1024 * 1024 * MIB],
      description:
        "Memory of all processes that run guests, what they share not counted, beyond which idle ones are ended. " +
        "The default is half of the machine's memory.",
    }),
    (bytes) => bytes ?? Math.max(64 * MIB, Math.floor(totalmem() / 2)),
    { bytes: true },
  ),
  cordon_launcher: read(
    array(string({ lenMin: 1, lenMax: 4096 }), {
      default: [],
      description:
        "A command, word by word, that is put before the command of every cordon to fence it in, instead of the " +
        "gateway's own fence: an absolute path first; `{root}` stands for the directory that is to become `/`, " +
        "`{slot}` for the cordon's number. It is tried at the start and used only if it holds. See docs/fence.md.",
    }),
    readLauncher,
  ),
  cordon_uid_first: plain(
    integer({
      default: 1_900_000_000,
      between: [1000, 4_294_960_000],
      description:
        "The first of 1027 uids (and gids) that cordons run under, one each, where the gateway runs as root. " +
        "Nobody else on the machine may have them.",
    }),
  ),
  cordon_cgroup: plain(
    string({
      default: "",
      lenMin: 0,
      match: "^(/[A-Za-z0-9._@:/-]+)?$",
      lenMax: 4096,
      description:
        "A directory of cgroup v2 with the controllers memory and pids for its children, in which each cordon " +
        "gets a cgroup of its own. Empty: the gateway's own cgroup, if it can be used so.",
    }),
  ),
  unfenced_uploads: plain(
    array(string({ match: "^[A-Za-z0-9._~-]+$", lenMax: 128 }), {
      default: [],
      description:
        "Workspaces that may upload plugins although the operating system's fence is not in force. " +
        "The workspace `default` always may.",
    }),
  ),
  plugin_limits: read(
    limitEntries(
      "Limits of uploaded plugins for every workspace, `name=value`, such as `wall_ms=500`. docs/limits.md lists them. " +
        "A workspace's own `plugin_limits` go before.",
    ),
    limits,
  ),
  plugin_limits_default: read(
    limitEntries(
      "The same for the workspace `default` alone, which has all the CPU time there is otherwise.",
    ),
    limits,
  ),
  plugin_cpu_ms_per_second: read(
    integer({
      between: [10, 1_000_000],
      description:
        "CPU time, in each second, of the uploaded plugins of all workspaces that have a bound of their own. Where they " +
        "want more, each gets the same share. The default is half of the cores.",
    }),
    (ms) => ms ?? availableParallelism() * 500,
  ),
  admin_allowed_hosts: read(
    array(string(), {
      default: [],
      description:
        "Names under which the Admin API answers besides localhost and its own address (`Host`, without port).",
    }),
    (entries) => entries.map(readHostName),
  ),
  router_flavor: read(
    string({
      default: "traditional_compatible",
      description:
        "Kinds of routes: `traditional_compatible` (methods, hosts, paths, headers, snis), or `expressions`, where " +
        "routes may have an `expression` and a `priority` instead.",
    }),
    readFlavor,
  ),
  admin_allowed_origins: read(
    array(string(), {
      default: [],
      description: "Web origins whose pages may use the Admin API, such as `https://console.example.com`.",
    }),
    (entries) => entries.map(readOrigin),
  ),
} as const;

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

function readAdminListeners(entries: readonly string[]): readonly Listen[] {
  const listeners = readListeners(entries);
  for (const { host } of listeners) {
    if (!isLoopback(host))
      throw new UnreadableValue(
        `'${host}' can be reached from other machines, and the Admin API has no authentication yet; ` +
          "use a loopback address (127.0.0.1 or [::1]) and reach it through a tunnel",
      );
  }
  return listeners;
}

function expandHeaders(entries: readonly string[]): readonly ResponseHeader[] {
  if (entries.length === 1 && entries[0] === "off") return [];
  const wanted = new Set<ResponseHeader>();
  for (const entry of entries) {
    const header = RESPONSE_HEADERS.find((known) => known.toLowerCase() === entry.toLowerCase());
    const several = TOKENS[entry.toLowerCase()];
    if (header) wanted.add(header);
    else if (several) for (const name of several) wanted.add(name);
    else
      throw new UnreadableValue(
        `'${entry}' is not known; allowed: ${[...Object.keys(TOKENS), ...RESPONSE_HEADERS].join(", ")}, off`,
      );
  }
  return [...wanted];
}

function readHostName(text: string): string {
  const name = text.toLowerCase();
  if (!/^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])$/.test(name))
    throw new UnreadableValue(`'${text}' is not a host name; write it without scheme, port or path`);
  return name;
}

function readOrigin(text: string): string {
  const url = URL.parse(text);
  if (
    !url ||
    !["http:", "https:"].includes(url.protocol) ||
    url.origin !== text.replace(/\/$/, "").toLowerCase()
  )
    throw new UnreadableValue(`'${text}' is not an origin; write scheme://host[:port] without a path`);
  return url.origin;
}
