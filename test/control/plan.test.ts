/** Documents that are put upon what is in force: what they change, what they leave alone, and what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exportConfig } from "../../src/admin/export.ts";
import type { PlannedChange, PlanRequest } from "../../src/control/plan.ts";
import { DEFAULT_WORKSPACE_ID, type EntityName } from "../../src/entities/entities.ts";
import type { Entity } from "../../src/entities/relations.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { Authority } from "../support/certificates.ts";
import { openControl, type TestControl } from "./controls.ts";

const NOBODY = { actor: null };
const request = (text: string, more: Partial<PlanRequest> = {}): PlanRequest => ({
  text: `_format_version: "3.0"\n${text}`,
  workspace: null,
  tags: [],
  removes: true,
  noTenants: null,
  ...more,
});

async function control(): Promise<TestControl["control"]> {
  return (await openControl(new MemoryStore())).control;
}

const write = (
  at: TestControl["control"],
  kind: EntityName,
  input: Record<string, unknown>,
  workspace = DEFAULT_WORKSPACE_ID,
) => at.write({ verb: "create", kind, workspace, input }, NOBODY) as Promise<Entity>;

/** `create service a`, `update route b: paths`. */
function lines(changes: readonly PlannedChange[]): string[] {
  return changes.map(({ action, entity, name, fields }) =>
    [`${action} ${entity} ${name}`, ...fields.map(({ field }) => field)].join(" "),
  );
}

async function planned(at: TestControl["control"], asked: PlanRequest): Promise<string[]> {
  const plan = await at.plan(asked);
  assert.ok(plan.ok, JSON.stringify(plan));
  return lines(plan.plan.changes);
}

async function synced(at: TestControl["control"], asked: PlanRequest): Promise<string[]> {
  const plan = await at.sync(asked, null, NOBODY);
  assert.ok(plan.ok, JSON.stringify(plan));
  return lines(plan.plan.changes);
}

test("entities without ids change what is there by that name, and keep its id, times and children", async () => {
  const at = await control();
  const service = await write(at, "services", { name: "orders", host: "a.example" });
  const route = await write(at, "routes", { name: "r", paths: ["/a"], service: { id: service.id } });
  const plugin = await write(at, "plugins", {
    name: "rate-limiting",
    service: { id: service.id },
    config: { minute: 5, policy: "local" },
  });
  const text = `
services:
  - name: orders
    host: b.example
    routes: [{ name: r, paths: [/a, /b] }]
    plugins: [{ name: rate-limiting, config: { minute: 9, policy: local } }]
`;
  const expected = [
    "update service orders host",
    "update route r paths",
    "update plugin rate-limiting config.minute",
  ];
  assert.deepEqual(await planned(at, request(text)), expected);
  assert.deepEqual(await synced(at, request(text)), expected);
  assert.equal(at.index.find("services", service.id)?.host, "b.example");
  assert.equal(at.index.find("services", service.id)?.created_at, service.created_at);
  assert.deepEqual(at.index.find("routes", route.id)?.service, { id: service.id });
  const limited = at.index.find("plugins", plugin.id)?.config as { minute?: number } | undefined;
  assert.equal(limited?.minute, 9);
  assert.deepEqual(await planned(at, request(text)), []);
});

test("what the document does not have is removed by a sync and stays in a merge", async () => {
  const at = await control();
  const gone = await write(at, "services", { name: "gone", host: "a.example" });
  await write(at, "routes", { name: "r", paths: ["/a"], service: { id: gone.id } });
  const text = "services: [{ name: new, host: b.example }]";
  assert.deepEqual(await planned(at, request(text, { removes: false })), ["create service new"]);
  assert.deepEqual(await synced(at, request(text)), [
    "create service new",
    "delete route r",
    "delete service gone",
  ]);
  assert.deepEqual(
    [...at.index.all("services")].map(({ name }) => name),
    ["new"],
  );
});

