/** What a tenant's configuration names outright and may not reach, and what only the operator's may say. */
import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import { formatConfigErrors, loadDeclarative } from "../../src/declarative/declarative.ts";
import { OwnListeners } from "../../src/egress/own-listeners.ts";
import { Policies } from "../../src/egress/policies.ts";
import { catalogue, load } from "./support.ts";

function faults(text: string): string[] {
  const loaded = load(text);
  return loaded.ok ? [] : formatConfigErrors(loaded.errors).split("\n");
}

const tenant = (body: string, egress = "") => `_format_version: "3.0"
workspaces:
- name: acme
${egress}${body}`;
/** A reference to the environment, which is no template of this file. */
const env = (name: string) => `$\{${name}}`;
const WHO = "which a workspace other than 'default' may not connect to";
const ALLOW = (address: string) =>
  `if that is meant, the operator adds '${address}' to egress_allow, or to egress.allow of the workspace`;

test("addresses that are refused are errors with file, line, entity, field and what to do", () => {
  const text = tenant(`  services:
  - name: home
    host: 127.0.0.1
  - name: six
    url: http://[::1]:9000/x
  - name: local
    host: LOCALHOST
  - name: keys
    host: "::ffff:169.254.169.254"
  - name: fine
    host: 10.0.0.1
  - name: named
    host: example.com
  upstreams:
  - name: pool
    targets:
    - target: 127.0.0.1:80
    - target: "[::1]:80"
    - target: 1.1.1.1:80
    - target: backend.localhost:80
`);
  assert.deepEqual(faults(text), [
    `kong.yml:6:11 service 'home' of workspace 'acme' host: 127.0.0.1 is a loopback address, ${WHO}; ${ALLOW("127.0.0.1")}`,
    `kong.yml:8:10 service 'six' of workspace 'acme' url: host: ::1 is a loopback address, ${WHO}; ${ALLOW("::1")}`,
    `kong.yml:10:11 service 'local' of workspace 'acme' host: 'LOCALHOST' is this machine: 127.0.0.1 is a loopback address, ${WHO}; ${ALLOW("127.0.0.1")}`,
    `kong.yml:12:11 service 'keys' of workspace 'acme' host: ::ffff:169.254.169.254 is the address of a cloud's metadata service, ${WHO}; ${ALLOW("169.254.169.254")}`,
    `kong.yml:20:15 target '127.0.0.1:80' of workspace 'acme' target: 127.0.0.1 is a loopback address, ${WHO}; ${ALLOW("127.0.0.1")}`,
    `kong.yml:21:15 target '[::1]:80' of workspace 'acme' target: ::1 is a loopback address, ${WHO}; ${ALLOW("::1")}`,
    `kong.yml:23:15 target 'backend.localhost:80' of workspace 'acme' target: 'backend.localhost' is this machine: 127.0.0.1 is a loopback address, ${WHO}; ${ALLOW("127.0.0.1")}`,
  ]);
});

test("in the default workspace a service may lead anywhere", () => {
  const services = ["127.0.0.1", "169.254.169.254", "localhost"].map((host) => ({ host }));
  assert.deepEqual(faults(JSON.stringify({ _format_version: "3.0", services })), []);
});

describe("the lists of a workspace", () => {
  const services = "  services: [{ name: a, host: 127.0.0.1 }, { name: b, host: 10.0.0.1 }]\n";
  it("open what is named", () => {
    assert.deepEqual(faults(tenant(services, "  egress: { allow: [127.0.0.1] }\n")), []);
  });
  it("close what is named", () => {
    const [a, b, ...others] = faults(tenant(services, "  egress: { deny: [private] }\n"));
    assert.match(String(a), /service 'a' .*loopback/);
    assert.match(String(b), /service 'b' .*10\.0\.0\.1 is in egress\.deny of the workspace/);
    assert.deepEqual(others, []);
  });
  it("are checked themselves, and nothing is said of services while it is not known what they open", () => {
    assert.deepEqual(faults(tenant(services, "  egress: { allow: [127.0.0, loopbak], opens: [] }\n")), [
      "kong.yml:4:21 workspace 'acme' egress.allow[0]: '127.0.0' is not a network; write an address, a network such as 10.0.0.0/8, or one of: metadata, unspecified, loopback, link_local, multicast, broadcast, private, shared, documentation, benchmarking, reserved",
      "kong.yml:4:30 workspace 'acme' egress.allow[1]: 'loopbak' is not a network; write an address, a network such as 10.0.0.0/8, or one of: metadata, unspecified, loopback, link_local, multicast, broadcast, private, shared, documentation, benchmarking, reserved",
      "kong.yml:4:40 workspace 'acme' egress.opens: unknown field; allowed: allow, deny, guest_allow",
    ]);
  });
});

