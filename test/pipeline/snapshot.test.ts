/** Snapshots made from the one before and a change: what a change reaches, and what a bad one leaves behind. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { loadDeclarative } from "../../src/declarative/declarative.ts";
import { emptyConfig, noConfig } from "../../src/declarative/empty-config.ts";
import {
  type ConfigChange,
  changeOf,
  editsBetween,
  inPieces,
  joined,
  wholeChange,
} from "../../src/entities/change.ts";
import type { GatewayConfig } from "../../src/entities/entities.ts";
import { EntityIndex } from "../../src/entities/entity-index.ts";
import { createCatalogue } from "../../src/gateway/catalogue.ts";
import type { Exchange } from "../../src/pipeline/exchange.ts";
import { atOnce, inSlices } from "../../src/pipeline/slices.ts";
import { Replaced, Snapshot, type SnapshotParts } from "../../src/pipeline/snapshot.ts";
import type { Balancer } from "../../src/upstream/balancer.ts";

function load(document: object, previous?: GatewayConfig): GatewayConfig {
  const text = JSON.stringify({ _format_version: "3.0", ...document });
  const loaded = loadDeclarative(text, { plugins: createCatalogue(null as never), previous });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  return loaded.config;
}

/** Plugins that remember how often they were made and disposed of, and balancers that say what they stand for. */
class Thread implements SnapshotParts {
  readonly made: string[] = [];
  readonly disposed: string[] = [];
  refuse: string | null = null;

  instantiate({ id, name }: { id: string; name: string }) {
    if (name === this.refuse) throw new Error(`${name} refuses its configuration`);
    this.made.push(id);
    return { priority: name.length, hooks: { access() {} }, dispose: () => void this.disposed.push(id) };
  }

  balancer(service: { host: string }, upstream: object | null, targets: readonly { target: string }[]) {
    const places = upstream === null ? [service.host] : targets.map(({ target }) => target).sort();
    return places.join(" ") as unknown as Balancer;
  }
}

const indexOf = (config: GatewayConfig) => EntityIndex.empty.next(editsBetween(noConfig(), config));
const change = (from: GatewayConfig, to: GatewayConfig): ConfigChange =>
  changeOf(editsBetween(from, to), to.hash, indexOf(from), indexOf(to));

/** As much of an exchange as matching asks for. */
function exchange(host: string, normalPath: string): Exchange {
  const request = { method: "GET", host, port: 80, scheme: "http", normalPath };
  return { request, client: { tls: null }, headerValues: () => [] } as unknown as Exchange;
}

/** What requests see of a snapshot. */
function seen(snapshot: Snapshot) {
  const hosts = ["a.com", "b.com", "c.com"];
  const routes = hosts.flatMap((host) =>
    ["/", "/x", "/y"].map((path) => {
      const found = snapshot.match(exchange(host, path));
      if (found === null) return null;
      const { route, service, stripPath, workspace } = found.data;
      const chain = found.data.chain(snapshot);
      const alice = snapshot.findConsumer(DEFAULT, "alice")?.id ?? null;
      const first = chain.access[0];
      const later = first === undefined ? chain : chain.forConsumer(alice, first);
      return {
        ...{ route, stripPath, workspace, to: service?.balancer, retries: service?.retries },
        plugins: chain.access.map(({ name }) => name),
        forAlice: later.access.map(({ name }) => name),
      };
    }),
  );
  const people = ["k1", "k2", "k3"].map((key) => snapshot.findCredential(DEFAULT, "key-auth", key)?.consumer);
  const names = ["alice", "bob"].map((name) => snapshot.findConsumer(DEFAULT, name));
  return { routes, people, names, global: snapshot.globalChain.access.map(({ name }) => name) };
}

const DEFAULT = emptyConfig().workspaces[0]!.id;

const plugins = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom("cors", "key-auth", "correlation-id", "prometheus"),
    enabled: fc.constantFrom(true, true, false),
  }),
  { selector: ({ name }) => name, maxLength: 2 },
);
const documents = fc.record({
  upstreams: fc.constantFrom(
    [],
    [{ name: "up", targets: [{ target: "10.0.0.1:80" }] }],
    [{ name: "up", targets: [{ target: "10.0.0.1:80" }, { target: "10.0.0.2:80" }] }],
    [{ name: "up", host_header: "x.com" }],
  ),
  services: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("s1", "s2"),
      host: fc.constantFrom("up", "h.com"),
      retries: fc.constantFrom(1, 2),
      enabled: fc.constantFrom(true, true, false),
      plugins,
      routes: fc.uniqueArray(
        fc.record({
          name: fc.constantFrom("r1", "r2", "r3"),
          hosts: fc.constantFrom(["a.com"], ["b.com", "*.com"], ["c.com"]),
          paths: fc.constantFrom(["/"], ["/x"], ["~/[xy]"], ["/x", "/y"]),
          plugins,
        }),
        { selector: ({ name }) => name, maxLength: 3 },
      ),
    }),
    { selector: ({ name }) => name, maxLength: 2 },
  ),
  consumers: fc.uniqueArray(
    fc.record({
      username: fc.constantFrom("alice", "bob"),
      custom_id: fc.constantFrom("1", "2"),
      plugins: plugins.filter((list) => list.every(({ name }) => !["key-auth", "cors"].includes(name))),
      keyauth_credentials: fc.constantFrom([], [{ key: "k1" }], [{ key: "k2" }]),
    }),
    { selector: ({ username }) => username, maxLength: 2 },
  ),
  plugins,
});

/** Route names are unique in a workspace, keys too; a document that breaks that is none. */
const sound = (document: { services: { routes: { name: string }[] }[]; consumers: object[] }): boolean => {
  try {
    load(document);
    return true;
  } catch {
    return false;
  }
};

