/** Bounds of what is kept of tokens and changes. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import pino from "pino";
import { Access } from "../../src/access/access.ts";
import { AuditLog } from "../../src/access/audit.ts";
import { MAX_TOKENS, makeToken, rowOfToken, TokenTable } from "../../src/access/token-table.ts";
import { DEFAULT_WORKSPACE_ID } from "../../src/entities/entities.ts";
import { EntityIndex } from "../../src/entities/entity-index.ts";
import type { Entity } from "../../src/entities/relations.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import type { AuditEntry } from "../../src/stores/store.ts";
import { startAdmin } from "../admin/gateway.ts";

const DAY_MS = 86_400_000;

function auditOf(store: MemoryStore): AuditLog {
  return new AuditLog({
    store: () => store,
    plugins: { find: () => ({ missing: "" }) },
    index: () => EntityIndex.empty,
    log: pino({ level: "silent" }),
  });
}

test("there are so many tokens of all workspaces and no more, and others are not held up by them", async () => {
  const store = new MemoryStore();
  const { token } = await makeToken(
    { name: "t", role: "viewer", workspace: "", expiresAt: null },
    Date.now(),
  );
  const rows = Array.from({ length: MAX_TOKENS }, () => rowOfToken({ ...token, id: randomUUID() }));
  await store.write(
    0,
    rows.map((put) => ({ put })),
    [],
  );
  const { call } = await startAdmin({ store });
  const make = (workspace: string) =>
    call("POST", "/admin-tokens", {
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ name: "one more", role: "viewer", workspace }),
    });
  const refused = await make("*");
  assert.equal(refused.status, 400);
  assert.match(
    refused.json.message ?? "",
    /there are 1000 tokens already, the most that there may be; revoke one/,
  );
  assert.equal((await make("default")).status, 201);
});

test("entries of the audit log that are too old are removed when the gateway starts", async () => {
  const store = new MemoryStore();
  const entry = (days: number) => ({ at: Date.now() - days * DAY_MS, workspace: "", body: { days } });
  await store.write(0, [], [entry(91), entry(89), entry(0)]);
  const audit = auditOf(store);
  audit.keep(90);
  audit.close();
  const { entries } = await store.audit(null, 10, null);
  assert.deepEqual(
    entries.map(({ body }) => body.days),
    [0, 89],
  );
});

test("an entity that is too large for the audit log is only told of", () => {
  const service = (tag: string): Entity =>
    ({ id: "s", ws_id: DEFAULT_WORKSPACE_ID, name: "s", tags: [tag] }) as unknown as Entity;
  const [entry] = auditOf(new MemoryStore()).entriesOf(
    { edits: { put: [], removed: [] }, old: service("small"), entity: service("x".repeat(70_000)) },
    { kind: "services", workspace: DEFAULT_WORKSPACE_ID },
    { actor: "somebody" },
  );
  const { before, after, changed } = (entry as AuditEntry).body as {
    before: Entity;
    after: object;
    changed: string[];
  };
  assert.deepEqual(before.tags, ["small"]);
  assert.match(JSON.stringify(after), /^\{"id":"s","omitted":"70\d\d\d bytes"\}$/);
  assert.deepEqual(changed, ["tags"]);
});

test("of wrong tokens so many are told of in a minute, however many addresses send them", async () => {
  const told: string[] = [];
  let now = Date.now();
  const access = new Access({
    mode: "on",
    certificateRoles: [],
    tokens: new TokenTable(),
    index: () => EntityIndex.empty,
    hasStore: true,
    fileToken: null,
    onFailure: ({ address }) => told.push(address),
    now: () => now,
  });
  const wrong = (address: string) =>
    access.admit({ authorization: "Bearer wrong", adminToken: undefined, address, certificate: null });
  for (let i = 0; i < 40; i++) await wrong(`10.0.0.${i}`);
  assert.equal(told.length, 30);
  now += 60_001;
  await wrong("10.0.1.1");
  assert.equal(told.at(-1), "10.0.1.1");
});
