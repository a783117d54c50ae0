/** How much clients may send to the Admin API at once: one body, all bodies together, whole configurations. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { ServerResponse } from "node:http";
import { after, before, describe, test } from "node:test";
import { Refusal } from "../../src/admin/answers.ts";
import { BodyRoom, MAX_BODIES_BYTES } from "../../src/admin/body-room.ts";
import { DocumentTurns } from "../../src/admin/document-turns.ts";
import { pageOf } from "../../src/admin/page.ts";
import type { AdminPort } from "../../src/admin/port.ts";
import { withTurns } from "../../src/admin/write-turns.ts";
import { type Call, callOf } from "../control/gateway.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { exchangeRaw } from "../support/raw-client.ts";

const MIB = 1 << 20;

describe("bodies that are being read share a fixed room", () => {
  const response = () => new EventEmitter() as ServerResponse;
  const isRefused = (error: unknown) => error instanceof Refusal && error.status === 429;

  test("who finds none is told to come again, and finds some once another request is answered", () => {
    const room = new BodyRoom();
    const answered = response();
    room.take("a", 100 * MIB, answered);
    assert.throws(() => room.take("a", 64 * MIB, response()), isRefused, "one workspace has half of it");
    room.take("b", 100 * MIB, response());
    room.take("c", 56 * MIB, response());
    assert.throws(() => room.take("b", 10 * MIB, response()), isRefused, "all of it is taken");
    room.take("d", MAX_BODIES_BYTES / 4, response());
    answered.emit("close");
    room.take("a", 64 * MIB, response());
  });
});

test("of whole configurations those of tenants wait apart from the operator's, and no tenant takes all places", async () => {
  const turns = new DocumentTurns();
  const gate = Promise.withResolvers<void>();
  const send = async (workspace: string | null) => {
    try {
      return await turns.take({ author: { actor: null, role: "admin", workspace } }, async () => {
        await gate.promise;
        return "done";
      });
    } catch (error) {
      return (error as Refusal).status;
    }
  };
  const greedy = Array.from({ length: 40 }, () => send("greedy"));
  const [other, operator] = [send("other"), send(null)];
  gate.resolve();
  assert.deepEqual(await Promise.all([other, operator]), ["done", "done"]);
  const told = await Promise.all(greedy);
  assert.equal(told.filter((outcome) => outcome === 429).length, 40 - 17);
});

test("a document that is between its turns lets others go, and is not sent away from the next one", async () => {
  const turns = new DocumentTurns();
  const by = (workspace: string) => ({ author: { actor: null, role: "admin" as const, workspace } });
  const order: string[] = [];
  const note = (what: string) => async () => void order.push(what);
  const inTurn = turns.several(by("one"));
  await inTurn(note("one"));
  await turns.take(by("other"), note("other"));
  const gate = Promise.withResolvers<void>();
  const full = Array.from({ length: 40 }, async () => {
    try {
      return await turns.take(by("one"), () => gate.promise);
    } catch (error) {
      return (error as Refusal).status;
    }
  });
  const again = inTurn(note("one again"));
  gate.resolve();
  assert.ok((await Promise.all(full)).includes(429));
  await again;
  assert.deepEqual(order, ["one", "other", "one again"]);
});

test("a workspace that writes all the time does not keep others from it: they take turns", async () => {
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  const port = withTurns({
    async write({ kind }: { kind: string }) {
      await gate.promise;
      order.push(kind);
      return null;
    },
  } as unknown as AdminPort);
  const write = (workspace: string | null, kind: string) =>
    port.write({ kind } as never, { actor: null, role: "admin", workspace });
  const greedy = Array.from({ length: 50 }, (_, i) => write("greedy", `greedy ${i}`));
  const others = [write("other", "other"), write(null, "operator")];
  gate.resolve();
  await Promise.all([...greedy, ...others]);
  assert.deepEqual(order.slice(0, 5), ["greedy 0", "other", "greedy 1", "operator", "greedy 2"]);
});

describe("a token of one workspace", () => {
  let gateway: Gateway;
  let operator: Call;
  let tenant: Call;
  let headers: Record<string, string>;
  before(async () => {
    gateway = await startGateway({ config: null, settings: { data_threads: "1" } });
    operator = callOf(
      () => gateway.ports.admin,
      () => gateway.adminHeaders,
    );
    const quotas = { body_bytes: 2048, entities: 50 };
    assert.equal((await operator("POST", "/workspaces", { name: "acme", quotas })).status, 201);
    const made = await operator("POST", "/admin-tokens", { name: "t", role: "admin", workspace: "acme" });
    headers = { "kong-admin-token": String(made.json.token) };
    tenant = callOf(
      () => gateway.ports.admin,
      () => headers,
    );
  });
  after(() => gateway[Symbol.asyncDispose]());

  const consumerOf = (bytes: number) => {
    const head = JSON.stringify({ username: "u", tags: [""] });
    return { username: "u", tags: ["t".repeat(bytes - head.length)] };
  };

  test("sends no body beyond its quota, in any form; the operator sends it there", async () => {
    assert.equal((await tenant("PUT", "/acme/consumers/u", consumerOf(2048))).status, 200);
    const beyond = await tenant("PUT", "/acme/consumers/u", consumerOf(2049));
    assert.equal(beyond.status, 413);
    assert.match(String(beyond.json.message), /2049 bytes: the quota body_bytes of workspace 'acme' is 2048/);
    for (const path of ["/acme/config/plan", "/acme/config/sync", "/acme/schemas/consumers/validate"]) {
      const { status } = await tenant("POST", path, consumerOf(2049));
      assert.equal(status, 413, path);
    }
    const text = JSON.stringify(consumerOf(2049));
    const [chunked] = await exchangeRaw(
      gateway.ports.admin,
      `PUT /acme/consumers/u HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n` +
        `Kong-Admin-Token: ${headers["kong-admin-token"]}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`,
    );
    assert.equal(chunked?.status, 413);
    assert.equal((await operator("PUT", "/acme/consumers/u", consumerOf(2049))).status, 200);
    assert.equal((await operator("PATCH", "/workspaces/acme", { quotas: { body_bytes: 4096 } })).status, 200);
    assert.equal((await tenant("PUT", "/acme/consumers/u", consumerOf(4096))).status, 200);
  });

  test("cannot make the gateway judge what it has no room for: a million entities are one fault", async () => {
    assert.equal((await operator("PATCH", "/workspaces/acme", { quotas: { body_bytes: null } })).status, 200);
    const many = `{"_format_version":"3.0","services":[${"{},".repeat(200_000)}{}]}`;
    const planned = await tenant("POST", "/acme/config/plan", many, { "content-type": "application/json" });
    assert.equal(planned.status, 400);
    assert.match(String(planned.json.message), /would have 200001 entities and may have 50; [^\n]*$/);
    assert.equal((planned.json.errors as unknown[]).length, 1);
  });
});

test("a page of large entities ends before its size, and says where to go on", () => {
  const items = Array.from({ length: 10 }, (_, i) => ({ id: `id-${i}` }));
  const seen: string[] = [];
  let query: Record<string, string> = { size: "10" };
  for (;;) {
    const page = pageOf(items, query, "/x", { bytesOf: () => 1_500_000 });
    assert.ok(page.data.length <= 2);
    seen.push(...page.data.map(({ id }) => id));
    if (page.offset === undefined) break;
    query = { size: "10", offset: page.offset };
  }
  assert.deepEqual(
    seen,
    items.map(({ id }) => id),
  );
  assert.equal(pageOf(items, {}, "/x", { bytesOf: () => 1 << 30 }).data.length, 1, "at least one");
});