test("an upstream that is called like the machine is an upstream", () => {
  const text = tenant(`  upstreams:
  - name: localhost
    targets: [{ target: "1.1.1.1:80" }]
  services:
  - host: localhost
`);
  assert.deepEqual(faults(text), []);
});

test("the gateway's own listeners are refused whatever the lists say", () => {
  const own = new OwnListeners([{ name: "admin_listen", host: "127.0.0.1", port: 8001 }]);
  const settings = { egressAllow: ["loopback"], egressDeny: [], egressGuestAllow: [] };
  const loaded = loadDeclarative(tenant("  services: [{ name: a, url: 'http://127.0.0.1:8001' }]\n"), {
    plugins: catalogue,
    egress: Policies.of(settings, own),
  });
  assert.ok(!loaded.ok);
  assert.equal(
    loaded.errors[0]?.message,
    `host: 127.0.0.1 port 8001 is the gateway's own admin_listen, ${WHO}`,
  );
});

describe("what only the operator's configuration may say", () => {
  const ENV =
    "workspace 'acme' may not refer to the gateway's environment, which is the operator's; write the value";
  const VAULT = "workspace 'acme' may not refer to vaults, which are the operator's; write the value";
  for (const [what, body, expected] of [
    [
      "a reference to the environment, anywhere in a text",
      `  services:\n  - name: a\n    host: '${env("HOST")}.example.com'\n`,
      `kong.yml:6:11 service 'a' of workspace 'acme' host: ${ENV}`,
    ],
    [
      "a reference to a vault in a plugin's configuration",
      "  plugins:\n  - name: key-auth\n    config: { key_names: [a, '{vault://env/kong-key}'] }\n",
      `kong.yml:6:30 plugin 'key-auth' of workspace 'acme' config.key_names[1]: ${VAULT}`,
    ],
    [
      "the same in a credential",
      "  consumers:\n  - username: u\n    keyauth_credentials: [{ key: '{vault://file/etc/passwd}' }]\n",
      `kong.yml:6:34 key-auth credential of workspace 'acme' key: ${VAULT}`,
    ],
    [
      "a reference in a label",
      `  plugins:\n  - name: key-auth\n    config: { labels: { a: 'x${env("HOME")}' } }\n`,
      `kong.yml:6:28 plugin 'key-auth' of workspace 'acme' config.labels.a: ${ENV}`,
    ],
    [
      "a path of the machine",
      "  plugins:\n  - name: file-log\n    config: { path: /etc/cron.d/x }\n",
      "kong.yml:6:21 plugin 'file-log' of workspace 'acme' config.path: workspace 'acme' may not use a file that the gateway writes; only workspace 'default' may",
    ],
    [
      "a plugin that is the machine's as a whole",
      "  plugins:\n  - name: syslog\n",
      "kong.yml:5:11 plugin 'syslog' of workspace 'acme' name: workspace 'acme' may not use the machine's own log; only workspace 'default' may",
    ],
  ] as const) {
    it(`${what} is refused to a tenant`, () => {
      assert.ok(faults(tenant(body)).includes(expected), faults(tenant(body)).join("\n"));
    });
  }
  it("texts that only look like references are a tenant's to write", () => {
    const body = `  plugins:\n  - name: key-auth\n    config: { labels: { a: 'costs ${env("5")}', b: 'a {vault://x}' } }\n`;
    assert.deepEqual(faults(tenant(body)), []);
  });
  it("a path of the machine is the operator's to write", () => {
    const text =
      '_format_version: "3.0"\nplugins: [{ name: file-log, config: { path: /var/log/x } }, { name: syslog }]\n';
    assert.deepEqual(faults(text), []);
  });
  it("a reference to a vault is refused to the operator as well, where a field does not take one", () => {
    const text = '_format_version: "3.0"\nservices: [{ name: a, host: b, tags: ["{vault://env/a}"] }]\n';
    assert.match(
      faults(text).join("\n"),
      /tags\[0\]: a reference to a vault cannot stand here; write the value/,
    );
  });
});
