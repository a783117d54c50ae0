/** Where workspaces, and guests, may have the gateway connect to. */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { describe, it } from "node:test";
import { checkNetwork, Networks } from "../../src/egress/networks.ts";
import { type OwnListener, OwnListeners, serverListeners } from "../../src/egress/own-listeners.ts";
import { type EgressSettings, Policies, type WorkspaceEgress } from "../../src/egress/policies.ts";
import type { Purpose } from "../../src/egress/policy.ts";

interface Given {
  workspace?: string;
  purpose?: Purpose;
  settings?: Partial<EgressSettings>;
  egress?: Partial<NonNullable<WorkspaceEgress>>;
  own?: readonly OwnListener[];
}

function verdict(address: string, port: number, given: Given): string {
  const { workspace = "acme", purpose = "configuration", settings = {}, egress, own = [] } = given;
  const all = { egressAllow: [], egressDeny: [], egressGuestAllow: [], ...settings };
  const lists = egress === undefined ? null : { allow: [], deny: [], guest_allow: [], ...egress };
  const policies = Policies.of(all, new OwnListeners(own));
  return policies.unknown(workspace, lists, purpose).check(address, port)?.rule ?? "allowed";
}

const REFUSED_TO_ALL = {
  loopback: [
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "::ffff:127.0.0.1",
    "2002:7f00:1::",
    "64:ff9b::7f00:1",
    "2001:0:7f00:1::1",
  ],
  link_local: ["169.254.1.1", "fe80::1%eth0"],
  metadata: ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"],
  unspecified: ["0.0.0.0", "::", "0.0.0.9"],
  multicast: ["224.0.0.1", "ff02::1"],
  broadcast: ["255.255.255.255"],
  reserved: ["240.0.0.1", "::7f00:1"],
  not_an_address: ["2130706433", "0177.0.0.1", "0x7f.1", "/run/docker.sock", "\0abstract", "localhost"],
} as const;
const REFUSED_TO_GUESTS = {
  private: ["10.0.0.1", "192.168.0.1", "172.16.3.4", "fc00::1", "::ffff:10.0.0.1", "2002:a00:1::"],
  shared: ["100.64.0.1"],
  documentation: ["203.0.113.1"],
} as const;
const GUEST = { workspace: "default", purpose: "guest" } as const;

/** Stores that are files, whatever the settings of servers say. */
const NO_SERVERS = {
  guestKv: "local",
  redisHost: "127.0.0.1",
  redisPort: 6379,
  database: "sqlite",
  pgHost: "127.0.0.1",
  pgPort: 5432,
};

describe("by default", () => {
  for (const [rule, addresses] of Object.entries(REFUSED_TO_ALL)) {
    for (const address of addresses) {
      it(`${JSON.stringify(address)} is refused to tenants and to all guests (${rule})`, () => {
        assert.equal(verdict(address, 80, {}), rule);
        assert.equal(verdict(address, 80, { purpose: "guest" }), rule);
        assert.equal(verdict(address, 80, GUEST), rule);
        if (rule !== "not_an_address")
          assert.equal(verdict(address, 80, { workspace: "default" }), "allowed");
      });
    }
  }
  for (const [rule, addresses] of Object.entries(REFUSED_TO_GUESTS)) {
    for (const address of addresses) {
      it(`${address} is refused to guests alone (${rule})`, () => {
        assert.equal(verdict(address, 80, {}), "allowed");
        assert.equal(verdict(address, 80, { purpose: "guest" }), rule);
        assert.equal(verdict(address, 80, GUEST), rule);
      });
    }
  }
  it("a public address is open to everybody", () => {
    for (const given of [{}, GUEST, { purpose: "guest" }] as const)
      assert.equal(verdict("1.1.1.1", 443, given), "allowed");
  });
});