test("what is exported changes nothing, and restores what was removed since, private keys aside", async () => {
  const at = await control();

  await using authority = await Authority.create();
  const { cert, key } = await authority.issue("a.example", ["DNS:a.example"]);
  const certificate = await write(at, "certificates", { cert, key, snis: ["a.example"] });
  const consumer = await write(at, "consumers", { username: "ann" });
  const password = await write(at, "basicauth_credentials", {
    consumer: { id: consumer.id },
    username: "ann",
    password: "secret",
  });
  await write(at, "keyauth_credentials", { consumer: { id: consumer.id } });
  const service = await write(at, "services", { host: "nameless.example" });
  await write(at, "routes", { paths: ["/nameless"], service: { id: service.id } });
  const text = exportConfig(at.index);
  assert.match(text, /key: REDACTED/);
  const whole = { text, workspace: null, tags: [], removes: true, noTenants: null };
  assert.deepEqual(await planned(at, whole), []);
  await at.write({ verb: "remove", kind: "consumers", workspace: DEFAULT_WORKSPACE_ID, key: "ann" }, NOBODY);
  assert.deepEqual(await synced(at, whole), [
    "create consumer ann",
    "create basic-auth credential ann",
    `create key-auth credential ${[...at.index.all("keyauth_credentials")][0]?.id}`,
  ]);
  assert.equal(at.index.find("basicauth_credentials", password.id)?.password, password.password);
  await at.write(
    { verb: "remove", kind: "certificates", workspace: DEFAULT_WORKSPACE_ID, key: certificate.id },
    NOBODY,
  );
  const refused = await at.plan(whole);
  assert.ok(!refused.ok && refused.errors.some(({ field }) => field === "key"), JSON.stringify(refused));
});

test("a document with new passwords takes a turn before they are hashed and one after it; others take one", async () => {
  const at = await control();
  let turns = 0;
  const inTurn = <T>(job: () => Promise<T>) => {
    turns++;
    return job();
  };
  const text = "consumers: [{ username: ann, basicauth_credentials: [{ username: ann, password: a }] }]";
  await at.plan(request(text), inTurn);
  assert.equal(turns, 1, "nothing is kept of a plan");
  await at.sync(request(text), null, NOBODY, inTurn);
  assert.equal(turns, 3);
  await at.sync(request(text), null, NOBODY, inTurn);
  assert.equal(turns, 4, "what was hashed here is known");
});

test("while the passwords of a document are hashed, others write", async () => {
  const at = await control();
  const ended: string[] = [];
  const credentials = Array.from({ length: 40 }, (_, i) => `{ username: u${i}, password: p${i} }`);
  const text = `consumers: [{ username: ann, basicauth_credentials: [${credentials}] }]`;
  await Promise.all([
    synced(at, request(text, { removes: false })).then(() => ended.push("document")),
    write(at, "services", { name: "s", host: "h.example" }).then(() => ended.push("service")),
  ]);
  assert.deepEqual(ended, ["service", "document"]);
  assert.equal(at.index.list("basicauth_credentials", DEFAULT_WORKSPACE_ID).length, 40);
  assert.deepEqual(await planned(at, request(text, { removes: false })), []);
});

test("a password that is the one in force is not another one", async () => {
  const at = await control();
  const consumer = await write(at, "consumers", { username: "ann" });
  const kept = await write(at, "basicauth_credentials", {
    consumer: { id: consumer.id },
    username: "ann",
    password: "secret",
  });
  const text = (password: string) => `
consumers:
  - username: ann
    basicauth_credentials: [{ username: ann, password: ${password} }]
`;
  assert.deepEqual(await planned(at, request(text("secret"))), []);
  const plan = await at.plan(request(text("other")));
  assert.ok(plan.ok);
  assert.deepEqual(plan.plan.changes[0]?.fields, [{ field: "password", before: "***", after: "***" }]);
  await synced(at, request(text("other")));
  assert.notEqual(at.index.find("basicauth_credentials", kept.id)?.password, kept.password);
});

test("entities without a name are told from others by what they say", async () => {
  const at = await control();
  const service = await write(at, "services", { host: "a.example" });
  const [one, two] = [
    await write(at, "routes", { paths: ["/one"], service: { id: service.id } }),
    await write(at, "routes", { paths: ["/two"], service: { id: service.id } }),
  ];
  const text = "services: [{ host: a.example, routes: [{ paths: [/two] }, { paths: [/three] }] }]";
  const plan = await at.plan(request(text));
  assert.ok(plan.ok);
  const routes = plan.plan.changes.map(({ action, id }) => [
    action,
    id === one.id ? "one" : id === two.id ? "two" : "new",
  ]);
  assert.deepEqual(routes, [
    ["create", "new"],
    ["delete", "one"],
  ]);
});

