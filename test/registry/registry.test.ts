/** The registry on a real disk: identity, immutability, restarts, and bytes that were tampered with. */
import assert from "node:assert/strict";
import { cpSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cataloguePlugin } from "../../src/registry/catalogue-plugin.ts";
import { MAX_DELETED, rowOfDeleted } from "../../src/registry/deleted-versions.ts";
import { manifestToJson } from "../../src/registry/manifest.ts";
import { digestOf } from "../../src/registry/package.ts";
import type { Forge, StoredPackage } from "../../src/registry/registry.ts";
import { rowOfPackage } from "../../src/registry/stored-package.ts";
import { admit, MANIFEST, openRegistry, packageOf, SOURCE, scratch } from "./packages.ts";

const artifactFile = (dir: string, digest: string) => join(dir, "sha256", digest.slice("sha256:".length));

async function published(result: Promise<{ kind: string; stored?: StoredPackage }>): Promise<StoredPackage> {
  const { kind, stored } = await result;
  assert.equal(kind, "created");
  return stored as StoredPackage;
}

test("a published package is found by id and by name, in its own workspace only", async () => {
  const registry = await openRegistry(scratch());
  const bytes = await packageOf();
  const stored = await published(registry.put("acme", bytes));
  assert.equal(stored.id, digestOf(bytes));
  assert.equal(registry.get("acme", stored.id), stored);
  assert.equal(registry.get("acme", "header-stamp@1.2.0"), stored);
  assert.deepEqual(registry.list("acme"), [stored]);
  assert.equal(registry.get("other", stored.id), undefined);
  assert.deepEqual(registry.list("other"), []);
  assert.equal(Buffer.from(await registry.load(stored)).toString(), SOURCE);
});

test("the same bytes again are the same package; other bytes under the version are a conflict", async () => {
  const registry = await openRegistry(scratch());
  const first = await published(registry.put("acme", await packageOf()));
  const again = await registry.put("acme", await packageOf());
  assert.deepEqual([again.kind, "stored" in again && again.stored], ["same", first]);
  const other = await registry.put("acme", await packageOf(MANIFEST, "export default 1;"));
  assert.equal(other.kind, "conflict");
  assert.equal(registry.get("acme", "header-stamp@1.2.0"), first);
  await published(registry.put("other", await packageOf(MANIFEST, "export default 1;")));
});

test("two uploads of one version at once: one is published, the other sees it", async () => {
  let runs = 0;
  const forge: Forge = async (input) => {
    runs++;
    await new Promise(setImmediate);
    return admit(input);
  };
  const registry = await openRegistry(scratch(), forge);
  const bytes = await packageOf();
  const other = await packageOf(MANIFEST, "export default 2;");
  const uploads = [bytes, bytes, other, other];
  const results = await Promise.all(uploads.map((upload) => registry.put("acme", upload)));
  // Packages are unpacked side by side: whichever is through first is the one that is published.
  const published = registry.get("acme", "header-stamp@1.2.0")?.id;
  const seen = (upload: Uint8Array) => (digestOf(upload) === published ? "same" : "conflict");
  assert.deepEqual(
    results.map(({ kind }, i) => (kind === "created" ? seen(uploads[i] as Uint8Array) : kind)),
    uploads.map(seen),
  );
  assert.equal(results.filter(({ kind }) => kind === "created").length, 1);
  assert.equal(runs, 1);
});

test("packages whose reports take too much of the store are refused in time, in their workspace alone", async () => {
  const forge: Forge = async (input) => ({
    ok: true,
    emitted: input.artifact,
    report: { exports: ["x".repeat(15 << 20)] },
  });
  const dir = scratch();
  const registry = await openRegistry(dir, forge);
  const put = async (workspace: string, version: string) =>
    registry.put(workspace, await packageOf({ ...MANIFEST, version }));
  for (const version of ["1.0.0", "1.0.1", "1.0.2"]) await published(put("greedy", version));
  const third = await put("greedy", "1.0.3");
  assert.ok(third.kind === "full");
  assert.match(third.message, /manifests and reports .* more than 33554432 bytes/);
  await published(put("other", "1.0.0"));
  assert.equal((await openRegistry(dir, forge)).list("greedy").length, 3);
});

test("what was published is there after a restart, with what the forge made of it", async () => {
  const dir = scratch();
  const forge: Forge = async () => ({ ok: true, emitted: Buffer.from("metered"), report: { functions: 3 } });
  const before = await published((await openRegistry(dir, forge)).put("acme", await packageOf()));
  const registry = await openRegistry(dir);
  const after = registry.get("acme", before.id);
  assert.deepEqual(after, before);
  assert.equal(Buffer.from(await registry.load(after as StoredPackage)).toString(), "metered");
});

