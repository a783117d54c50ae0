/**
 * What Kong has (3.10, community edition, and what its tools ask of the others): entities with their fields, endpoints
 * of the Admin API, plugins, settings. Facts to compare with; docs/kong-compatibility.md is made from the comparison.
 */

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Fields by entity, in Kong's names; of records only those of the top. */
export const KONG_ENTITIES: Readonly<Record<string, readonly string[]>> = {
  services: words(`id created_at updated_at name retries protocol host port path connect_timeout write_timeout
    read_timeout tags client_certificate tls_verify tls_verify_depth ca_certificates enabled url`),
  routes: words(`id created_at updated_at name protocols methods hosts paths headers snis sources destinations
    https_redirect_status_code regex_priority strip_path path_handling preserve_host request_buffering
    response_buffering service tags expression priority`),
  consumers: words("id created_at updated_at username custom_id tags"),
  consumer_groups: words("id created_at updated_at name tags"),
  plugins:
    words(`id created_at updated_at name instance_name route service consumer config protocols enabled tags
    consumer_group ordering partials condition`),
  upstreams:
    words(`id created_at updated_at name algorithm hash_on hash_fallback hash_on_header hash_fallback_header
    hash_on_cookie hash_on_cookie_path hash_on_query_arg hash_fallback_query_arg hash_on_uri_capture
    hash_fallback_uri_capture slots healthchecks tags host_header client_certificate use_srv_name
    sticky_sessions_cookie sticky_sessions_cookie_path`),
  targets: words("id created_at updated_at upstream target weight tags"),
  certificates: words("id created_at updated_at cert key cert_alt key_alt tags snis"),
  snis: words("id created_at updated_at name certificate tags"),
  ca_certificates: words("id created_at updated_at cert cert_digest tags"),
  vaults: words("id prefix name description config created_at updated_at tags"),
  key_sets: words("id name tags created_at updated_at"),
  keys: words("id set name kid jwk pem tags created_at updated_at"),
  filter_chains: words("id name enabled route service filters created_at updated_at tags"),
  acls: words("id created_at consumer group tags"),
  basicauth_credentials: words("id created_at consumer username password tags"),
  hmacauth_credentials: words("id created_at consumer username secret tags"),
  jwt_secrets: words("id created_at consumer key secret rsa_public_key algorithm tags"),
  keyauth_credentials: words("id created_at consumer key ttl tags"),
  oauth2_credentials:
    words(`id created_at consumer name client_id client_secret hash_secret redirect_uris client_type
    tags`),
  oauth2_tokens: words(`id created_at credential service token_type expires_in access_token refresh_token
    authenticated_userid scope ttl`),
  oauth2_authorization_codes: [],
  mtls_auth_credentials: words("id created_at consumer subject_name ca_certificate tags"),
  acme_storage: [],
  ratelimiting_metrics: [],
  sessions: [],
  session_metadatas: [],
  clustering_data_planes: [],
  parameters: [],
  workspaces: words("id name comment created_at updated_at"),
  tags: [],
};

/** Endpoints that Kong does not generate from its entities: methods and template. */
export const KONG_ENDPOINTS: readonly (readonly [methods: string, template: string])[] = [
  ["GET", "/"],
  ["GET", "/status"],
  ["GET", "/endpoints"],
  ["GET", "/schemas/{entity}"],
  ["GET", "/schemas/plugins/{name}"],
  ["GET", "/schemas/vaults/{name}"],
  ["GET", "/schemas/filters/{name}"],
  ["POST", "/schemas/{entity}/validate"],
  ["POST", "/schemas/plugins/validate"],
  ["POST", "/schemas/vaults/validate"],
  ["GET", "/plugins/enabled"],
  ["GET", "/plugins/schema/{name}"],
  ["GET", "/tags"],
  ["GET", "/tags/{tag}"],
  ["GET POST", "/config"],
  ["GET", "/upstreams/{upstream}/health"],
  ["PUT", "/upstreams/{upstream}/targets/{target}/healthy"],
  ["PUT", "/upstreams/{upstream}/targets/{target}/unhealthy"],
  ["PUT", "/upstreams/{upstream}/targets/{target}/{address}/healthy"],
  ["PUT", "/upstreams/{upstream}/targets/{target}/{address}/unhealthy"],
  ["GET", "/upstreams/{upstream}/targets/all"],
  ["GET POST DELETE", "/consumer_groups/{group}/consumers"],
  ["GET POST DELETE", "/consumers/{consumer}/consumer_groups"],
  ["GET", "/clustering/data-planes"],
  ["GET", "/clustering/status"],
  ["GET", "/debug/node/log-level"],
  ["PUT", "/debug/node/log-level/{level}"],
  ["PUT", "/debug/cluster/log-level/{level}"],
  ["GET DELETE", "/cache/{key}"],
  ["DELETE", "/cache"],
  ["GET", "/timers"],
  ["GET", "/status/dns"],
  ["GET", "/routes/{route}/filters/all"],
  ["GET", "/routes/{route}/filters/enabled"],
  ["GET", "/routes/{route}/filters/disabled"],
  ["GET", "/metrics"],
];