describe("snapshots", () => {
  test("after any changes a snapshot is what it would be if it were made at once", () => {
    fc.assert(
      fc.property(fc.array(documents.filter(sound), { minLength: 1, maxLength: 5 }), (sequence) => {
        const thread = new Thread();
        const replaced = new Replaced();
        let config = noConfig();
        let snapshot = Snapshot.empty;
        for (const document of sequence) {
          const next = load(document, config);
          const pieces = structuredClone([...inPieces(change(config, next), 2)]);
          const after = atOnce(snapshot.next(joined(pieces), thread));
          replaced.add(snapshot, after);
          [config, snapshot] = [next, after];
          const alone = atOnce(Snapshot.empty.next(wholeChange(config), new Thread()));
          assert.deepEqual(seen(snapshot), seen(alone));
          assert.equal(snapshot.hash, alone.hash);
          const enabled = config.plugins.filter((plugin) => plugin.enabled).length;
          assert.equal(thread.made.length - thread.disposed.length, enabled);
        }
      }),
      { numRuns: 200 },
    );
  });

  const BASE = {
    services: [
      {
        name: "s",
        host: "h.com",
        routes: [
          { name: "r1", hosts: ["a.com"], plugins: [{ name: "cors" }] },
          { name: "r2", hosts: ["b.com"], plugins: [{ name: "correlation-id" }] },
        ],
      },
    ],
  };
  const CHANGED = {
    services: [
      {
        ...BASE.services[0],
        routes: [{ ...BASE.services[0]!.routes[0], hosts: ["c.com"] }, BASE.services[0]!.routes[1]],
      },
    ],
  };

  test("a change names the one entity that says something else", () => {
    const before = load(BASE);
    const { put, removed } = change(before, load(CHANGED, before));
    const named = Object.entries(put).flatMap(([name, list]) =>
      list.map((entity) => [name, (entity as { name?: unknown }).name]),
    );
    assert.deepEqual(named, [["routes", "r1"]]);
    assert.deepEqual(Object.values(removed).flat(), []);
  });

  test("plugins that a change leaves alone are not made again", () => {
    const thread = new Thread();
    const before = load(BASE);
    const first = atOnce(Snapshot.empty.next(wholeChange(before), thread));
    atOnce(first.next(change(before, load(CHANGED, before)), thread));
    assert.equal(thread.made.length, 2);
  });

  test("a plugin that cannot be made refuses the change whole, and what was made for it is freed", () => {
    const thread = new Thread();
    const before = load(BASE);
    const snapshot = atOnce(Snapshot.empty.next(wholeChange(before), thread));
    const expected = seen(snapshot);
    const after = load({ ...CHANGED, plugins: [{ name: "prometheus" }, { name: "key-auth" }] }, before);
    thread.refuse = "key-auth";
    assert.throws(() => atOnce(snapshot.next(change(before, after), thread)), /refuses its configuration/);
    assert.deepEqual(seen(snapshot), expected);
    assert.deepEqual(thread.disposed, thread.made.slice(2));
    thread.refuse = null;
    const next = atOnce(snapshot.next(change(before, after), thread));
    assert.deepEqual(next && seen(next).global, ["prometheus", "key-auth"]);
    assert.deepEqual(seen(snapshot), expected);
  });

  test("a route whose pattern cannot be compiled refuses the change whole", () => {
    const before = load(BASE);
    const snapshot = atOnce(Snapshot.empty.next(wholeChange(before), new Thread()));
    const expected = seen(snapshot);
    const good = change(before, load(CHANGED, before));
    const routes = good.put.routes.map((route) => ({ ...route, paths: ["~/a(?=b)"] }));
    const bad = { ...good, put: { ...good.put, routes } };
    assert.throws(() => atOnce(snapshot.next(bad, new Thread())), /look-ahead/);
    assert.deepEqual(seen(snapshot), expected);
  });

  test("a plugin that is gone is freed when the last request that may use it is over", () => {
    const thread = new Thread();
    const replaced = new Replaced();
    const configs = [load({ plugins: [{ name: "cors" }] })];
    configs.push(load({ plugins: [{ name: "prometheus" }] }, configs[0]), load({}, configs[0]));
    const one = atOnce(Snapshot.empty.next(wholeChange(configs[0]!), thread));
    one.inFlight = 1;
    const two = atOnce(one.next(change(configs[0]!, configs[1]!), thread));
    replaced.add(one, two);
    const three = atOnce(two.next(change(configs[1]!, configs[2]!), thread));
    replaced.add(two, three);
    // The request of the first snapshot never saw the second one's plugin.
    assert.deepEqual(thread.disposed, [configs[1]!.plugins[0]!.id]);
    one.inFlight = 0;
    replaced.sweep();
    assert.deepEqual(thread.disposed, [configs[1]!.plugins[0]!.id, configs[0]!.plugins[0]!.id]);
  });

  test("a large change lets others have the event loop while it is compiled", async () => {
    const routes = Array.from({ length: 20_000 }, (_, i) => ({
      name: `r${i}`,
      hosts: [`h${i}.com`],
      paths: [`/${i}`],
    }));
    const config = load({ services: [{ name: "s", host: "h.com", routes }] });
    let turns = 0;
    let over = false;
    const count = () => {
      turns++;
      if (!over) setImmediate(count);
    };
    setImmediate(count);
    const snapshot = await inSlices(Snapshot.empty.next(wholeChange(config), new Thread()));
    over = true;
    assert.ok(turns > 10, `${turns} turns of the event loop`);
    const found = snapshot.match(exchange("h19999.com", "/19999"));
    assert.equal(found?.data.route.name, "r19999");
  });
});
