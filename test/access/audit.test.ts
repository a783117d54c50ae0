/** The audit log of a gateway: every change with who made it, and nothing in it by which anybody could get in. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { packExample } from "../gateway/packages.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { addTenants, ask, operatorOf, tokenFor } from "./gateway.ts";

type Entry = Readonly<Record<string, unknown>> & {
  readonly before: Record<string, unknown> | null;
  readonly after: Record<string, unknown> | null;
};

describe("the audit log", () => {
  let gateway: Gateway;
  let admin: string;
  before(async () => {
    gateway = await startGateway({ config: null, settings: { data_threads: "1", unfenced_uploads: "acme" } });
    await addTenants(gateway);
    admin = await tokenFor(gateway, "admin", "acme");
  });
  after(() => gateway[Symbol.asyncDispose]());

  const entries = async (path = "/audit-log?size=1000"): Promise<Entry[]> =>
    (await ask(gateway, operatorOf(gateway), "GET", path)).json.data as unknown as Entry[];
  const newest = async () => (await entries("/audit-log?size=1"))[0] as Entry;

  test("tells who has made, changed and removed what, from where, and what it was", async () => {
    const made = await ask(gateway, admin, "POST", "/acme/services", { name: "s", host: "one.example" });
    const created = await newest();
    assert.equal(created.action, "create");
    assert.equal(created.entity, "services");
    assert.equal(created.id, made.json.id);
    assert.equal(created.name, "s");
    assert.equal(created.workspace, "acme");
    assert.equal(created.actor, "admin of acme");
    assert.match(String(created.token), /^[0-9a-f-]{36}$/);
    assert.equal(created.from, "127.0.0.1");
    assert.ok(Math.abs(Date.parse(String(created.at)) - Date.now()) < 60_000);
    assert.equal(created.before, null);
    assert.equal(created.after?.host, "one.example");

    await ask(gateway, admin, "PATCH", "/acme/services/s", { host: "two.example" });
    const updated = await newest();
    assert.equal(updated.action, "update");
    assert.equal(updated.before?.host, "one.example");
    assert.equal(updated.after?.host, "two.example");
    assert.ok((updated.changed as string[]).includes("host"));
    assert.ok(!(updated.changed as string[]).includes("name"));

    await ask(gateway, admin, "DELETE", "/acme/services/s");
    const removed = await newest();
    assert.equal(removed.action, "delete");
    assert.equal(removed.before?.host, "two.example");
    assert.equal(removed.after, null);
  });

  test("names what goes with something that is removed", async () => {
    await ask(gateway, admin, "PUT", "/acme/consumers/alice", {});
    await ask(gateway, admin, "POST", "/acme/consumers/alice/acls", { group: "staff" });
    await ask(gateway, admin, "DELETE", "/acme/consumers/alice");
    const removed = await newest();
    assert.equal(removed.entity, "consumers");
    assert.equal(removed.with_total, 1);
    assert.deepEqual(
      (removed.with as { entity: string }[]).map(({ entity }) => entity),
      ["acls"],
    );
  });

  test("a write that is refused, or that somebody may not make, leaves no entry", async () => {
    const before = (await entries()).length;
    assert.equal((await ask(gateway, admin, "POST", "/acme/services", { host: 1 })).status, 400);
    assert.equal((await ask(gateway, admin, "POST", "/globex/services", { host: "a.example" })).status, 403);
    assert.equal((await entries()).length, before);
  });

  test("no password, key or marked field of a plugin is ever in it", async () => {
    const secret = "hunter2-hunter2";
    const write = async (method: string, path: string, body: object) => {
      const { status, answer } = await ask(gateway, admin, method, path, body);
      assert.ok(status < 300, `${path}: ${answer.body}`);
    };
    await write("PUT", "/acme/consumers/bob", {});
    await write("POST", "/acme/consumers/bob/key-auth", { key: secret });
    await write("POST", "/acme/consumers/bob/basic-auth", { username: "bob", password: secret });
    await write("POST", "/acme/consumers/bob/hmac-auth", { username: "bob", secret });
    await write("POST", "/acme/consumers/bob/jwt", { key: "bob", secret });
    await write("POST", "/acme/consumers/bob/oauth2", {
      name: "app",
      client_id: "app",
      client_secret: secret,
      redirect_uris: ["https://app.example/"],
    });
    await write("POST", "/acme/plugins", {
      name: "rate-limiting",
      config: { minute: 5, redis: { host: "redis.example", password: secret } },
    });
    await write("PATCH", "/acme/consumers/bob/basic-auth/bob", { password: `${secret}-again` });
    const text = JSON.stringify(await entries());
    assert.ok(!text.includes(secret));
    assert.ok(!text.includes("$scrypt$"));
    const [changed] = (await entries("/acme/audit-log?size=1")) as [Entry];
    assert.equal(changed.entity, "basicauth_credentials");
    assert.equal(changed.after?.password, "REDACTED");
    assert.ok((changed.changed as string[]).includes("password"));
    const plugin = (await entries()).find(({ entity }) => entity === "plugins");
    const config = plugin?.after?.config as { minute: number; redis: { host: string; password: string } };
    assert.deepEqual(
      [config.minute, config.redis.host, config.redis.password],
      [5, "redis.example", "REDACTED"],
    );
  });

  test("tokens that are made and revoked, and wrong ones, are in it", async () => {
    const { json } = await ask(gateway, operatorOf(gateway), "POST", "/admin-tokens", {
      name: "short",
      role: "viewer",
      workspace: "acme",
    });
    const made = await newest();
    assert.deepEqual([made.action, made.entity, made.id], ["create", "admin_tokens", json.id]);
    assert.ok(!JSON.stringify(made).includes(json.token));
    await ask(gateway, operatorOf(gateway), "DELETE", `/admin-tokens/${json.id}`);
    assert.deepEqual([(await newest()).action, (await newest()).actor], ["delete", "the operator"]);
    await ask(gateway, "wrong", "GET", "/services");
    await gateway.log(({ msg }) => msg === "a wrong token was sent to the Admin API");
    await ask(gateway, operatorOf(gateway), "PUT", "/acme/services/after", { host: "a.example" });
    const failed = (await entries()).filter(({ action }) => action === "refuse");
    assert.equal(failed.length, 1);
    assert.equal(failed[0]?.from, "127.0.0.1");
    assert.equal(failed[0]?.actor, null);
  });

  test("packages that are uploaded and removed are in it", async () => {
    const author = await tokenFor(gateway, "author", "acme");
    const upload = await send(`${gateway.adminUrl}/acme/plugin-packages`, {
      method: "POST",
      headers: { "content-type": "application/gzip", "kong-admin-token": author },
      body: await packExample("ts-hello"),
    });
    assert.equal(upload.status, 201, upload.body);
    const { id } = JSON.parse(upload.body);
    const uploaded = await newest();
    assert.deepEqual(
      [uploaded.action, uploaded.entity, uploaded.id, uploaded.actor, uploaded.workspace],
      ["create", "plugin_packages", id, "author of acme", "acme"],
    );
    assert.equal((await ask(gateway, author, "DELETE", `/acme/plugin-packages/${id}`)).status, 204);
    assert.deepEqual([(await newest()).action, (await newest()).id], ["delete", id]);
  });

  test("a workspace's own log has its own entries alone, newest first, in pages", async () => {
    const all = await entries("/acme/audit-log?size=1000");
    assert.ok(all.length > 5);
    assert.ok(all.every(({ workspace }) => workspace === "acme"));
    const times = all.map(({ at }) => String(at));
    assert.deepEqual(times, times.toSorted().reverse());
    const paged: Entry[] = [];
    let next: string | null = "/acme/audit-log?size=3";
    while (next !== null) {
      const { json } = await ask(gateway, admin, "GET", next);
      assert.ok(json.data.length <= 3);
      paged.push(...(json.data as unknown as Entry[]));
      next = json.next as string | null;
    }
    assert.deepEqual(paged, all);
  });

  for (const [query, code] of [
    ["size=0", 9],
    ["size=1001", 9],
    ["offset=x", 7],
    ["offset=-1", 7],
  ] as const)
    test(`a page by ${query} is refused with code ${code}`, async () => {
      const { status, json } = await ask(gateway, operatorOf(gateway), "GET", `/audit-log?${query}`);
      assert.equal(status, 400);
      assert.equal(json.code, code);
    });
});
