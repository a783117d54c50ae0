/**
 * What the tables cannot tell of the comparison with Kong: what is missing where something is done in part, and why
 * something is not done at all. The tests hold each limit against the gateway.
 */

/** A field of which not every value of Kong's is taken. */
export interface Limit {
  readonly entity: string;
  readonly field: string;
  readonly note: string;
  /** What is refused although Kong takes it: fields of a sound entity. */
  readonly example: Readonly<Record<string, unknown>>;
}

export const LIMITED: readonly Limit[] = [
  {
    entity: "services",
    field: "protocol",
    note: "http and https",
    example: { protocol: "tcp" },
  },
  {
    entity: "routes",
    field: "protocols",
    note: "http and https",
    example: { protocols: ["tls"], paths: null, snis: ["a.example"] },
  },
  {
    entity: "routes",
    field: "sources",
    note: "only where streams are meant, which are not served",
    example: { protocols: ["tcp"], paths: null, sources: [{ port: 1 }] },
  },
  {
    entity: "routes",
    field: "destinations",
    note: "only where streams are meant, which are not served",
    example: { protocols: ["tcp"], paths: null, destinations: [{ port: 1 }] },
  },
  {
    entity: "upstreams",
    field: "algorithm",
    note: "round-robin",
    example: { algorithm: "least-connections" },
  },
  { entity: "upstreams", field: "hash_on", note: "none", example: { hash_on: "ip" } },
  {
    entity: "upstreams",
    field: "healthchecks",
    note: "kept, but neither active nor passive checks may be on",
    example: { healthchecks: { active: { healthy: { interval: 1 } } } },
  },
  {
    entity: "upstreams",
    field: "client_certificate",
    note: "null",
    example: { client_certificate: { id: "0dc6f45b-8f8d-40d2-a504-473544ee190b" } },
  },
  { entity: "upstreams", field: "use_srv_name", note: "false", example: { use_srv_name: true } },
  { entity: "keyauth_credentials", field: "ttl", note: "0 or null", example: { ttl: 60 } },
];

/** The plugin that reads the entities of a collection. */
export const USED_BY: Readonly<Record<string, string>> = {
  acls: "acl",
  basicauth_credentials: "basic-auth",
  hmacauth_credentials: "hmac-auth",
  jwt_secrets: "jwt",
  oauth2_credentials: "oauth2",
};

/** Of entities that are there: what is missing. Of others: why. */
export const ENTITY_NOTES: Readonly<Record<string, string>> = {
  consumer_groups: "kept with their members; plugins cannot be scoped by them",
  vaults: "of the kinds `env` and `file`; in the workspace `default` alone",
  keys: "kept and managed; no plugin reads them",
  key_sets: "kept and managed; no plugin reads them",
  filter_chains: "packages of plugins run WebAssembly in their place",
  oauth2_tokens: "there is no plugin oauth2 yet",
  oauth2_authorization_codes: "there is no plugin oauth2 yet",
  mtls_auth_credentials: "Enterprise edition",
  acme_storage: "there is no plugin acme yet",
  ratelimiting_metrics: "counters are kept in memory or in Redis",
  sessions: "there is no plugin session yet",
  session_metadatas: "there is no plugin session yet",
  clustering_data_planes: "there is no hybrid mode yet",
  parameters: "Kong's own",
  tags: "tags stand in their entities",
  workspaces: "`meta` and `config` of the Enterprise edition are not there",
};

const NO_HEALTH = "there are no health checks yet, and so no health to set";

/** The same of endpoints. */
export const ENDPOINT_NOTES: Readonly<Record<string, string>> = {
  "/": "there are no timers, no Lua and no worker processes to tell of",
  "/upstreams/{upstream}/health": "without health checks it is always `HEALTHCHECKS_OFF`",
  "/status": "counters of this gateway in place of nginx's",
  "/schemas/filters/{name}": "wasm is off",
  "/routes/{route}/filters/all": "wasm is off",
  "/routes/{route}/filters/enabled": "wasm is off",
  "/routes/{route}/filters/disabled": "wasm is off",
  "/filter-chains": "answers that wasm is off",
  "/filter-chains/{filter-chain}": "answers that wasm is off",
  "/routes/{route}/filter-chains": "answers that wasm is off",
  "/routes/{route}/filter-chains/{filter-chain}": "answers that wasm is off",
  "/services/{service}/filter-chains": "answers that wasm is off",
  "/services/{service}/filter-chains/{filter-chain}": "answers that wasm is off",
  "/filter-chains/{filter-chain}/route": "answers that wasm is off",
  "/filter-chains/{filter-chain}/service": "answers that wasm is off",
  "/metrics": "they are at the Status API",
  "/clustering/data-planes": "there is no hybrid mode yet",
  "/clustering/status": "there is no hybrid mode yet",
  "/cache": "entities are held whole, and none is cached",
  "/cache/{key}": "entities are held whole, and none is cached",
  "/timers": "there is no Lua",
  "/upstreams/{upstream}/targets/{target}/healthy": NO_HEALTH,
  "/upstreams/{upstream}/targets/{target}/unhealthy": NO_HEALTH,
  "/upstreams/{upstream}/targets/{target}/{address}/healthy": NO_HEALTH,
  "/upstreams/{upstream}/targets/{target}/{address}/unhealthy": NO_HEALTH,
};

/** The same of settings. */
export const SETTING_NOTES: Readonly<Record<string, string>> = {
  router_flavor: "`traditional` is not there",
  stream_listen: "streams are not served",
  mem_cache_size: "nothing is cached in shared memory",
  lmdb_map_size: "the embedded store is SQLite",
  untrusted_lua: "there is no Lua",
  untrusted_lua_sandbox_requires: "there is no Lua",
  untrusted_lua_sandbox_environment: "there is no Lua",
  lua_ssl_verify_depth: "chains may be as long as OpenSSL allows",
  anonymous_reports: "nothing is reported to anybody",
  pluginserver_names: "packages of plugins run in cordons",
  plugins: "all that are there can be used",
  vaults: "all that are there can be used",
  wasm: "packages of plugins run WebAssembly",
  wasm_filters: "packages of plugins run WebAssembly",
  wasm_filters_path: "packages of plugins run WebAssembly",
};