test("an artifact swapped between admission and load is refused", async () => {
  const dir = scratch();
  const registry = await openRegistry(dir);
  const stored = await published(registry.put("acme", await packageOf()));
  writeFileSync(artifactFile(dir, stored.emitted), "export default evil;");
  await assert.rejects(registry.load(stored), /holds other bytes than were admitted/);
});

test("an artifact that is gone is refused with its digest", async () => {
  const dir = scratch();
  const registry = await openRegistry(dir);
  const stored = await published(registry.put("acme", await packageOf()));
  await registry.delete(stored);
  await assert.rejects(registry.load(stored), new RegExp(`${stored.emitted} cannot be read`));
});

test("a write that was interrupted leaves nothing behind after the next start", async () => {
  const dir = scratch();
  await openRegistry(dir);
  writeFileSync(join(dir, "sha256", ".tmp-half"), "half");
  await openRegistry(dir);
  assert.deepEqual(readdirSync(join(dir, "sha256")), []);
});

test("deleting removes the bytes, unless another workspace has the same package", async () => {
  const dir = scratch();
  const registry = await openRegistry(dir);
  const bytes = await packageOf();
  const acme = await published(registry.put("acme", bytes));
  const other = await published(registry.put("other", bytes));
  await registry.delete(acme);
  assert.equal(registry.get("acme", acme.id), undefined);
  assert.equal(Buffer.from(await registry.load(other)).toString(), SOURCE);
  await registry.delete(other);
  assert.deepEqual(readdirSync(join(dir, "sha256")), []);
  assert.deepEqual((await openRegistry(dir)).list("other"), []);
});

test("what the forge refuses is not kept, and every reason is told", async () => {
  const dir = scratch();
  const registry = await openRegistry(dir, async () => ({
    ok: false,
    reasons: ["no export 'access'", "imports env.x"],
  }));
  const result = await registry.put("acme", await packageOf());
  assert.equal(result.kind, "refused");
  assert.deepEqual(result.kind === "refused" && result.violations.map(({ message }) => message), [
    "no export 'access'",
    "imports env.x",
  ]);
  assert.deepEqual(readdirSync(join(dir, "sha256")), []);
  assert.deepEqual(registry.list("acme"), []);
});

test("a busy forge is told apart from a refusal, and the upload can be repeated", async () => {
  let busy = true;
  const registry = await openRegistry(scratch(), async (input) =>
    busy ? { ok: false, busy: true } : admit(input),
  );
  assert.equal((await registry.put("acme", await packageOf())).kind, "busy");
  busy = false;
  assert.equal((await registry.put("acme", await packageOf())).kind, "created");
});

test("a forge that throws fails its upload and none after it", async () => {
  let broken = true;
  const registry = await openRegistry(scratch(), async (input) => {
    if (broken) throw new Error("forge died");
    return admit(input);
  });
  await assert.rejects(registry.put("acme", await packageOf()), /forge died/);
  broken = false;
  assert.equal((await registry.put("acme", await packageOf())).kind, "created");
});

test("the index of an earlier version is moved to the store once, whole or not at all", async () => {
  const dir = scratch();
  const before = await published((await openRegistry(dir)).put("acme", await packageOf()));
  // As the earlier version has written it.
  const index = indexOf(before);
  const next = scratch();
  cpSync(join(dir, "sha256"), join(next, "sha256"), { recursive: true });
  for (const [text, reason] of [
    ["{", /index\.json: is not JSON; restore the file/],
    ["{}", /is not a registry index/],
    [index.replace("sha256:", "sha1:"), /packages\[0\]: it has no digests/],
    [index.replace('"access"', '"boot"'), /packages\[0\]: manifest: phases/],
  ] as const) {
    writeFileSync(join(next, "index.json"), text);
    await assert.rejects(openRegistry(next), reason);
  }
  writeFileSync(join(next, "index.json"), index);
  const registry = await openRegistry(next);
  const moved = registry.get("acme", "header-stamp@1.2.0") as StoredPackage;
  assert.deepEqual(moved, before);
  assert.equal(Buffer.from(await registry.load(moved)).toString(), SOURCE);
  assert.deepEqual(readdirSync(next).sort(), ["index.json.moved", "sha256"]);
  assert.deepEqual((await openRegistry(next)).list("acme"), [before]);
});

