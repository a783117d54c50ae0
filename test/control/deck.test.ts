/**
 * What decK asks of a gateway, in its order: who are you, everything in pages, schemas for defaults, each entity by its
 * id (ten at a time, parents first), the same again, and everything away in reverse.
 */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { soundEntities } from "../entities/sound-entities.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Call, startWritable } from "./gateway.ts";

/** Collections as decK lists them. */
const LISTS = [
  "services",
  "routes",
  "plugins",
  "consumers",
  "consumer_groups",
  "upstreams",
  "certificates",
  "ca_certificates",
  "snis",
  "vaults",
  "keys",
  "key-sets",
  "key-auths",
  "hmac-auths",
  "jwts",
  "basic-auths",
  "oauth2",
  "acls",
];
/** Those that it asks for and takes a 404 for an answer. */
const OTHERS = ["licenses", "partials", "rbac/roles", "custom-plugins", "mtls-auths"];
const SCHEMAS = [
  "services",
  "routes",
  "upstreams",
  "targets",
  "consumers",
  "plugins",
  "certificates",
  "keys",
];

describe("decK", () => {
  let gateway: Gateway & { call: Call };
  /** Path and body of every entity, parents first. */
  let state: [path: string, body: Record<string, unknown>][];

  before(async () => {
    gateway = await startWritable();
    const sound = await soundEntities();
    const id = () => randomUUID();
    const [service, route, consumer, upstream, certificate, set, group] = [
      id(),
      id(),
      id(),
      id(),
      id(),
      id(),
      id(),
    ];
    const tags = ["managed-by-deck"];
    const credential = (path: string, body: object): (typeof state)[number] => {
      const own = id();
      return [
        `/consumers/${consumer}/${path}/${own}`,
        { id: own, consumer: { id: consumer }, tags, ...body },
      ];
    };
    const one = (path: string, own: string, body: object): (typeof state)[number] => [
      `/${path}/${own}`,
      { id: own, tags, ...body },
    ];
    const [first, second] = [id(), id()];
    state = [
      one("certificates", certificate, { ...sound.certificates }),
      one("snis", id(), { name: "deck.example", certificate: { id: certificate } }),
      one("ca_certificates", id(), { ...sound.ca_certificates }),
      one("services", service, { name: "svc", host: "h", port: 80, protocol: "http" }),
      one("routes", route, { name: "rt", paths: ["/a"], service: { id: service } }),
      one("consumer_groups", group, { name: "gold" }),
      one("consumers", consumer, { username: "alice", custom_id: "42" }),
      credential("key-auth", { key: "k" }),
      credential("basic-auth", { username: "a", password: "p" }),
      credential("hmac-auth", { username: "a", secret: "s" }),
      credential("jwt", { key: "j", secret: "s", algorithm: "HS256" }),
      credential("acls", { group: "g" }),
      one("upstreams", upstream, { name: "pool" }),
      [
        `/upstreams/${upstream}/targets/${first}`,
        { id: first, target: "10.0.0.1:80", upstream: { id: upstream } },
      ],
      one("key-sets", set, { name: "set" }),
      one("keys", id(), { ...sound.keys, set: { id: set } }),
      one("vaults", id(), { ...sound.vaults, config: { prefix: "DECK_" } }),
      one("plugins", second, {
        name: "key-auth",
        service: { id: service },
        config: { key_names: ["apikey"] },
      }),
    ];
  });
  after(() => gateway?.[Symbol.asyncDispose]());

  /** Everything that is there, in pages of 1,000. */
  async function dump(): Promise<Map<string, unknown>> {
    const all = new Map<string, unknown>();
    for (const list of LISTS) {
      let path: string | null | undefined = `/${list}?size=1000&tags=managed-by-deck`;
      while (path) {
        const { status, json, text } = await gateway.call("GET", path);
        assert.equal(status, 200, `${path} ${text}`);
        for (const entity of json.data ?? []) all.set(`${list} ${entity.id}`, entity);
        path = json.next;
      }
    }
    return all;
  }

  /** Ten at a time: decK's own parallelism. */
  async function each(
    paths: readonly (readonly [string, object?])[],
    method: string,
    status: number,
  ): Promise<void> {
    const left = paths.values();
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        for (const [path, body] of left) {
          const reply = await gateway.call(method, path, body);
          assert.equal(reply.status, status, `${method} ${path}: ${reply.text}`);
        }
      }),
    );
  }

  test("learns the version and that there is a database", async () => {
    const { version, configuration } = (await gateway.call("GET", "/")).json;
    assert.match(String(version), /^3\.\d+\.\d+$/);
    assert.equal((configuration as { database: string }).database, "postgres");
  });

  test("finds every list, and takes a 404 for those of the Enterprise edition", async () => {
    assert.equal((await dump()).size, 0);
    for (const path of OTHERS)
      assert.equal((await gateway.call("GET", `/${path}?size=1000`)).status, 404, path);
    for (const name of SCHEMAS)
      assert.ok(Array.isArray((await gateway.call("GET", `/schemas/${name}`)).json.fields));
    for (const path of ["/schemas/plugins/key-auth", "/schemas/vaults/env"])
      assert.equal((await gateway.call("GET", path)).status, 200);
  });

  test("creates everything by id, finds it as it wrote it, and writing it again changes nothing", async () => {
    for (const [path, body] of state) await each([[path, body]], "PUT", 200);
    const made = await dump();
    // Targets carry no tag and are listed under their upstream.
    assert.equal(made.size, state.length - 1);
    const upstream = state.find(([path]) => path.startsWith("/upstreams/"))?.[1].id;
    assert.equal(
      (await gateway.call("GET", `/upstreams/${upstream}/targets?size=1000`)).json.data?.length,
      1,
    );
    await each(
      state.filter(([, { password }]) => password === undefined),
      "PUT",
      200,
    );
    const again = await dump();
    const still = (entities: Map<string, unknown>) =>
      [...entities].map(([key, entity]) => [key, { ...(entity as object), updated_at: 0 }]);
    assert.deepEqual(still(again), still(made));
  });

  test("puts a consumer into a group by a list of one", async () => {
    const idOf = (path: string) => state.find(([at]) => at.startsWith(`/${path}/`))?.[1].id;
    const path = `/consumer_groups/${idOf("consumer_groups")}/consumers`;
    const consumer = idOf("consumers") as string;
    const put = await gateway.call("POST", path, { consumer: [consumer] });
    assert.equal(put.status, 201, put.text);
    assert.deepEqual(
      (put.json.consumers as { id: string }[]).map(({ id }) => id),
      [consumer],
    );
    for (const body of [{}, { consumer: [] }, { consumer: 1 }, { consumer: [consumer, 1] }])
      assert.equal((await gateway.call("POST", path, body)).json.code, 2, JSON.stringify(body));
    const { json } = await gateway.call("GET", path);
    assert.equal((json.consumers as unknown[]).length, 1);
    assert.equal((await gateway.call("DELETE", `${path}/${consumer}`)).status, 204);
  });

  test("validates entities before it writes them", async () => {
    const good = await gateway.call("POST", "/schemas/services/validate", { host: "h" });
    assert.deepEqual([good.status, good.json], [200, { message: "schema validation successful" }]);
    const bad = await gateway.call("POST", "/schemas/services/validate", { hots: "h" });
    assert.deepEqual([bad.status, bad.json.code], [400, 2]);
  });

  test("deletes everything in reverse", async () => {
    for (const [path] of state.toReversed()) await each([[path]], "DELETE", 204);
    assert.equal((await dump()).size, 0);
  });

  test("a hundred at once, ten at a time, are all there", async () => {
    const many = Array.from({ length: 100 }, (_, i): [string, object] => {
      const id = randomUUID();
      return [`/services/${id}`, { id, name: `bulk-${i}`, host: "h", tags: ["managed-by-deck"] }];
    });
    await each(many, "PUT", 200);
    assert.equal((await dump()).size, 100);
    await each(
      many.map(([path]) => [path] as const),
      "DELETE",
      204,
    );
    assert.equal((await dump()).size, 0);
  });
});