describe("lists", () => {
  const cases: readonly (readonly [string, string, Given, string])[] = [
    ["an address that is allowed", "127.0.0.1", { settings: { egressAllow: ["127.0.0.1"] } }, "allowed"],
    ["its spelling inside IPv6", "::ffff:127.0.0.1", { settings: { egressAllow: ["127.0.0.1"] } }, "allowed"],
    ["another than the one allowed", "127.0.0.2", { settings: { egressAllow: ["127.0.0.1"] } }, "loopback"],
    ["a network that is allowed", "127.0.0.2", { settings: { egressAllow: ["127.0.0.0/8"] } }, "allowed"],
    ["a kind that is allowed", "::1", { settings: { egressAllow: ["loopback"] } }, "allowed"],
    [
      "everything allowed: metadata is not",
      "169.254.169.254",
      { settings: { egressAllow: ["0.0.0.0/0"] } },
      "metadata",
    ],
    [
      "the network around metadata allowed",
      "169.254.169.254",
      { settings: { egressAllow: ["169.254.0.0/16", "link_local"] } },
      "metadata",
    ],
    ["metadata allowed by name", "169.254.169.254", { settings: { egressAllow: ["metadata"] } }, "allowed"],
    [
      "metadata allowed by address",
      "169.254.169.254",
      { settings: { egressAllow: ["169.254.169.254/32"] } },
      "allowed",
    ],
    ["a network that is denied", "10.1.2.3", { settings: { egressDeny: ["10.0.0.0/8"] } }, "denied"],
    ["a kind that is denied", "192.168.7.7", { settings: { egressDeny: ["private"] } }, "denied"],
    [
      "a denied address inside NAT64",
      "64:ff9b::a01:203",
      { settings: { egressDeny: ["private"] } },
      "denied",
    ],
    [
      "both, in the settings: deny goes first",
      "10.1.2.3",
      { settings: { egressDeny: ["private"], egressAllow: ["10.0.0.0/8"] } },
      "denied",
    ],
    [
      "denied, and allowed to the workspace",
      "10.1.2.3",
      { settings: { egressDeny: ["private"] }, egress: { allow: ["10.1.0.0/16"] } },
      "allowed",
    ],
    [
      "allowed, and denied to the workspace",
      "127.0.0.1",
      { settings: { egressAllow: ["loopback"] }, egress: { deny: ["loopback"] } },
      "denied",
    ],
    [
      "what services may reach, asked by a guest",
      "127.0.0.1",
      { settings: { egressAllow: ["loopback"] }, purpose: "guest" },
      "loopback",
    ],
    [
      "what guests may reach, asked for a service",
      "127.0.0.1",
      { settings: { egressGuestAllow: ["loopback"] } },
      "loopback",
    ],
    [
      "what guests may reach",
      "10.0.0.1",
      { settings: { egressGuestAllow: ["10.0.0.1"] }, ...GUEST },
      "allowed",
    ],
    [
      "what guests of the workspace may reach",
      "10.0.0.1",
      { egress: { guest_allow: ["private"] }, purpose: "guest" },
      "allowed",
    ],
    ["denied to guests too", "1.1.1.1", { settings: { egressDeny: ["1.1.1.1"] }, ...GUEST }, "denied"],
    [
      "the lists of the settings are nothing to default's services",
      "1.1.1.1",
      { settings: { egressDeny: ["0.0.0.0/0"] }, workspace: "default" },
      "allowed",
    ],
    [
      "an outer form that is allowed carries no inner one",
      "2002:7f00:1::",
      { settings: { egressAllow: ["2002::/16"] } },
      "loopback",
    ],
  ];
  for (const [what, address, given, expected] of cases) {
    it(`${what}: ${address} is ${expected}`, () => assert.equal(verdict(address, 80, given), expected));
  }

  for (const [entry, wrong] of [
    ["10.0.0.0/33", "'10.0.0.0/33' is not a network: its length is a number from 0 to 32"],
    [
      "10.0.0",
      "'10.0.0' is not a network; write an address, a network such as 10.0.0.0/8, or one of: metadata, ",
    ],
    ["0x0a.0.0.0/8", "'0x0a.0.0.0/8' is not a network; "],
    ["fe80::1%eth0", "'fe80::1%eth0' is not a network; "],
    ["::ffff:0.0.0.0/90", "'::ffff:0.0.0.0/90' is half IPv4 and half IPv6; write two networks"],
    ["10.0.0.0/8/8", "'10.0.0.0/8/8' is not a network; "],
    ["10.0.0.0/", "'10.0.0.0/' is not a network: its length is a number from 0 to 32"],
    ["example.com", "'example.com' is not a network; "],
    ["", "'' is not a network; "],
  ] as const) {
    it(`'${entry}' in a list is told to be wrong`, () => {
      assert.ok(checkNetwork(entry)?.startsWith(wrong), String(checkNetwork(entry)));
    });
  }

  it("a network of IPv4 written inside IPv6 is that of IPv4", () => {
    const networks = new Networks(["::ffff:10.0.0.0/104"]);
    assert.equal(networks.has({ family: "ipv4", text: "10.9.9.9" }, null), true);
    assert.equal(networks.has({ family: "ipv4", text: "11.9.9.9" }, null), false);
  });
});

