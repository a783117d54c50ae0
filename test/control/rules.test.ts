/** What single writes are judged by: partial changes, references, what nobody else may have, what goes with what. */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { Authority, type KeyPair } from "../support/certificates.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Call, FORM, type Reply, startWritable } from "./gateway.ts";

const NOBODY = "11111111-1111-4111-8111-111111111111";

describe("single writes", () => {
  let gateway: Gateway & { call: Call };
  let call: Call;
  let pair: KeyPair;
  let other: KeyPair;

  before(async () => {
    await using authority = await Authority.create();
    pair = await authority.issue("one", ["DNS:one.example"]);
    other = await authority.issue("two", ["DNS:two.example"]);
    gateway = await startWritable();
    call = gateway.call;
  });
  after(() => gateway?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    for (const collection of [
      "plugins",
      "routes",
      "services",
      "consumers",
      "upstreams",
      "certificates",
      "ca_certificates",
    ])
      for (const { id } of (await call("GET", `/${collection}?size=1000`)).json.data ?? [])
        assert.equal((await call("DELETE", `/${collection}/${id}`)).status, 204);
  });

  const made = async (path: string, body: object): Promise<Reply["json"]> => {
    const { status, json, text } = await call("POST", path, body);
    assert.equal(status, 201, text);
    return json;
  };
  const refused = (reply: Reply, status: number, body: object) =>
    assert.deepEqual([reply.status, reply.json], [status, body]);

  test("a name that is taken, an id that is taken", async () => {
    const { id } = await made("/services", { name: "s", host: "h" });
    refused(await call("POST", "/services", { name: "s", host: "h" }), 409, {
      code: 5,
      name: "unique constraint violation",
      message: `UNIQUE violation detected on '{name="s"}'`,
      fields: { name: "s" },
    });
    refused(await call("POST", "/services", { id, host: "h" }), 400, {
      code: 3,
      name: "primary key violation",
      message: `primary key violation on key '{id="${id}"}'`,
      fields: { id },
    });
  });

  test("one plugin of a name at a scope", async () => {
    const { id } = await made("/services", { name: "s", host: "h" });
    await made("/services/s/plugins", { name: "cors" });
    const twice = await call("POST", "/plugins", { name: "cors", service: { name: "s" } });
    assert.deepEqual([twice.status, twice.json.code], [409, 5]);
    assert.deepEqual(twice.json.fields, { name: "cors", route: null, service: { id }, consumer: null });
    await made("/plugins", { name: "cors" });
  });

  test("references by id and by name, that lead nowhere, and into another workspace", async () => {
    const { id } = await made("/services", { name: "s", host: "h" });
    for (const service of [{ id }, { name: "s" }])
      assert.deepEqual((await made("/routes", { paths: ["/a"], service })).service, { id });
    refused(await call("POST", "/routes", { paths: ["/a"], service: { id: NOBODY } }), 400, {
      code: 4,
      name: "foreign key violation",
      message: `the foreign key '{id="${NOBODY}"}' does not reference an existing 'services' entity.`,
      fields: { service: { id: NOBODY } },
    });
    const unresolved = await call("POST", "/routes", { paths: ["/a"], service: { name: "nobody" } });
    assert.deepEqual(
      [unresolved.status, unresolved.json.code, unresolved.json.name],
      [400, 13, "foreign keys unresolved"],
    );
    refused(await call("POST", "/routes", { paths: ["/a"], service: { id: "no-uuid" } }), 400, {
      code: 2,
      name: "schema violation",
      message: "schema violation (service.id: expected a valid UUID)",
      fields: { service: { id: "expected a valid UUID" } },
    });
    await call("PUT", "/workspaces/other", { hosts: ["other.example"] });
    const route = { hosts: ["other.example"], service: { id } };
    assert.equal((await call("POST", "/other/routes", route)).json.code, 4);
  });

  test("whoever is referenced stays; plugins, targets and credentials go with whom they are of", async () => {
    await made("/services", { name: "s", host: "h" });
    await made("/services/s/routes", { name: "r", paths: ["/a"] });
    await made("/routes/r/plugins", { name: "cors" });
    refused(await call("DELETE", "/services/s"), 400, {
      code: 4,
      name: "foreign key violation",
      message: "an existing 'routes' entity references this 'services' entity",
      fields: { "@referenced_by": "routes" },
    });
    assert.equal((await call("DELETE", "/routes/r")).status, 204);
    assert.deepEqual((await call("GET", "/plugins")).json.data, []);
    await made("/upstreams", { name: "pool" });
    await made("/upstreams/pool/targets", { target: "10.0.0.1:80" });
    for (let i = 0; i < 2; i++)
      assert.equal((await call("PUT", "/upstreams/pool/targets/10.0.0.2", {})).json.target, "10.0.0.2:8000");
    assert.equal((await call("GET", "/upstreams/pool/targets/all")).json.data?.length, 2);
    const health = (await call("GET", "/upstreams/pool/health")).json.data ?? [];
    assert.deepEqual(
      health.map(({ health: state }) => state),
      ["HEALTHCHECKS_OFF", "HEALTHCHECKS_OFF"],
    );
    await made("/consumers", { username: "alice" });
    await made("/consumers/alice/key-auth", { key: "k" });
    await made("/consumers/alice/acls", { group: "g" });
    for (const path of ["/upstreams/pool", "/consumers/alice"])
      assert.equal((await call("DELETE", path)).status, 204);
    for (const list of ["/targets", "/key-auths", "/acls"])
      assert.deepEqual((await call("GET", list)).json.data, []);
  });

  test("an authority that a service trusts stays", async () => {
    await using authority = await Authority.create();
    const { readFile } = await import("node:fs/promises");
    const { id } = await made("/ca_certificates", { cert: await readFile(authority.file, "utf8") });
    const service = await made("/services", {
      name: "s",
      protocol: "https",
      host: "h",
      ca_certificates: [id],
    });
    const { status, json } = await call("DELETE", `/ca_certificates/${id}`);
    assert.deepEqual(
      [status, json.code, json.message],
      [400, 19, `ca certificate ${id} is still referenced by services (id = ${service.id})`],
    );
    const stranger = await call("PATCH", "/services/s", { ca_certificates: [NOBODY] });
    assert.deepEqual([stranger.status, stranger.json.code], [400, 2]);
  });

  test("a partial change merges records, replaces lists, and a null brings the default back", async () => {
    await made("/services", { name: "s", host: "h", retries: 9, tags: ["a", "b"], path: "/p" });
    const patched = (await call("PATCH", "/services/s", { retries: null, tags: ["c"], path: null })).json;
    assert.deepEqual([patched.retries, patched.tags, patched.path, patched.host], [5, ["c"], null, "h"]);
    const url = (await call("PATCH", "/services/s", { url: "https://other.example/q" })).json;
    assert.deepEqual([url.protocol, url.host, url.port, url.path], ["https", "other.example", 443, "/q"]);
    const plugin = await made("/plugins", { name: "rate-limiting", config: { minute: 5, policy: "local" } });
    const config = (await call("PATCH", `/plugins/${plugin.id}`, { config: { hour: 7 } })).json
      .config as object;
    assert.deepEqual([(config as { minute: number }).minute, (config as { hour: number }).hour], [5, 7]);
    const upstream = await made("/upstreams", { name: "pool", healthchecks: { threshold: 3 } });
    const checks = (await call("PATCH", "/upstreams/pool", { healthchecks: { active: { timeout: 2 } } })).json
      .healthchecks as { threshold: number; active: { timeout: number; concurrency: number } };
    assert.deepEqual([checks.threshold, checks.active.timeout, checks.active.concurrency], [3, 2, 10]);
    assert.equal(upstream.name, "pool");
  });

  test("PUT resets what it leaves out; the path names the entity, whatever the body says", async () => {
    const { id, created_at: made_at } = await made("/services", { name: "s", host: "h", retries: 9 });
    const { json } = await call("PUT", "/services/s", { host: "i", name: "ignored" });
    assert.deepEqual(
      [json.id, json.name, json.host, json.retries, json.created_at],
      [id, "s", "i", 5, made_at],
    );
    const renamed = await call("PUT", `/services/${id}`, { host: "i", name: "t" });
    assert.deepEqual([renamed.json.id, renamed.json.name], [id, "t"]);
    assert.equal((await call("GET", "/services/s")).status, 404);
    const moved = await call("PATCH", "/services/t", { id: NOBODY });
    assert.deepEqual([moved.status, moved.json.code], [400, 2]);
  });

  test("forms: dotted names, lists, numbers, truth values and foreign keys", async () => {
    const service = await call("POST", "/services", "name=s&host=h&retries=7&enabled=false&tags=a,b", FORM);
    assert.deepEqual([service.json.retries, service.json.enabled, service.json.tags], [7, false, ["a", "b"]]);
    const route = await call("POST", "/routes", "paths[]=/a&paths[]=/b&service.name=s&protocols=http", FORM);
    assert.deepEqual([route.json.paths, route.json.protocols], [["/a", "/b"], ["http"]], route.text);
    assert.deepEqual(route.json.service, { id: service.json.id });
    const limits = "name=rate-limiting&config.minute=5&config.policy=local&config.hide_client_headers=true";
    const plugin = await call("POST", "/services/s/plugins", limits, FORM);
    const config = plugin.json.config as Record<string, unknown>;
    assert.deepEqual([config.minute, config.hide_client_headers], [5, true], plugin.text);
    const emptied = await call("PATCH", `/routes/${route.json.id}`, "service=&paths[2]=/d&paths[1]=/c", FORM);
    assert.deepEqual([emptied.json.service, emptied.json.paths], [null, ["/c", "/d"]], emptied.text);
    const parts = '--cut\r\nContent-Disposition: form-data; name="username"\r\n\r\nbob\r\n--cut--\r\n';
    const multipart = { "content-type": "multipart/form-data; boundary=cut" };
    assert.equal((await call("POST", "/consumers", parts, multipart)).json.username, "bob");
    const wrong = await call("POST", "/services", "name=t&host=h&port=http", FORM);
    assert.deepEqual(wrong.json.fields, { port: "expected an integer" });
  });

  test("certificates are written and read with their names", async () => {
    const certificate = await made("/certificates", { ...pair, snis: ["one.example", "*.one.example"] });
    assert.deepEqual((certificate.snis as string[]).toSorted(), ["*.one.example", "one.example"]);
    assert.equal((await call("GET", "/certificates/one.example")).json.id, certificate.id);
    const taken = await call("POST", "/certificates", { ...other, snis: ["ONE.example"] });
    assert.deepEqual([taken.status, taken.json.code], [400, 2]);
    assert.match(
      taken.json.message ?? "",
      new RegExp(`already associated with existing certificate '${certificate.id}'`),
    );
    const twice = await call("POST", "/certificates", { ...other, snis: ["a.example", "a.example"] });
    assert.match(twice.json.message ?? "", /a\.example is duplicated/);
    const fewer = await call("PATCH", `/certificates/${certificate.id}`, { snis: ["one.example"] });
    assert.deepEqual(fewer.json.snis, ["one.example"]);
    assert.deepEqual((await call("PATCH", `/certificates/${certificate.id}`, { tags: ["t"] })).json.snis, [
      "one.example",
    ]);
    const shown = (await call("GET", `/certificates/${certificate.id}`)).json;
    assert.equal(shown.key, "REDACTED");
    assert.equal((await call("PUT", `/certificates/${certificate.id}`, shown)).status, 200);
    const stranger = await call("POST", "/certificates", { cert: other.cert, key: "REDACTED" });
    assert.deepEqual([stranger.status, Object.keys(stranger.json.fields ?? {})], [400, ["key"]]);
    assert.equal((await call("DELETE", "/certificates/one.example")).status, 204);
    assert.deepEqual((await call("GET", "/snis")).json.data, []);
  });

  test("a workspace has its own names, and only hosts that it owns", async () => {
    await call("PUT", "/workspaces/acme", { hosts: ["acme.example", "*.acme.example"] });
    await made("/consumers", { username: "alice" });
    await made("/acme/consumers", { username: "alice" });
    assert.equal((await call("GET", "/acme/consumers")).json.data?.length, 1);
    const stolen = await call("POST", "/acme/routes", { hosts: ["other.example"] });
    assert.deepEqual(stolen.json.fields, {
      hosts: ["host 'other.example' is not owned by workspace 'acme'"],
    });
    assert.equal((await call("POST", "/acme/routes", { paths: ["/"] })).status, 400);
    await made("/acme/routes", { name: "r", hosts: ["www.acme.example"] });
    const greedy = await call("PUT", "/workspaces/greedy", { hosts: ["*.example"] });
    assert.match(greedy.json.message ?? "", /is owned by workspace '(?:acme|other)' already/);
    const shrunk = await call("PATCH", "/workspaces/acme", { hosts: ["acme.example"] });
    assert.match(shrunk.json.message ?? "", /route 'r' would not be allowed any more/);
    assert.match(
      (await call("PATCH", "/workspaces/acme", { name: "emca" })).json.message ?? "",
      /cannot be changed/,
    );
    assert.equal((await call("DELETE", "/workspaces/acme")).json.code, 4);
    assert.equal((await call("DELETE", "/workspaces/default")).status, 400);
    for (const path of ["/acme/routes/r", "/acme/consumers/alice", "/workspaces/acme"])
      assert.equal((await call("DELETE", path)).status, 204);
    assert.equal((await call("GET", "/acme/consumers")).status, 404);
  });

  test("consumers join groups and leave them, from either side", async () => {
    await made("/consumers", { username: "alice" });
    const group = (await call("PUT", "/consumer_groups/gold", {})).json;
    const joined = await call("POST", "/consumer_groups/gold/consumers", { consumer: "alice" });
    assert.deepEqual(
      [joined.status, (joined.json.consumer_group as { id: string }).id],
      [201, group.id],
      joined.text,
    );
    const groups = (await call("GET", "/consumers/alice/consumer_groups")).json.consumer_groups as {
      name: string;
    }[];
    assert.deepEqual(
      groups.map(({ name }) => name),
      ["gold"],
    );
    const whole = (await call("GET", "/consumer_groups/gold")).json;
    assert.deepEqual(
      (whole.consumers as { username: string }[]).map(({ username }) => username),
      ["alice"],
    );
    assert.equal((await call("POST", "/consumers/alice/consumer_groups", { group: "gold" })).status, 409);
    assert.equal((await call("DELETE", "/consumer_groups/gold/consumers/alice")).status, 204);
    assert.equal((await call("DELETE", "/consumer_groups/gold/consumers/alice")).status, 404);
    await call("POST", "/consumers/alice/consumer_groups", { group: "gold" });
    assert.equal((await call("DELETE", "/consumer_groups/gold")).status, 204);
    assert.deepEqual((await call("GET", "/consumers/alice/consumer_groups")).json.consumer_groups, []);
  });

  test("a key that is unique under a parent only never takes another's place", async () => {
    for (const username of ["alice", "bob"]) {
      await made("/consumers", { username });
      await made(`/consumers/${username}/acls`, { group: "admins" });
    }
    const stolen = await call("PUT", "/acls/admins", { consumer: { username: "bob" } });
    assert.equal(stolen.status, 404);
    assert.equal((await call("GET", "/acls/admins")).status, 404);
    assert.equal((await call("PATCH", "/acls/admins", { tags: ["t"] })).status, 404);
    assert.equal((await call("DELETE", "/acls/admins")).status, 204);
    assert.equal((await call("GET", "/acls")).json.data?.length, 2);
    assert.equal((await call("PUT", "/consumers/bob/acls/admins", { tags: ["t"] })).status, 200);
    assert.equal((await call("DELETE", "/consumers/bob/acls/admins")).status, 204);
    assert.equal((await call("GET", "/acls/admins")).status, 200);
  });

  test("a password is kept as a hash, and written back as it is kept stays", async () => {
    await made("/consumers", { username: "alice" });
    const { id, password } = await made("/consumers/alice/basic-auth", {
      username: "a",
      password: "open sesame",
    });
    assert.match(String(password), /^\$scrypt\$/);
    const path = `/consumers/alice/basic-auth/${id}`;
    assert.equal((await call("PUT", path, { username: "a", password })).json.password, password);
    assert.equal((await call("PATCH", path, { tags: ["t"] })).json.password, password);
    const changed = (await call("PATCH", path, { password: "other" })).json.password;
    assert.match(String(changed), /^\$scrypt\$/);
    assert.notEqual(changed, password);
  });

  test("tags are found over all collections", async () => {
    await made("/services", { name: "s", host: "h", tags: ["blue", "shop"] });
    await made("/consumers", { username: "alice", tags: ["blue"] });
    const lines = (await call("GET", "/tags/blue")).json.data ?? [];
    assert.deepEqual(lines.map(({ entity_name: name, tag }) => [name, tag]).sort(), [
      ["consumers", "blue"],
      ["services", "blue"],
    ]);
    assert.equal((await call("GET", "/tags")).json.data?.length, 3);
    assert.equal((await call("GET", "/tags?size=1")).json.data?.length, 1);
  });

  test("what a gateway with a store says of itself, as Kong's tools read it", async () => {
    const root = (await call("GET", "/")).json;
    assert.equal(root.version, "3.10.0");
    const {
      database,
      router_flavor: flavor,
      pg_password: password,
    } = root.configuration as Record<string, unknown>;
    assert.deepEqual([database, flavor, password], ["postgres", "traditional_compatible", null]);
    assert.equal((root.gatehouse as { database: string }).database, "sqlite");
    assert.deepEqual((await call("GET", "/status")).json.database, { reachable: true, engine: "sqlite" });
    refused(await call("POST", "/config", "{}"), 400, {
      message: "this endpoint is only available when Kong is configured to not use a database",
    });
    const { data } = (await call("GET", "/endpoints")).json as unknown as { data: string[] };
    for (const path of [
      "/services/{services}/routes/{routes}",
      "/consumers/{consumers}/key-auth/{key-auth}",
      "/tags/{tag}",
    ])
      assert.ok(data.includes(path), path);
  });

  test("the log level is changed while the gateway runs", async () => {
    assert.deepEqual((await call("GET", "/debug/node/log-level")).json, { message: "log level: notice" });
    assert.deepEqual((await call("PUT", "/debug/node/log-level/debug?timeout=0")).json, {
      message: "log level changed",
    });
    assert.deepEqual((await call("GET", "/debug/node/log-level")).json, { message: "log level: debug" });
    await call("PUT", "/debug/node/log-level/notice?timeout=0");
    assert.equal((await call("PUT", "/debug/node/log-level/loud")).status, 400);
  });
});
