/** Tokens of the Admin API on whole gateways: when they are asked for, what each may do, and how they end. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { MAX_FAILURES } from "../../src/access/attempts.ts";
import { MAX_READERS_PER_WORKSPACE } from "../../src/tail/tail-desk.ts";
import { type Gateway, startGateway, startRefused } from "../support/gateway.ts";
import { addTenants, ask, operatorOf, tokenFor } from "./gateway.ts";

const ONE_THREAD = { data_threads: "1" };

describe("a gateway with a store", () => {
  let gateway: Gateway;
  before(async () => {
    gateway = await startGateway({ config: null, settings: ONE_THREAD });
  });
  after(() => gateway[Symbol.asyncDispose]());

  test("asks nobody who they are until there is another workspace, and everybody from then on", async () => {
    assert.equal((await ask(gateway, null, "GET", "/services")).status, 200);
    assert.equal((await ask(gateway, "any token", "GET", "/services")).status, 200);
    assert.equal((await ask(gateway, null, "PUT", "/workspaces/first", { hosts: [] })).status, 200);
    const refused = await ask(gateway, null, "GET", "/services");
    assert.equal(refused.status, 401);
    assert.equal(refused.answer.header("www-authenticate"), 'Bearer realm="gatehouse"');
    await addTenants(gateway);
  });

  test("its own token is in a file of its owner's, and is never shown", async () => {
    const file = join(gateway.prefix, "admin-token");
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const text = readFileSync(file, "utf8").trim();
    assert.equal((await ask(gateway, text, "GET", "/services")).status, 200);
    assert.ok(!gateway.output().includes(text.slice(-40)));
  });

  test("a token is shown once, and kept as a hash", async () => {
    const made = await ask(gateway, operatorOf(gateway), "POST", "/admin-tokens", {
      name: "ci",
      role: "admin",
      workspace: "acme",
    });
    assert.equal(made.status, 201);
    assert.equal(made.answer.header("cache-control"), "no-store");
    const { token, id, ...shown } = made.json;
    assert.match(token, new RegExp(`^gh_${id}_[A-Za-z0-9_-]{43}$`));
    assert.equal(shown.last_four, token.slice(-4));
    assert.equal(shown.workspace, "acme");
    assert.equal(shown.expires_at, null);
    const secret = token.slice(-40);
    for (const path of ["/admin-tokens", `/admin-tokens/${id}`, "/acme/admin-tokens", "/audit-log"]) {
      const { status, answer } = await ask(gateway, operatorOf(gateway), "GET", path);
      assert.equal(status, 200, path);
      assert.ok(!answer.body.includes(secret) && !answer.body.includes("$scrypt$"), path);
    }
    const store = join(gateway.prefix, "store");
    for (const file of readdirSync(store))
      assert.ok(!readFileSync(join(store, file), "latin1").includes(secret), file);
  });

  const SENT: [title: string, headers: (token: string) => Record<string, string>, status: number][] = [
    ["as a bearer", (token) => ({ authorization: `Bearer ${token}` }), 200],
    ["as a bearer in lower case", (token) => ({ authorization: `bearer ${token}` }), 200],
    ["as Kong's tools do", (token) => ({ "Kong-Admin-Token": token }), 200],
    ["as a password", (token) => ({ authorization: `Basic ${btoa(`x:${token}`)}` }), 401],
    ["without a scheme", (token) => ({ authorization: token }), 401],
    [
      "in two different ways",
      (token) => ({ authorization: `Bearer ${token}`, "kong-admin-token": "x" }),
      401,
    ],
  ];
  for (const [title, headers, status] of SENT)
    test(`a token sent ${title} is answered with ${status}`, async () => {
      const token = operatorOf(gateway);
      assert.equal((await ask(gateway, null, "GET", "/services", undefined, headers(token))).status, status);
    });

  test("whatever is asked, somebody who says nothing of themselves gets the same answer", async () => {
    for (const [method, path] of [
      ["GET", "/"],
      ["GET", "/status"],
      ["GET", "/acme/services"],
      ["GET", "/no-such-workspace/services"],
      ["GET", "/nothing"],
      ["PATCH", "/services"],
      ["OPTIONS", "/services"],
      ["HEAD", "/services"],
    ] as const) {
      const { status } = await ask(gateway, null, method, path);
      assert.equal(status, 401, `${method} ${path}`);
    }
  });

  test("a tenant's token sees its own workspace, and nothing that tells of another", async () => {
    const token = await tokenFor(gateway, "viewer", "acme");
    const own = await ask(gateway, token, "GET", "/acme/services");
    assert.deepEqual(
      own.json.data.map(({ name }) => name),
      ["acme-service"],
    );
    const there = await ask(gateway, token, "GET", "/globex/services");
    const nowhere = await ask(gateway, token, "GET", "/no-such-workspace/services");
    assert.equal(there.status, 403);
    assert.equal(nowhere.status, 403);
    assert.equal(there.answer.body, nowhere.answer.body);
    for (const path of [
      "/services",
      "/default/services",
      "/config",
      "/admin-tokens",
      "/audit-log",
      "/plugin-usage",
    ])
      assert.equal((await ask(gateway, token, "GET", path)).status, 403, path);
    const { json: workspaces } = await ask(gateway, token, "GET", "/workspaces");
    assert.deepEqual(
      workspaces.data.map(({ name }) => name),
      ["acme"],
    );
    assert.equal((await ask(gateway, token, "GET", "/workspaces/acme")).status, 200);
    for (const path of [
      "/",
      "/status",
      "/endpoints",
      "/schemas/services",
      "/plugins/enabled",
      "/workspaces",
    ]) {
      const { status, answer } = await ask(gateway, token, "GET", path);
      assert.equal(status, 200, path);
      assert.ok(!answer.body.includes("globex"), path);
      assert.ok(!answer.body.includes(gateway.prefix), path);
    }
    const { json: status } = await ask(gateway, token, "GET", "/status");
    assert.deepEqual(status, { database: { reachable: true } });
  });

  test("what decK asks first in a workspace is answered there, and for no other", async () => {
    const token = await tokenFor(gateway, "admin", "acme");
    for (const [method, path, status] of [
      ["GET", "/acme/kong", 200],
      ["HEAD", "/acme/workspaces/acme", 200],
      ["GET", "/globex/kong", 403],
      ["HEAD", "/acme/workspaces/globex", 403],
      ["HEAD", "/globex/workspaces/globex", 403],
      ["HEAD", "/globex/workspaces/acme", 403],
      ["HEAD", "/nowhere/workspaces/acme", 403],
      ["HEAD", "/nowhere/workspaces/nowhere", 403],
    ] as const)
      assert.equal((await ask(gateway, token, method, path)).status, status, `${method} ${path}`);
    const { json } = await ask(gateway, token, "GET", "/acme/kong");
    assert.match(String(json.version), /^3\.\d+\.\d+$/);
    assert.equal((await ask(gateway, operatorOf(gateway), "HEAD", "/no/workspaces/no")).status, 404);
  });

  test("each role does what it may and no more", async () => {
    const service = { host: "upstream.example" };
    for (const [role, expected] of [
      ["viewer", { read: 200, write: 403, tokens: 403, audit: 403, usage: 403, limits: 403 }],
      ["author", { read: 200, write: 403, tokens: 403, audit: 403, usage: 200, limits: 403 }],
      ["admin", { read: 200, write: 201, tokens: 403, audit: 200, usage: 200, limits: 403 }],
      ["owner", { read: 200, write: 201, tokens: 200, audit: 200, usage: 200, limits: 403 }],
    ] as const) {
      const token = await tokenFor(gateway, role, "acme");
      const status = async (...asked: [method: string, path: string, body?: object]) =>
        (await ask(gateway, token, ...asked)).status;
      assert.deepEqual(
        {
          read: await status("GET", "/acme/services"),
          write: await status("POST", "/acme/services", service),
          tokens: await status("GET", "/acme/admin-tokens"),
          audit: await status("GET", "/acme/audit-log"),
          usage: await status("GET", "/acme/plugin-usage"),
          limits: await status("PATCH", "/workspaces/acme", { hosts: ["acme.example", "more.example"] }),
        },
        expected,
        role,
      );
    }
  });

  test("an owner of a workspace makes tokens of that workspace and of no other", async () => {
    const owner = await tokenFor(gateway, "owner", "acme");
    const given = { name: "made by its owner", role: "owner" };
    const made = await ask(gateway, owner, "POST", "/acme/admin-tokens", given);
    assert.equal(made.status, 201);
    assert.equal(made.json.workspace, "acme");
    for (const workspace of ["*", "globex"]) {
      const wrong = await ask(gateway, owner, "POST", "/acme/admin-tokens", { ...given, workspace });
      assert.equal(wrong.status, 400);
    }
    const { json } = await ask(gateway, owner, "GET", "/acme/admin-tokens");
    assert.ok(json.data.every(({ workspace }) => workspace === "acme"));
    const foreign = await ask(gateway, operatorOf(gateway), "POST", "/admin-tokens", {
      ...given,
      workspace: "globex",
    });
    const path = `/acme/admin-tokens/${foreign.json.id}`;
    assert.equal((await ask(gateway, owner, "GET", path)).status, 404);
    assert.equal((await ask(gateway, owner, "DELETE", path)).status, 204);
    assert.equal((await ask(gateway, foreign.json.token, "GET", "/globex/services")).status, 200);
  });

  const UNSOUND: [title: string, body: object, field: string][] = [
    ["without a name", { role: "admin", workspace: "*" }, "name"],
    ["without a role", { name: "a", workspace: "*" }, "role"],
    ["of a role that there is not", { name: "a", role: "king", workspace: "*" }, "role"],
    ["without a workspace", { name: "a", role: "admin" }, "workspace"],
    ["of a workspace that there is not", { name: "a", role: "admin", workspace: "nowhere" }, "workspace"],
    ["that has ended", { name: "a", role: "admin", workspace: "*", expires_at: 1 }, "expires_at"],
    ["with a hash", { name: "a", role: "admin", workspace: "*", hash: "x" }, "hash"],
  ];
  for (const [title, body, field] of UNSOUND)
    test(`a token ${title} is refused by its field`, async () => {
      const { status, json } = await ask(gateway, operatorOf(gateway), "POST", "/admin-tokens", body);
      assert.equal(status, 400);
      assert.equal(json.code, 2);
      assert.ok(Object.hasOwn(json.fields as object, field), JSON.stringify(json));
    });

  test("a token that is revoked, has ended, or whose workspace is gone is answered as one that never was", async () => {
    const operator = operatorOf(gateway);
    const made = await ask(gateway, operator, "POST", "/admin-tokens", {
      name: "soon gone",
      role: "viewer",
      workspace: "*",
    });
    const { token, id } = made.json;
    assert.equal((await ask(gateway, token, "GET", "/services")).status, 200);
    assert.equal((await ask(gateway, operator, "DELETE", `/admin-tokens/${id}`)).status, 204);
    const revoked = await ask(gateway, token, "GET", "/services");
    const never = await ask(gateway, `${token.slice(0, -4)}AAAA`, "GET", "/services");
    assert.equal(revoked.status, 401);
    assert.deepEqual(revoked.json, never.json);
    await ask(gateway, operator, "PUT", "/workspaces/passing", { hosts: [] });
    const passing = await tokenFor(gateway, "owner", "passing");
    assert.equal((await ask(gateway, passing, "GET", "/passing/services")).status, 200);
    assert.equal((await ask(gateway, operator, "DELETE", "/workspaces/passing")).status, 204);
    assert.deepEqual((await ask(gateway, passing, "GET", "/passing/services")).json, never.json);
    await ask(gateway, operator, "PUT", "/workspaces/passing", { hosts: [] });
    assert.equal((await ask(gateway, passing, "GET", "/passing/services")).status, 401);
    const { json } = await ask(gateway, operator, "GET", "/passing/admin-tokens");
    assert.deepEqual(json.data, []);
  });

  test("an answer that goes on is not begun for who asks for its head alone", async () => {
    const operator = operatorOf(gateway);
    for (let i = 0; i < MAX_READERS_PER_WORKSPACE + 1; i++) {
      const { status } = await ask(gateway, operator, "HEAD", "/plugin-tail");
      assert.equal(status, 200, `request ${i}`);
    }
  });

  test("an answer that goes on ends with the token that asked for it", async () => {
    const operator = operatorOf(gateway);
    const about = { name: "reads along", role: "author", workspace: "*" };
    const { token, id } = (await ask(gateway, operator, "POST", "/admin-tokens", about)).json;
    const answer = await fetch(`${gateway.adminUrl}/plugin-tail`, { headers: { "kong-admin-token": token } });
    assert.equal(answer.status, 200);
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    const { value } = await reader.read();
    assert.match(Buffer.from(value as Uint8Array).toString(), /"watching"/);
    assert.equal((await ask(gateway, operator, "DELETE", `/admin-tokens/${id}`)).status, 204);
    const ended = (async () => {
      while (!(await reader.read()).done);
    })();
    await ended.catch(() => "cut off");
  });

  test("a page of a stranger gets nowhere with a right token, and an allowed one asks first without", async () => {
    const headers = { origin: "https://evil.example" };
    const stranger = await ask(gateway, operatorOf(gateway), "GET", "/services", undefined, headers);
    assert.equal(stranger.status, 403);
    assert.equal(stranger.answer.header("access-control-allow-origin"), undefined);
    const origin = gateway.adminUrl;
    const preflight = await ask(gateway, null, "OPTIONS", "/services", undefined, {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization",
    });
    assert.equal(preflight.status, 204);
    assert.match(
      preflight.answer.header("access-control-allow-headers") ?? "",
      /Authorization, Content-Type, Kong-Admin-Token/,
    );
  });

  // The last one: it leaves this address locked out.
  test("whoever is wrong too often waits, those who are known and the operator do not", async () => {
    const known = await tokenFor(gateway, "viewer", "acme");
    const fresh = await tokenFor(gateway, "viewer", "acme");
    assert.equal((await ask(gateway, known, "GET", "/acme/services")).status, 200);
    const statuses: number[] = [];
    for (let i = 0; i < MAX_FAILURES + 2; i++)
      statuses.push((await ask(gateway, `wrong-${i}`, "GET", "/services")).status);
    assert.equal(statuses.at(-1), 429);
    assert.ok(statuses.filter((status) => status === 401).length <= MAX_FAILURES);
    const held = await ask(gateway, fresh, "GET", "/acme/services");
    assert.equal(held.status, 429);
    assert.match(held.answer.header("retry-after") ?? "", /^[1-9]\d?$/);
    assert.equal((await ask(gateway, known, "GET", "/acme/services")).status, 200);
    assert.equal((await ask(gateway, operatorOf(gateway), "GET", "/services")).status, 200);
  });
});

test("a restart keeps tokens, the operator's own and the others", async () => {
  await using first = await startGateway({ config: null, settings: ONE_THREAD });
  await addTenants(first);
  const tenant = await tokenFor(first, "viewer", "acme");
  const operator = operatorOf(first);
  await first.stop();
  await using second = await startGateway({
    config: null,
    settings: { ...ONE_THREAD, prefix: first.prefix },
  });
  assert.equal((await ask(second, operator, "GET", "/services")).status, 200);
  assert.equal((await ask(second, tenant, "GET", "/acme/services")).status, 200);
  assert.equal((await ask(second, null, "GET", "/services")).status, 401);
});

test("with a file nobody is asked who they are, unless the operator says so", async () => {
  const config = { _format_version: "3.0", workspaces: [{ name: "acme", hosts: ["acme.example"] }] };
  {
    await using open = await startGateway({ config, settings: ONE_THREAD });
    assert.equal((await ask(open, null, "GET", "/acme/services")).status, 200);
    assert.deepEqual(open.adminHeaders, {});
  }
  await using asking = await startGateway({ config, settings: { ...ONE_THREAD, admin_auth: "on" } });
  assert.equal((await ask(asking, null, "GET", "/acme/services")).status, 401);
  assert.equal((await ask(asking, operatorOf(asking), "GET", "/acme/services")).status, 200);
  const made = await ask(asking, operatorOf(asking), "POST", "/admin-tokens", {
    name: "a",
    role: "admin",
    workspace: "*",
  });
  assert.equal(made.status, 405);
  assert.equal(made.json.code, 12);
  await asking.reload({ _format_version: "3.0" });
  const line = await asking.log(({ msg }) => msg === "audit");
  assert.equal((line.audit as Record<string, unknown>).entity, "config");
});

test("without tokens there is no second workspace: none can be made, and none is served", async () => {
  await using gateway = await startGateway({ config: null, settings: { ...ONE_THREAD, admin_auth: "off" } });
  const refused = await ask(gateway, null, "PUT", "/workspaces/acme", { hosts: [] });
  assert.equal(refused.status, 403);
  assert.match(refused.json.message ?? "", /admin_auth is off.*set admin_auth to auto or on/);
  assert.equal((await ask(gateway, null, "PATCH", "/workspaces/default", { comment: "ours" })).status, 200);
  await gateway.stop();
  const prefix = gateway.prefix;
  {
    await using auto = await startGateway({ config: null, settings: { ...ONE_THREAD, prefix } });
    assert.equal((await ask(auto, null, "PUT", "/workspaces/acme", { hosts: [] })).status, 200);
  }
  const { code, output } = await startRefused({
    config: null,
    settings: { ...ONE_THREAD, prefix, admin_auth: "off" },
  });
  assert.equal(code, 1);
  assert.match(output, /admin_auth is off, and with more than one workspace/);
});