describe("the gateway's own listeners", () => {
  const OPEN = { settings: { egressAllow: ["0.0.0.0/0", "::/0"], egressGuestAllow: ["0.0.0.0/0", "::/0"] } };
  const machine = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const admin = { name: "admin_listen", host: "127.0.0.1", port: 8001 } as const;
  const proxy = { name: "proxy_listen", host: "0.0.0.0", port: 8000 } as const;
  const cases: readonly (readonly [string, number, string])[] = [
    ["127.0.0.1", 8001, "own_listener"],
    ["::ffff:127.0.0.1", 8001, "own_listener"],
    ["0.0.0.0", 8001, "own_listener"],
    ["::", 8001, "own_listener"],
    ["2002:7f00:1::", 8001, "own_listener"],
    ["127.0.0.1", 8002, "allowed"],
    ["127.0.0.2", 8001, "allowed"],
    ["127.0.0.2", 8000, "own_listener"],
    ["::1", 8000, "own_listener"],
    ["1.1.1.1", 8000, "allowed"],
  ];
  for (const [address, port, expected] of cases) {
    it(`whatever is allowed, ${address} port ${port} is ${expected}`, () => {
      assert.equal(verdict(address, port, { ...OPEN, own: [admin, proxy] }), expected);
      assert.equal(verdict(address, port, { ...OPEN, purpose: "guest", own: [admin, proxy] }), expected);
    });
  }
  it("a listener on all addresses is found at each address of the machine", () => {
    assert.ok(machine.length > 0);
    for (const { address } of machine)
      assert.equal(verdict(address, 8000, { ...OPEN, own: [proxy] }), "own_listener", address);
  });
  for (const [host, address, expected] of [
    ["127.0.0.1", "127.0.0.1", "own_listener"],
    ["127.0.0.1", machine[0]?.address ?? "", "own_listener"],
    ["localhost", "::1", "own_listener"],
    ["10.1.2.3", "10.1.2.3", "own_listener"],
    ["10.1.2.3", "10.1.2.4", "allowed"],
    ["name.invalid", "127.0.0.1", "own_listener"],
    ["/run/postgresql", "127.0.0.1", "own_listener"],
  ] as const)
    for (const [store, port, asked] of [
      ["of plugins' values", 6379, { guestKv: "redis", redisHost: host }],
      ["of configurations", 5432, { database: "postgres", pgHost: host }],
    ] as const)
      it(`a store ${store} at ${host} makes ${address} ${expected} to services and guests`, async () => {
        const own = await serverListeners({ ...NO_SERVERS, ...asked });
        assert.equal(verdict(address, port, { ...OPEN, own }), expected);
        assert.equal(verdict(address, port, { ...OPEN, purpose: "guest", own }), expected);
        assert.equal(verdict(address, port + 1, { ...OPEN, own }), "allowed");
      });
  it("a store that is a file closes no address", async () => {
    assert.deepEqual(await serverListeners(NO_SERVERS), []);
  });
  it("ports that the system has chosen count once they are known, for policies that are there already", () => {
    const own = new OwnListeners([]);
    const all = { egressAllow: ["loopback"], egressDeny: [], egressGuestAllow: [] };
    const policy = Policies.of(all, own).named("acme", "configuration");
    assert.equal(policy.check("127.0.0.1", 40001), null);
    own.replace([{ ...admin, port: 40001 }]);
    assert.equal(policy.check("127.0.0.1", 40001)?.rule, "own_listener");
  });
  it("default's own services may lead to them: that is how an operator shows the Admin API through a route", () => {
    assert.equal(verdict("127.0.0.1", 8001, { workspace: "default", own: [admin] }), "allowed");
    assert.equal(verdict("127.0.0.1", 8001, { ...OPEN, ...GUEST, own: [admin] }), "own_listener");
  });
});

describe("policies of a configuration", () => {
  const workspace = (id: string, name: string, egress: WorkspaceEgress) =>
    ({
      id,
      name,
      egress,
      hosts: [],
      comment: null,
      tags: null,
      created_at: 0,
      updated_at: 0,
      ws_id: id,
    }) as never;
  const lists = (allow: string[]) => ({ allow, deny: [], guest_allow: [] });

  it("are replaced for the workspace that changes, and no other", () => {
    const first = Policies.of().next({
      put: { workspaces: [workspace("1", "acme", lists(["loopback"])), workspace("2", "globex", null)] },
      removed: { workspaces: [] },
    });
    const [acme, globex] = [first.of("1", "configuration"), first.of("2", "configuration")];
    assert.equal(acme.check("127.0.0.1", 80), null);
    assert.equal(globex.check("127.0.0.1", 80)?.rule, "loopback");
    const second = first.next({
      put: { workspaces: [workspace("1", "acme", null)] },
      removed: { workspaces: [] },
    });
    assert.equal(second.named("acme", "configuration").check("127.0.0.1", 80)?.rule, "loopback");
    assert.equal(second.named("globex", "configuration"), globex);
    assert.notEqual(second.named("acme", "configuration"), acme);
  });

  it("of a workspace that is gone, or never was, are the strict ones", () => {
    const known = Policies.of().next({
      put: { workspaces: [workspace("1", "acme", lists(["loopback"]))] },
      removed: { workspaces: [] },
    });
    const after = known.next({ put: { workspaces: [] }, removed: { workspaces: ["1"] } });
    assert.equal(after.of("1", "configuration").check("127.0.0.1", 80)?.rule, "loopback");
    assert.equal(after.named("acme", "configuration").check("127.0.0.1", 80)?.rule, "loopback");
    assert.equal(after.named("nobody", "guest").check("10.0.0.1", 80)?.rule, "private");
  });
});
