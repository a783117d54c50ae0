/** Settings: which source wins, what each value becomes, and that every mistake is named at once. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadSettings, type Settings, type SettingsSources } from "../../src/settings.ts";

const directory = mkdtempSync(join(tmpdir(), "gatehouse-settings-"));
after(() => rmSync(directory, { recursive: true }));

function file(text: string): string {
  const path = join(directory, "settings.yaml");
  writeFileSync(path, text);
  return path;
}

function load(sources: SettingsSources): Settings {
  const { settings, errors } = loadSettings({ directory, ...sources });
  assert.deepEqual(errors, undefined);
  return settings as Settings;
}

function refused(sources: SettingsSources): string {
  const { errors } = loadSettings({ directory, ...sources });
  assert.ok(errors, "expected errors");
  return errors.join("\n");
}

test("without any source every setting has its default", () => {
  const settings = load({});
  assert.deepEqual(settings.proxyListen, [
    { host: "0.0.0.0", port: 8000, backlog: 16384, ssl: false, proxyProtocol: false },
    { host: "0.0.0.0", port: 8443, backlog: 16384, ssl: true, proxyProtocol: false },
  ]);
  assert.deepEqual(settings.adminListen, [{ host: "127.0.0.1", port: 8001, backlog: 16384, ssl: false }]);
  assert.deepEqual(settings.statusListen, [{ host: "127.0.0.1", port: 8007, backlog: 16384 }]);
  assert.equal(settings.prefix, join(directory, ".gatehouse"));
  assert.equal(settings.proxyAccessLog, join(directory, ".gatehouse/logs/access.log"));
  assert.equal(settings.dataThreads, availableParallelism());
  assert.deepEqual(settings.headers, [
    "Server",
    "Via",
    "X-Kong-Proxy-Latency",
    "X-Kong-Upstream-Latency",
    "X-Kong-Response-Latency",
    "X-Kong-Admin-Latency",
    "X-Kong-Request-Id",
  ]);
  assert.equal(settings.clientHeadTimeoutMs, 10_000);
  assert.equal(settings.maxHeadBytes, 32_768);
  assert.equal(settings.bodyBufferMaxBytes, 10 * 1024 * 1024);
  assert.equal(settings.declarativeConfig, null);
});

test("settings are plain data that a thread can be given", () => {
  const settings = load({});
  assert.deepEqual(structuredClone(settings), settings);
});

test("flags win over the file, the file over the environment", () => {
  const sources = {
    file: file("max_headers: 20\nmax_url_bytes: 2000\n"),
    env: {
      GATEHOUSE_MAX_HEADERS: "30",
      GATEHOUSE_MAX_URL_BYTES: "3000",
      GATEHOUSE_MAX_HEAD_BYTES: "3k",
      HOME: "/",
    },
    flags: { maxHeaders: "10", log_level: undefined },
  };
  const { maxHeaders, maxUrlBytes, maxHeadBytes } = load(sources);
  assert.deepEqual(
    { maxHeaders, maxUrlBytes, maxHeadBytes },
    { maxHeaders: 10, maxUrlBytes: 2000, maxHeadBytes: 3072 },
  );
});

const READ: [title: string, text: string, expected: Partial<Settings>][] = [
  ["a list written with commas", 'trusted_ips: "10.0.0.0/8, ::1"', { trustedIps: ["10.0.0.0/8", "::1"] }],
  [
    "where tenants may lead, by address, network and kind",
    "egress_allow: 127.0.0.1, fd00::/8, link_local",
    { egressAllow: ["127.0.0.1", "fd00::/8", "link_local"], egressDeny: [], egressGuestAllow: [] },
  ],
  ["a list written as YAML", "trusted_ips: [10.0.0.0/8]", { trustedIps: ["10.0.0.0/8"] }],
  ["Kong's name for the number of threads", "nginx_worker_processes: 3", { dataThreads: 3 }],
  ["auto threads", "data_threads: auto", { dataThreads: availableParallelism() }],
  ["a size with a unit", "client_max_body_size: 8m", { clientMaxBodySize: 8 * 1024 * 1024 }],
  ["a switch in Kong's words", "real_ip_recursive: on", { realIpRecursive: true }],
  ["a listener that is off", "status_listen: off", { statusListen: [] }],
  [
    "several listeners with options",
    "proxy_listen: 127.0.0.1:0 reuseport backlog=64, [::1]:9000 ssl",
    {
      proxyListen: [
        { host: "127.0.0.1", port: 0, backlog: 64, ssl: false, proxyProtocol: false },
        { host: "::1", port: 9000, backlog: 16384, ssl: true, proxyProtocol: false },
      ],
    },
  ],
  [
    "a listener behind a proxy that passes on bytes",
    "proxy_listen: 127.0.0.1:0 ssl proxy_protocol",
    { proxyListen: [{ host: "127.0.0.1", port: 0, backlog: 16384, ssl: true, proxyProtocol: true }] },
  ],
  [
    "the client's address from the PROXY protocol",
    "proxy_listen: 127.0.0.1:0 proxy_protocol\nreal_ip_header: proxy_protocol",
    { realIpHeader: "proxy_protocol" },
  ],
  [
    "localhost as an address",
    "admin_listen: localhost:0",
    { adminListen: [{ host: "127.0.0.1", port: 0, backlog: 16384, ssl: false }] },
  ],
  ["an access log that is off", "proxy_access_log: off", { proxyAccessLog: null }],
  ["an absolute access log", "proxy_access_log: /dev/stdout", { proxyAccessLog: "/dev/stdout" }],
  ["no response headers", "headers: off", { headers: [] }],
  [
    "one response header in any case",
    "headers: x-kong-upstream-status",
    { headers: ["X-Kong-Upstream-Status"] },
  ],
  ["no upstream headers", "headers_upstream: off", { headersUpstream: [] }],
  [
    "name servers with and without a port",
    "dns_resolver: 1.1.1.1, 127.0.0.1:5353",
    {
      dnsResolver: [
        { host: "1.1.1.1", port: 53 },
        { host: "127.0.0.1", port: 5353 },
      ],
    },
  ],
  [
    "origins",
    "admin_allowed_origins: https://Console.example.com",
    { adminAllowedOrigins: ["https://console.example.com"] },
  ],
  ["an empty file", "# nothing\n", {}],
];

for (const [title, text, expected] of READ) {
  test(`the file may hold ${title}`, () => {
    const settings = load({ file: file(text) });
    for (const [name, value] of Object.entries(expected)) {
      assert.deepEqual(settings[name as keyof Settings], value);
    }
  });
}

const REFUSED: [title: string, text: string, message: RegExp][] = [
  [
    "an unknown name, with the nearest",
    "proxy_listn: 1",
    /settings\.yaml:1:1: proxy_listn: unknown setting; did you mean 'proxy_listen'\?/,
  ],
  [
    "an address from the PROXY protocol that no listener speaks",
    "real_ip_header: proxy_protocol",
    /real_ip_header: 'proxy_protocol' asks for a listener that speaks it/,
  ],
  [
    "a PROXY listener for the Status API",
    "status_listen: 0.0.0.0:8443 proxy_protocol",
    /'proxy_protocol' is not served here yet/,
  ],
  ["a TLS listener for the Status API", "status_listen: 0.0.0.0:8443 ssl", /'ssl' is not served here yet/],
  [
    "a version of TLS that is deprecated",
    "ssl_protocols: TLSv1.1 TLSv1.2",
    /'TLSv1.1' is not served; allowed: TLSv1.2, TLSv1.3/,
  ],
  ["no version of TLS", 'ssl_protocols: ","', /names no version; allowed/],
  ["a time without end", "ssl_session_timeout: 8d", /'8d' is not a time from 1s to 7d/],
  [
    "an HTTP/2 listener",
    "proxy_listen: 0.0.0.0:8443 http2",
    /'http2' is not served yet: listeners speak HTTP\/1\.1.*drop it from/,
  ],
  [
    "an unknown listener option",
    "proxy_listen: 0.0.0.0:80 fast",
    /unknown option 'fast'.*allowed: ssl, proxy_protocol, backlog=N, reuseport/,
  ],
  ["a listener without a port", "proxy_listen: 127.0.0.1", /has no port/],
  ["a port out of range", "proxy_listen: 127.0.0.1:70000", /from 0 to 65535/],
  ["a host name to listen on", "proxy_listen: example.com:80", /'example.com:80' is not an address/],
  ["the same address twice", "proxy_listen: 1.2.3.4:1, 1.2.3.4:1", /listed twice/],
  ["off beside an address", "proxy_listen: off, 1.2.3.4:1", /'off' stands alone/],
  [
    "an Admin API open to the network",
    "admin_listen: 0.0.0.0:8001",
    /'0\.0\.0\.0:8001' can be reached from other machines, and nobody has to say who they are there; set admin_auth/,
  ],
  [
    "an Admin API open to the network in plain text",
    "admin_listen: 0.0.0.0:8001\nadmin_auth: on",
    /tokens and keys could be read on the way; add 'ssl' to it, or set admin_plaintext to on/,
  ],
  [
    "an Admin API open to the network that asks nobody who they are, behind TLS",
    "admin_listen: 0.0.0.0:8444 ssl",
    /nobody has to say who they are there/,
  ],
  [
    "a plain address of the network beside one that asks for certificates",
    "admin_listen: 0.0.0.0:8444 ssl, 0.0.0.0:8001\nadmin_client_ca: ca.pem\nadmin_plaintext: on",
    /'0\.0\.0\.0:8001' can be reached from other machines, and nobody has to say/,
  ],
  [
    "an Admin API with a certificate and no key",
    "admin_ssl_cert: a.pem",
    /admin_ssl_cert: goes with admin_ssl_cert_key/,
  ],
  [
    "authorities of clients without TLS",
    "admin_client_ca: ca.pem",
    /add 'ssl' to an address of admin_listen/,
  ],
  [
    "roles of certificates that nobody asks for",
    `admin_client_roles: ["${"ab".repeat(32)}=admin"]`,
    /set admin_client_ca to the authorities/,
  ],
  [
    "a role of a certificate that there is not",
    `admin_client_roles: ["${"ab".repeat(32)}=king"]`,
    /is no certificate with a role.*viewer, author, admin, owner/,
  ],
  ["a certificate's hash that is none", 'admin_client_roles: ["ab=admin"]', /is no certificate with a role/],
  ["an unknown database", "database: oracle", /expected one of: sqlite, postgres, off/],
  [
    "a database beside a declarative configuration",
    "declarative_config: x.yml\ndatabase: postgres",
    /database: 'postgres' keeps entities of its own.*leave one of the two out/,
  ],
  ["a schema that would have to be quoted", 'pg_schema: a"b', /pg_schema/],
  ["too many threads", "data_threads: 5000", /between 1 and 1024/],
  ["a heartbeat's time that is none", "thread_hang_ms: 199", /199 is less than two heartbeats; write 200 or/],
  ["half a thread", "data_threads: 1.5", /expected an integer/],
  ["a word for a number", "max_headers: many", /expected an integer/],
  ["an unknown log level", "log_level: loud", /expected one of: debug, info/],
  ["a broken network", "trusted_ips: 10.0.0.0/33", /is not an IP address or network/],
  [
    "a network of an egress list",
    "egress_deny: 10.0.0.0/8, 10.0/8",
    /entry 2: '10\.0\/8' is not a network; write/,
  ],
  [
    "a kind of address that is none",
    "egress_guest_allow: privat",
    /'privat' is not a network; .* private, shared/,
  ],
  ["an unknown response header", "headers: X-Wrong", /'X-Wrong' is not known; allowed: server_tokens/],
  ["an origin with a path", "admin_allowed_origins: https://a.example/x", /is not an origin/],
  ["a host with a port", "admin_allowed_hosts: a.example:80", /is not a host name/],
  ["a list in place of names", "- a\n- b\n", /expected settings, one 'name: value' a line/],
  ["text in place of names", "hello", /expected settings/],
  ["broken YAML", "a: [1", /settings\.yaml:1:\d+: /],
  [
    "one setting under two names",
    "data_threads: 1\nnginx_worker_processes: 2",
    /sets the same as .*data_threads/,
  ],
  ["a name twice", "max_headers: 1\nmax_headers: 2", /settings\.yaml:2:1: .*unique/],
];

for (const [title, text, message] of REFUSED) {
  test(`the file is refused with ${title}`, () => {
    assert.match(refused({ file: file(text) }), message);
  });
}

test("a misspelt environment variable and flag are refused with the nearest name as they write it", () => {
  const errors = refused({ env: { GATEHOUSE_MAX_HEADER: "1" }, flags: { proxyLisen: "x" } });
  assert.match(errors, /GATEHOUSE_MAX_HEADER: unknown setting; did you mean 'GATEHOUSE_MAX_HEADERS'\?/);
  assert.match(errors, /--proxy-lisen: unknown setting; did you mean '--proxy-listen'\?/);
});

test("an empty environment variable counts as absent", () => {
  assert.equal(load({ env: { GATEHOUSE_MAX_HEADERS: "" } }).maxHeaders, 100);
});

test("all mistakes of all sources are named at once, each with its place", () => {
  const errors = refused({
    file: file("max_headers: 0\nwrong: 1\nadmin_listen: 127.0.0.1\n"),
    env: { GATEHOUSE_LOG_LEVEL: "loud" },
    flags: { max_url_bytes: "1" },
  }).split("\n");
  assert.equal(errors.length, 5);
  assert.ok(errors.some((error) => error.startsWith("GATEHOUSE_LOG_LEVEL: ")));
  assert.ok(errors.some((error) => error.startsWith("--max-url-bytes: ")));
  assert.ok(errors.some((error) => /settings\.yaml:3:1: admin_listen: /.test(error)));
});

test("a settings file that is not there is an error", () => {
  assert.match(refused({ file: "nowhere.yaml" }), /nowhere\.yaml: cannot be read \(ENOENT\)/);
});

test("Kong's other names for a setting stand for it", () => {
  for (const [name, value, read] of [
    ["lua_max_req_headers", "50", (settings: Settings) => settings.maxHeaders],
    ["nginx_worker_processes", "3", (settings: Settings) => settings.dataThreads],
    ["nginx_http_keepalive_requests", "7", (settings: Settings) => settings.maxRequestsPerConnection],
    ["nginx_http_client_max_body_size", "8", (settings: Settings) => settings.clientMaxBodySize],
    ["nginx_proxy_client_max_body_size", "8", (settings: Settings) => settings.clientMaxBodySize],
    ["nginx_http_client_body_buffer_size", "9", (settings: Settings) => settings.bodyBufferMemoryBytes],
  ] as const) {
    const { settings, errors } = loadSettings({ flags: { [name]: value }, env: {} });
    assert.equal(errors, undefined, name);
    assert.equal(read(settings as Settings), Number(value), name);
  }
});
