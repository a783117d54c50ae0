import assert from "node:assert/strict";
import { test } from "node:test";
import { formatConfigErrors, toFields } from "../../src/declarative/declarative.ts";
import { load } from "./support.ts";

function faults(text: string): string[] {
  const loaded = load(text);
  assert.equal(loaded.ok, false, "loaded, though it must not");
  return loaded.ok ? [] : formatConfigErrors(loaded.errors).split("\n");
}

const MANY = `_format_version: "3.0"
servics: []
services:
- name: orders
  hots: a.b
  retries: many
  routes:
  - name: r1
    paths: [/a/../b, /ok]
    strip_pth: true
  plugins:
  - name: key-aut
  - name: key-auth
    config:
      key_nams: [x]
      limits: { minute: 101 }
  - name: key-auth
    consumer: alice
- name: orders
  url: http://h:99999/x
routes:
- name: r2
  service: order
  paths: [/x]
workspaces:
- name: acme
  hosts: [acme.example.com, "*.acme.io"]
  routes:
  - name: r1
    hosts: [ACME.example.com:8000, x.acme.io, acme.io, evil.com]
  - paths: [/x]
`;

test("everything that is wrong is said at once, each with its place, entity, field and what to write", () => {
  assert.deepEqual(faults(MANY), [
    "kong.yml:2:1 servics: unknown field; did you mean 'services'?",
    "kong.yml:4:3 service 'orders' host: required field missing",
    "kong.yml:5:3 service 'orders' hots: unknown field; did you mean 'host'?",
    "kong.yml:6:12 service 'orders' retries: expected an integer, found \"many\"",
    "kong.yml:9:13 route 'r1' paths[0]: non-normalized path, consider use '/b' instead",
    "kong.yml:10:5 route 'r1' strip_pth: unknown field; did you mean 'strip_path'?",
    "kong.yml:12:11 plugin 'key-aut' name: plugin 'key-aut' not enabled; add it to the 'plugins' configuration property; did you mean 'key-auth'?",
    "kong.yml:15:7 plugin 'key-auth' config.key_nams: unknown field; did you mean 'key_names'?",
    "kong.yml:16:25 plugin 'key-auth' config.limits.minute: value should be between 1 and 100, found 101",
    "kong.yml:18:15 plugin 'key-auth' consumer: value must be null; plugin 'key-auth' cannot be scoped by consumer",
    "kong.yml:18:15 plugin 'key-auth' consumer: invalid reference 'consumer: alice' (no such entry in 'consumers')",
    "kong.yml:19:9 service 'orders' name: uniqueness violation: 'services' entity with name set to 'orders' already declared; the first is on line 4",
    "kong.yml:20:8 service 'orders' url: port: value should be between 0 and 65535, found 99999",
    "kong.yml:23:12 route 'r2' service: invalid reference 'service: order' (no such entry in 'services'); did you mean 'orders'?",
    "kong.yml:30:47 route 'r1' of workspace 'acme' hosts[2]: host 'acme.io' is not owned by workspace 'acme'; workspace 'acme' owns: acme.example.com, *.acme.io",
    "kong.yml:30:56 route 'r1' of workspace 'acme' hosts[3]: host 'evil.com' is not owned by workspace 'acme'; workspace 'acme' owns: acme.example.com, *.acme.io",
    "kong.yml:31:5 route of workspace 'acme' hosts: a route of workspace 'acme' must name hosts that the workspace owns; workspace 'acme' owns: acme.example.com, *.acme.io",
  ]);
});

test("the same faults have Kong's nested form for the Admin API", () => {
  const loaded = load(`_format_version: "3.0"
services:
- { name: ok, host: h }
- { name: bad, routes: [{ name: r, paths: [a] }] }
consumers:
- {}
`);
  assert.ok(!loaded.ok);
  assert.deepEqual(JSON.parse(JSON.stringify(toFields(loaded.errors))), {
    services: [
      null,
      {
        host: "required field missing",
        routes: [{ paths: ["should start with: / (fixed path) or ~/ (regex path)"] }],
      },
    ],
    consumers: [{ "@entity": ["at least one of these fields must be non-empty: 'custom_id', 'username'"] }],
  });
});

test("JSON is read by the same rules, with lines and columns", () => {
  assert.deepEqual(
    faults('{\n  "_format_version": "3.0",\n  "services": [\n    { "nam": "a", "host": 5 }\n  ]\n}\n'),
    [
      "kong.yml:4:7 service nam: unknown field; did you mean 'name'?",
      "kong.yml:4:27 service host: expected a string, found 5; write it in quotes",
    ],
  );
});