/** `index.json` of a registry with one package. */
function indexOf({ manifest, id, workspace, emitted, report, createdAt }: StoredPackage): string {
  const entry = { id, workspace, emitted, report, createdAt, manifest: manifestToJson(manifest) };
  return JSON.stringify({ format: 1, packages: [entry] });
}

test("a plugin entity finds its workspace's packages, and nobody else's", async () => {
  const registry = await openRegistry(scratch());
  const stored = await published(registry.put("acme", await packageOf()));
  const cases: [name: string, workspace: string, found: boolean, message?: RegExp][] = [
    ["header-stamp@1.2.0", "acme", true],
    ["acme/header-stamp@1.2.0", "acme", true],
    ["acme/header-stamp@1.2.0", "default", true],
    [
      "acme/header-stamp@1.2.0",
      "other",
      false,
      /no plugin package 'header-stamp@1\.2\.0' in what is shared to workspace 'other'/,
    ],
    ["acme/nothing@1.0.0", "other", false, /in what is shared to workspace 'other'; publish/],
    ["header-stamp@1.2.0", "other", false, /in workspace 'other'; publish it first/],
    ["header-stamp@2.0.0", "acme", false, /in workspace 'acme'; it has version 1\.2\.0; publish/],
    ["header-stamp", "acme", false],
  ];
  for (const [name, workspace, found, message] of cases) {
    const result = registry.find(name, workspace);
    if (found) assert.equal(result, stored);
    else assert.match("missing" in result ? result.missing : "", message ?? /./);
  }
  assert.equal(cataloguePlugin(stored).name, "header-stamp");
  assert.deepEqual(registry.names("acme"), ["header-stamp@1.2.0"]);
  assert.deepEqual(registry.names("default"), ["acme/header-stamp@1.2.0"]);
  assert.deepEqual(registry.names("other"), []);
});

for (const version of ["9007199254740992.0.0", "1.0.99999999999999999999", `1.0.0-${"a".repeat(300)}`])
  test(`a package of version ${version.slice(0, 24)} is refused, and the registry opens again`, async () => {
    const dir = scratch();
    const registry = await openRegistry(dir);
    const put = await registry.put("acme", await packageOf({ ...MANIFEST, version }));
    assert.equal(put.kind, "refused");
    await published(registry.put("acme", await packageOf()));
    assert.equal((await openRegistry(dir)).list("acme").length, 1);
  });

test("a row of a version that cannot be compared counts as not there, and others are read", async () => {
  const dir = scratch();
  const registry = await openRegistry(dir);
  const stored = await published(registry.put("acme", await packageOf()));
  const row = rowOfPackage(stored);
  const version = "9007199254740992.0.0";
  const manifest = { ...(row.body.manifest as object), version };
  const put = { ...row, id: `acme/header-stamp@${version}`, body: { ...row.body, manifest } };
  await registry.records.write(() => ({ edits: [{ put }], result: null }));
  assert.equal((await openRegistry(dir)).list("acme").length, 1);
});

test("of a version that was deleted the same bytes may be published again, and no others, also after a restart", async () => {
  const dir = scratch();
  const registry = await openRegistry(dir);
  const bytes = await packageOf();
  const other = await packageOf(MANIFEST, "export default 1;");
  await registry.delete(await published(registry.put("acme", bytes)));
  assert.equal((await registry.put("acme", other)).kind, "deleted");
  const again = await openRegistry(dir);
  assert.equal((await again.put("acme", other)).kind, "deleted");
  assert.deepEqual(again.list("acme"), []);
  await published(again.put("other", other));
  await published(again.put("acme", bytes));
  assert.equal((await again.put("acme", other)).kind, "conflict");
});

test("a workspace that has deleted too many versions deletes no more, and the package stays", async () => {
  const registry = await openRegistry(scratch());
  const stored = await published(registry.put("acme", await packageOf()));
  const { body, ...row } = rowOfDeleted(stored);
  const puts = Array.from({ length: MAX_DELETED }, (_, i) => ({
    put: { ...row, body, id: `acme/header-stamp@0.0.${i}` },
  }));
  await registry.records.write(() => ({ edits: puts, result: null }));
  await assert.rejects(registry.delete(stored), /yank it instead/);
  assert.equal(registry.get("acme", "header-stamp@1.2.0"), stored);
  await registry.deleteAll({ id: "", name: "acme" });
  await published(registry.put("acme", await packageOf(MANIFEST, "export default 1;")));
});
