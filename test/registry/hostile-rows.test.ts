/** Rows of the registry's store that something else has written: they count as not there, and nothing is granted by them. */
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { test } from "node:test";
import type { StoredPackage } from "../../src/registry/registry.ts";
import { MemoryDatabase, MemoryStore } from "../../src/stores/memory.ts";
import type { Row } from "../../src/stores/store.ts";
import { MANIFEST, openRegistry, packageOf, scratch } from "./packages.ts";

type Body = Record<string, unknown>;

/** A store with one package, its channel, a consent, a share and a key, each changed by a hand. */
async function changed(change: (row: Row) => Row) {
  const database = new MemoryDatabase();
  const dir = scratch();
  const registry = await openRegistry(dir, undefined, { store: new MemoryStore(database) });
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ type: "spki", format: "der" }).subarray(12).toString("base64");
  const home = { workspace: "acme", workspaceId: "a" };
  await registry.desk.addAuthorKey(home, "ann", raw);
  const put = await registry.put("acme", await packageOf({ ...MANIFEST, grants: { log: true } }));
  const { stored } = put as { stored: StoredPackage };
  const signature = sign(null, Buffer.from(stored.id), privateKey).toString("base64");
  const signed = await registry.desk.sign(stored, [{ key: "ann", signature }]);
  assert.equal(registry.desk.signaturesOf(signed).length, 1);
  const line = { ...home, name: "header-stamp" };
  await registry.desk.moveChannel(line, "stable", "1.2.0", null, "");
  await registry.desk.giveConsent(home, stored);
  await registry.desk.setShare(line, ["other"]);
  const store = new MemoryStore(database);
  const { revision, rows } = await store.read();
  await store.write(
    revision,
    rows.map((row) => ({ put: change(row) })),
    [],
  );
  const logged: string[] = [];
  const opened = await openRegistry(dir, undefined, {
    store: new MemoryStore(database),
    log: (_level, _message, details) => logged.push(JSON.stringify(details)),
  });
  return { registry: opened, logged };
}

const of =
  (kind: string, edit: (body: Body) => Body) =>
  (row: Row): Row =>
    row.kind === kind ? { ...row, body: edit({ ...row.body }) } : row;

for (const [title, edit, why] of [
  [
    "another manifest's version",
    (body) => ({ ...body, manifest: { ...(body.manifest as Body), version: "9.0.0" } }),
    /says that it is acme\/header-stamp@9\.0\.0/,
  ],
  ["no digests", (body) => ({ ...body, id: "sha256:short" }), /has no digests/],
  ["a path for a digest", (body) => ({ ...body, emitted: "../../etc/passwd" }), /has no digests/],
  ["a broken manifest", (body) => ({ ...body, manifest: { name: "x" } }), /manifest: /],
  [
    "grants that are none",
    (body) => ({ ...body, manifest: { ...(body.manifest as Body), grants: { root: true } } }),
    /manifest: grants\.root: unknown field/,
  ],
  ["signatures that are none", (body) => ({ ...body, signatures: [1] }), /its signatures are none/],
  ["no reason for a yank", (body) => ({ ...body, yanked: true }), /why it was yanked/],
  ["nothing", () => ({}), /manifest: /],
] as const satisfies readonly (readonly [string, (body: Body) => Body, RegExp])[])
  test(`a package row with ${title} is told of, and no package`, async () => {
    const { registry, logged } = await changed(of("packages", edit));
    assert.equal(registry.get("acme", "header-stamp@1.2.0"), undefined);
    assert.match(logged.join("\n"), why);
    assert.ok("missing" in registry.find("header-stamp@stable", "acme"));
  });

test("a channel, share or key of a damaged row is none", async () => {
  for (const kind of ["channels", "shares", "author_keys"]) {
    const { registry, logged } = await changed(of(kind, () => ({ version: 1, workspaces: "all" })));
    assert.match(logged.join("\n"), new RegExp(`"kind":"${kind}"`));
    const stored = registry.get("acme", "header-stamp@1.2.0") as StoredPackage;
    const isThere = {
      channels: !("missing" in registry.find("header-stamp@stable", "acme")),
      shares: !("missing" in registry.find("acme/header-stamp@1.2.0", "other")),
      author_keys: registry.desk.signaturesOf(stored).length > 0,
    };
    assert.deepEqual(isThere, { channels: true, shares: true, author_keys: true, [kind]: false });
  }
});

test("a damaged consent consents to nothing, and holds every version that asks for something", async () => {
  for (const body of [{}, { grants: "all" }, { grants: { log: "yes", kv_bytes: -1, http_hosts: [1] } }]) {
    const { registry } = await changed(of("consents", () => body));
    assert.match(
      (registry.find("header-stamp@^1", "acme") as { missing: string }).missing,
      /asks for more than workspace 'acme' has consented to \(log: true\)/,
    );
  }
});

test("a signature that somebody has put into a row does not count", async () => {
  const forged = [{ key: "ann", signature: Buffer.alloc(64, 1).toString("base64"), at: 1 }];
  const { registry } = await changed(of("packages", (body) => ({ ...body, signatures: forged })));
  const stored = registry.get("acme", "header-stamp@1.2.0") as StoredPackage;
  assert.equal(stored.signatures.length, 1);
  assert.deepEqual(registry.desk.signaturesOf(stored), []);
  assert.match(
    (registry.find("header-stamp@1.2.0", "acme", true) as { missing: string }).missing,
    /bears no signature/,
  );
});