const HEAD = '_format_version: "3.0"\n';
const CASES: [title: string, text: string, expected: string[]][] = [
  [
    "a route with a protocol that is none, and only it",
    `${HEAD}services: [{ name: s, host: h, routes: [{ name: r, protocols: [htpp], plugins: [{ name: cors }] }] }]\n`,
    [
      `kong.yml:2:64 route 'r' protocols[0]: expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp, found "htpp"; did you mean 'http'?`,
    ],
  ],
  [
    "a missing format version",
    "services: []\n",
    [`kong.yml:1:1 _format_version: required field missing; write _format_version: "3.0"`],
  ],
  [
    "a format version that is a number",
    "_format_version: 3.0\n",
    [`kong.yml:1:18 _format_version: expected a string; write _format_version: "3.0", in quotes`],
  ],
  [
    "an older format",
    '_format_version: "1.1"\n',
    [
      "kong.yml:1:18 _format_version: expected one of: 3.0; Kong's older formats are not read; 'gatehouse import' turns them into 3.0",
    ],
  ],
  ["an empty text", "", ['kong.yml:1:1: expected a map with _format_version: "3.0" and entities']],
  ["a list", "- a\n", ['kong.yml:1:1: expected a map with _format_version: "3.0" and entities']],
  [
    "a collection that is a map",
    `${HEAD}services: { a: b }\n`,
    ["kong.yml:2:11 services: expected an array"],
  ],
  ["an entity that is text", `${HEAD}services: [a]\n`, ["kong.yml:2:12 services[0]: expected a record"]],
  [
    "remarks of the wrong type",
    `${HEAD}_transform: maybe\n_comment: 1\nservices:\n- { name: a, host: h, _ignore: 2 }\n`,
    [
      "kong.yml:2:13 _transform: expected a boolean",
      "kong.yml:3:11 _comment: expected a string",
      "kong.yml:5:32 services[0]._ignore: expected an array",
    ],
  ],
  [
    "a nested entity that repeats its parent",
    `${HEAD}services:\n- name: a\n  host: h\n  routes: [{ name: r, paths: [/], service: a }]\n`,
    ["kong.yml:5:44 route 'r' service: value must be null; the service above it is meant already"],
  ],
  [
    "a reference that is a map",
    `${HEAD}services: [{ name: a, host: h }]\nroutes: [{ name: r, paths: [/], service: { name: a } }]\n`,
    ["kong.yml:3:42 route 'r' service: expected a string; write the id or the name of one of 'services'"],
  ],
  [
    "a service with a broken url",
    `${HEAD}services: [{ name: a, url: nowhere }]\n`,
    ["kong.yml:2:28 service 'a' url: missing host in url"],
  ],
  [
    "ids given twice",
    `${HEAD}services:\n- { id: 0f0f0f0f-0000-4000-8000-000000000001, host: h }\n- { id: 0f0f0f0f-0000-4000-8000-000000000001, host: h }\n`,
    [
      "kong.yml:4:9 service '0f0f0f0f-0000-4000-8000-000000000001' id: uniqueness violation: 'services' entity with primary key set to '0f0f0f0f-0000-4000-8000-000000000001' already declared; the first is on line 3",
    ],
  ],
  [
    "a target given twice in other words",
    `${HEAD}upstreams:\n- name: u\n  targets: [{ target: a }, { target: "A:8000" }]\n- name: v\n  targets: [{ target: a }]\n`,
    [
      "kong.yml:4:38 target 'a:8000' target: uniqueness violation: 'targets' entity with upstream, target set to 'u, a:8000' already declared; the first is on line 4",
    ],
  ],
  [
    "a plugin twice at one scope, another version of it included",
    `${HEAD}workspaces:\n- name: acme\n  plugins: [{ name: stamp@1.2.0 }, { name: acme/stamp@1.2.0 }]\n`,
    [
      "kong.yml:4:44 plugin 'acme/stamp@1.2.0' of workspace 'acme' name: uniqueness violation: 'plugins' entity with name set to 'acme/stamp@1.2.0' already declared; the first is on line 4",
    ],
  ],
  [
    "a credential's key given twice, without showing it",
    `${HEAD}consumers:\n- { username: a, keyauth_credentials: [{ key: s3cret }] }\n- { username: b, keyauth_credentials: [{ key: s3cret }] }\n`,
    [
      "kong.yml:4:47 key-auth credential key: uniqueness violation: 'keyauth_credentials' entity with key set to '***' already declared; the first is on line 3",
    ],
  ],
  [
    "a package of another workspace",
    `${HEAD}plugins: [{ name: stamp@1.2.0 }]\n`,
    ["kong.yml:2:19 plugin 'stamp@1.2.0' name: package 'stamp@1.2.0' is not in workspace 'default'"],
  ],
  [
    "a plugin whose protocols never meet its route's",
    `${HEAD}routes: [{ name: r, paths: [/] }]\nplugins: [{ name: cors, route: r, protocols: [grpc] }]\n`,
    ["kong.yml:3:46 plugin 'cors' protocols: must match the associated route's protocols"],
  ],
  [
    "a plugin whose protocols never meet its service's routes",
    `${HEAD}services: [{ name: s, host: h, routes: [{ name: r, paths: [/] }], plugins: [{ name: cors, protocols: [grpc] }] }]\n`,
    [
      "kong.yml:2:102 plugin 'cors' protocols: must match the protocols of at least one route pointing to this Plugin's service",
    ],
  ],
  [
    "what this version does not serve",
    `${HEAD}services:
- { name: s, host: h, protocol: grpc }
routes:
- { name: r, protocols: [tcp], destinations: [{ port: 9 }] }
upstreams:
- { name: u, algorithm: latency }
- { name: v, healthchecks: { passive: { unhealthy: { timeouts: 1 } } } }
consumers:
- { username: a, keyauth_credentials: [{ key: k, ttl: 5 }] }
`,
    [
      "kong.yml:3:33 service 's' protocol: protocol 'grpc' is not served yet by this version; use http or https",
      "kong.yml:5:25 route 'r' protocols: 'tcp' is not served yet by this version; use http or https",
      "kong.yml:7:25 upstream 'u' algorithm: algorithm 'latency' is not served yet by this version; use round-robin",
      "kong.yml:8:39 upstream 'v' healthchecks.passive: passive health checks are not served yet by this version; set the counters to 0",
      "kong.yml:10:55 key-auth credential ttl: 'ttl' is not served yet by this version; remove it and delete the credential when it ends",
    ],
  ],
  [
    "a reference into another workspace",
    `${HEAD}services: [{ name: shared, host: h }]\nworkspaces:\n- name: acme\n  hosts: [a.com]\n  routes: [{ name: r, hosts: [a.com], service: shared }]\n`,
    [
      "kong.yml:6:48 route 'r' of workspace 'acme' service: invalid reference 'service: shared' (no such entry in 'services' of workspace 'acme')",
    ],
  ],
  [
    "a reference by id into another workspace",
    `${HEAD}consumers: [{ username: a, id: 0f0f0f0f-0000-4000-8000-000000000001 }]\nworkspaces:\n- name: acme\n  keyauth_credentials: [{ key: k, consumer: 0f0f0f0f-0000-4000-8000-000000000001 }]\n`,
    [
      "kong.yml:5:45 key-auth credential of workspace 'acme' consumer: invalid reference 'consumer: 0f0f0f0f-0000-4000-8000-000000000001' (no such entry in 'consumers' of workspace 'acme')",
    ],
  ],
  [
    "hosts that two workspaces claim",
    `${HEAD}workspaces:\n- { name: a, hosts: ["*.x.com", y.com] }\n- { name: b, hosts: [a.b.x.com, y.com, "*.z.x.com", x.com] }\n`,
    [
      "kong.yml:4:22 workspace 'b' hosts[0]: host 'a.b.x.com' is owned by workspace 'a' already; through '*.x.com'",
      "kong.yml:4:33 workspace 'b' hosts[1]: host 'y.com' is owned by workspace 'a' already",
      "kong.yml:4:40 workspace 'b' hosts[2]: host '*.z.x.com' is owned by workspace 'a' already; through '*.x.com'",
    ],
  ],
  [
    "a workspace that owns nothing and matches something",
    `${HEAD}workspaces:\n- name: acme\n  routes: [{ name: r, hosts: [a.com] }]\n`,
    [
      "kong.yml:4:31 route 'r' of workspace 'acme' hosts[0]: host 'a.com' is not owned by workspace 'acme'; workspace 'acme' owns no hosts; list them under its 'hosts'",
    ],
  ],
  [
    "workspaces of one name, and one that calls itself default",
    `${HEAD}workspaces:\n- { name: a }\n- { name: a, id: 0f0f0f0f-0000-4000-8000-000000000001 }\n- { name: default }\n`,
    [
      "kong.yml:4:11 workspace 'a' name: uniqueness violation: 'workspaces' entity with name set to 'a' already declared; the first is on line 3",
      "kong.yml:5:11 workspace 'default' name: uniqueness violation: 'workspaces' entity with name set to 'default' already declared; entities of the default workspace stand at the top level",
    ],
  ],
  [
    "fields named as what every object inherits",
    `${HEAD}services: [{ name: s, host: h, constructor: 1, toString: 2 }]\nplugins: [{ name: cors, config: { constructor: 1 } }]\n`,
    [
      "kong.yml:2:32 service 's' constructor: unknown field; allowed: id, created_at, updated_at, name, retries, protocol, host, port, path, connect_timeout, write_timeout, read_timeout, tags, client_certificate, tls_verify, tls_verify_depth, ca_certificates, enabled, url, routes, plugins",
      "kong.yml:2:48 service 's' toString: unknown field; allowed: id, created_at, updated_at, name, retries, protocol, host, port, path, connect_timeout, write_timeout, read_timeout, tags, client_certificate, tls_verify, tls_verify_depth, ca_certificates, enabled, url, routes, plugins",
      "kong.yml:3:35 plugin 'cors' config.constructor: unknown field; no field is allowed here",
    ],
  ],
  [
    "a service's broken url, and only it",
    `${HEAD}services: [{ name: s, url: "http://" }]\n`,
    ["kong.yml:2:28 service 's' url: missing host in url"],
  ],
  [
    "a name that would forge another line of the report",
    `${HEAD}services: [{ name: "a\\nb", host: 1 }]\n`,
    [
      "kong.yml:2:20 service 'a\ufffdb' name: invalid value 'a\ufffdb': the only accepted ascii characters are alphanumerics or ., -, _, and ~",
      "kong.yml:2:34 service 'a\ufffdb' host: expected a string, found 1; write it in quotes",
    ],
  ],
  [
    "a key of decK's own",
    `${HEAD}_info: { select_tags: [a] }\n`,
    [
      "kong.yml:2:1 _info: unknown field; allowed: consumers, consumer_groups, consumer_group_consumers, certificates, snis, ca_certificates, services, routes, upstreams, targets, plugins, vaults, key_sets, keys, acls, basicauth_credentials, hmacauth_credentials, jwt_secrets, keyauth_credentials, oauth2_credentials, workspaces",
    ],
  ],
];