test("with tags, entities without them are neither changed nor removed, and those of the document get them", async () => {
  const at = await control();
  await write(at, "services", { name: "mine", host: "a.example", tags: ["team"] });
  await write(at, "services", { name: "others", host: "a.example" });
  const tags = ["team"];
  assert.deepEqual(await synced(at, request("services: [{ name: new, host: b.example }]", { tags })), [
    "create service new",
    "delete service mine",
  ]);
  assert.deepEqual(at.index.named("services", DEFAULT_WORKSPACE_ID, "new")?.tags, tags);
  const taken = await at.plan(request("services: [{ name: others, host: b.example }]", { tags }));
  assert.ok(!taken.ok);
  assert.equal(
    taken.errors[0]?.message,
    "uniqueness violation: 'services' entity with name set to 'others' already declared",
  );
  const onto = request("routes: [{ name: r, paths: [/a], service: others }]", { tags, removes: false });
  assert.deepEqual(await planned(at, onto), ["create route r"]);
});

test("what stays keeps what it needs from being removed, or goes with what it belongs to", async () => {
  const at = await control();
  const tags = ["team"];
  const service = await write(at, "services", { name: "s", host: "a.example", tags });
  await write(at, "routes", { name: "r", paths: ["/a"], service: { id: service.id } });
  const stuck = await at.plan(request("services: []", { tags }));
  assert.ok(!stuck.ok);
  assert.match(stuck.errors[0]?.message ?? "", /^route 'r' stays, and its service is service /);
  const consumer = await write(at, "consumers", { username: "ann", tags });
  await write(at, "acls", { group: "g", consumer: { id: consumer.id } });
  const plan = await at.plan(request("services: [{ name: s, host: a.example }]", { tags }));
  assert.ok(plan.ok);
  assert.deepEqual(
    plan.plan.changes.map(({ entity, cascades }) => [entity, cascades]),
    [
      ["acl", true],
      ["consumer", false],
    ],
  );
});

test("a document for a workspace has its entities at the top and touches no others", async () => {
  const at = await control();
  const acme = await write(at, "workspaces", { name: "acme", hosts: ["acme.example"] });
  await write(at, "services", { name: "s", host: "a.example" });
  const theirs = await write(at, "services", { name: "s", host: "a.example" }, acme.id);
  const workspace = "acme";
  const text = "services: [{ name: s, host: b.example, routes: [{ name: r, hosts: [acme.example] }] }]";
  assert.deepEqual(await synced(at, request(text, { workspace })), [
    "update service s host",
    "create route r",
  ]);
  assert.equal(at.index.find("services", theirs.id)?.host, "b.example");
  const strange = await at.plan(
    request("services: [{ name: s, host: b.example, routes: [{ hosts: [x.example] }] }]", { workspace }),
  );
  assert.ok(!strange.ok);
  const listed = await at.plan(request("workspaces: []", { workspace }));
  assert.ok(!listed.ok);
  await assert.rejects(at.plan(request("", { workspace: "nobody" })), { kind: "notFound" });
  const dumped = exportConfig(at.index, { workspace });
  assert.deepEqual(
    await planned(at, { text: dumped, workspace, tags: [], removes: true, noTenants: null }),
    [],
  );
  const stolen = await at.plan(request(`services: [{ id: ${theirs.id}, name: t, host: b.example }]`));
  assert.ok(!stolen.ok, "an id of another workspace's is nobody else's");
});

test("workspaces that a document does not name are left alone, and one that it names is synced", async () => {
  const at = await control();
  for (const name of ["acme", "other"]) {
    const { id } = await write(at, "workspaces", { name, hosts: [`${name}.example`] });
    await write(at, "services", { name: "s", host: "a.example" }, id);
  }
  const text = "workspaces: [{ name: acme, hosts: [acme.example, acme.test] }]";
  assert.deepEqual(await synced(at, request(text)), ["update workspace acme hosts", "delete service s"]);
  const other = at.index.named("workspaces", "", "other")?.id ?? "";
  assert.equal(at.index.list("services", other).length, 1);
  for (const host of ["other.example", '"*.example"']) {
    const taken = await at.plan(request(`workspaces: [{ name: acme, hosts: [${host}] }]`));
    assert.ok(!taken.ok, `${host} is a workspace's that is in force`);
  }
});

test("a change that was planned for another configuration is refused", async () => {
  const at = await control();
  const asked = request("services: [{ name: a, host: a.example }]");
  const { hash } = await at.plan(asked);
  await write(at, "services", { name: "b", host: "b.example" });
  await assert.rejects(at.sync(asked, hash, NOBODY), { kind: "movedOn" });
  const again = await at.plan(asked);
  assert.ok((await at.sync(asked, again.hash, NOBODY)).ok);
});