/** Bundled plugins, each with its priority. */
export const KONG_PLUGINS: Readonly<Record<string, number>> = {
  "pre-function": 1_000_000,
  "correlation-id": 100_001,
  zipkin: 100_000,
  "bot-detection": 2500,
  cors: 2000,
  session: 1900,
  acme: 1705,
  jwt: 1450,
  oauth2: 1400,
  "key-auth": 1250,
  "ldap-auth": 1200,
  "basic-auth": 1100,
  "hmac-auth": 1030,
  "grpc-gateway": 998,
  "ip-restriction": 990,
  "request-size-limiting": 951,
  acl: 950,
  "rate-limiting": 910,
  "response-ratelimiting": 900,
  "request-transformer": 801,
  "response-transformer": 800,
  redirect: 779,
  "ai-request-transformer": 777,
  "ai-prompt-template": 773,
  "ai-prompt-decorator": 772,
  "ai-prompt-guard": 771,
  "ai-proxy": 770,
  "ai-response-transformer": 768,
  "standard-webhooks": 760,
  "aws-lambda": 750,
  "azure-functions": 749,
  "proxy-cache": 100,
  opentelemetry: 14,
  prometheus: 13,
  "http-log": 12,
  statsd: 11,
  datadog: 10,
  "file-log": 9,
  "udp-log": 8,
  "tcp-log": 7,
  loggly: 6,
  syslog: 4,
  "grpc-web": 3,
  "request-termination": 2,
  "post-function": -1000,
};

/** Keys of kong.conf. */
export const KONG_SETTINGS: readonly string[] = words(`
  prefix log_level proxy_listen stream_listen admin_listen status_listen admin_gui_listen admin_gui_url admin_gui_path
  admin_gui_api_url plugins vaults pluginserver_names role cluster_listen cluster_control_plane cluster_mtls cluster_cert
  cluster_cert_key cluster_ca_cert cluster_server_name cluster_dp_labels cluster_use_proxy cluster_ocsp cluster_rpc
  cluster_rpc_sync ssl_cert ssl_cert_key ssl_cipher_suite ssl_ciphers ssl_protocols ssl_prefer_server_ciphers
  ssl_session_tickets ssl_session_timeout client_ssl client_ssl_cert client_ssl_cert_key lua_ssl_trusted_certificate
  lua_ssl_verify_depth dns_resolver dns_order dns_stale_ttl new_dns_client resolver_address resolver_family
  database declarative_config declarative_config_string pg_host pg_port pg_user pg_password pg_database pg_schema pg_ssl
  pg_ssl_verify pg_timeout pg_max_concurrent_queries db_update_frequency db_update_propagation db_cache_ttl
  db_resurrect_ttl lmdb_map_size worker_consistency worker_state_update_frequency router_flavor headers headers_upstream
  trusted_ips real_ip_header real_ip_recursive error_default_type upstream_keepalive_pool_size
  upstream_keepalive_max_requests upstream_keepalive_idle_timeout allow_debug_header nginx_worker_processes
  nginx_http_client_max_body_size nginx_http_client_body_buffer_size nginx_http_keepalive_requests mem_cache_size
  lua_max_req_headers lua_max_resp_headers lua_max_uri_args lua_max_post_args untrusted_lua
  untrusted_lua_sandbox_requires untrusted_lua_sandbox_environment wasm wasm_filters_path wasm_filters
  tracing_instrumentations tracing_sampling_rate request_debug request_debug_token anonymous_reports port_maps
  proxy_server node_id dedicated_config_processing proxy_access_log
`);