for (const [title, text, expected] of CASES) {
  test(`${title} is refused where it stands`, () => assert.deepEqual(faults(text), expected));
}

test("of hundreds of misspelt names each is told, and what some of them are near to", () => {
  const many = (line: (i: number) => string) => Array.from({ length: 900 }, (_, i) => line(i)).join("");
  const found = faults(
    `${HEAD}services:\n${many((i) => `- { name: the-service-with-the-long-number-${i}, host: h }\n`)}` +
      `routes:\n${many((i) => `- { name: r${i}, paths: [/], service: the-service-with-the-lung-nimber-${i} }\n`)}`,
  );
  assert.equal(found.length, 900);
  assert.match(found[0] ?? "", /did you mean 'the-service-with-the-long-number-0'\?$/);
  assert.match(found.at(-1) ?? "", /\(no such entry in 'services'\)$/);
});

test("of many faults a thousand are told, and that nothing was looked at after them", () => {
  const services = Array.from({ length: 3000 }, (_, i) => `- name: s${i}\n  hots: a.example`);
  const told = faults(`_format_version: "3.0"\nservices:\n${services.join("\n")}\n`);
  assert.equal(told.length, 1001);
  assert.match(String(told.at(-1)), /1000 faults were found, and nothing was looked at after that/);
});

const LONG = [
  "paths: length must be at most 1000",
  "headers: length must be at most 50",
  "headers.x: length must be at most 100",
];
const pattern = (_: unknown, i: number) => `"~/${i}$"`;
const LISTS = [
  `paths: [${Array.from({ length: 1001 }, pattern).join(", ")}]`,
  `headers: { ${Array.from({ length: 51 }, (_, i) => `x${i}: [a]`).join(", ")} }`,
  `headers: { x: [${Array.from({ length: 101 }, pattern).join(", ")}] }`,
];

for (const [i, message] of LONG.entries())
  test(`a route with more patterns than it may have is refused before any is compiled: ${message}`, () => {
    const told = faults(`_format_version: "3.0"\nroutes:\n- name: r\n  ${LISTS[i]}\n`);
    assert.ok(told.length === 1 && told[0]?.includes(message), told.join("\n"));
  });
