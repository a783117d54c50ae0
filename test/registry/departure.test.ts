/** What the registry forgets with a workspace, and what it keeps of others. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Registry, StoredPackage } from "../../src/registry/registry.ts";
import { MANIFEST, openRegistry, packageOf, scratch } from "./packages.ts";

const HOMES: Readonly<Record<string, string>> = { acme: "a", other: "o" };
/** Of the workspaces that there are. */
let ids = HOMES;

async function filled(dir: string): Promise<Registry> {
  ids = HOMES;
  const registry = await openRegistry(dir, undefined, { idOf: (name) => ids[name] });
  for (const [workspace, workspaceId] of Object.entries(HOMES)) {
    const home = { workspace, workspaceId };
    const bytes = await packageOf({ ...MANIFEST, grants: { log: true } }, `export default "${workspace}";`);
    const put = await registry.put(workspace, bytes);
    const { stored } = put as { stored: StoredPackage };
    const line = { ...home, name: "header-stamp" };
    await registry.desk.moveChannel(line, "stable", "1.2.0", null, "");
    await registry.desk.setShare(line, workspace === "acme" ? ["other"] : ["acme", "third"]);
    await registry.desk.giveConsent(home, stored);
    const { publicKey } = generateKeyPairSync("ed25519");
    const raw = publicKey.export({ type: "spki", format: "der" }).subarray(12).toString("base64");
    await registry.desk.addAuthorKey(home, "ann", raw);
  }
  const acme = registry.get("acme", "header-stamp@1.2.0") as StoredPackage;
  await registry.desk.giveConsent({ workspace: "other", workspaceId: "o" }, acme);
  return registry;
}

const kept = (registry: Registry, workspace: string, owner = workspace) => ({
  packages: registry.list(workspace).length,
  channels: registry.desk.channels({ workspace, name: "header-stamp" }).length,
  keys: registry.desk.authorKeys(workspace).length,
  consent: registry.desk.consent(workspace, owner, "header-stamp") !== undefined,
  shared: registry.desk.share(workspace, "header-stamp")?.workspaces ?? [],
});

const NOTHING = { packages: 0, channels: 0, keys: 0, consent: false, shared: [] };

test("all that a workspace had goes, its place in others' shares included, and nothing of theirs", async () => {
  const dir = scratch();
  const registry = await filled(dir);
  ids = { other: "o" };
  const gone = await registry.deleteAll({ id: "a", name: "acme" });
  assert.deepEqual(gone, { packages: 1, artifacts: 2 });
  assert.deepEqual(kept(registry, "acme"), NOTHING);
  const other = { packages: 1, channels: 1, keys: 1, consent: true, shared: ["third"] };
  assert.deepEqual(kept(registry, "other"), other);
  // To what is not there any more nobody has consented: who comes by that name publishes something else.
  assert.equal(kept(registry, "other", "acme").consent, false);
  assert.equal(readdirSync(join(dir, "sha256")).length, 2);
  const again = await openRegistry(dir);
  assert.deepEqual([kept(again, "acme"), kept(again, "other")], [NOTHING, other]);
  assert.deepEqual(await again.deleteAll({ id: "a", name: "acme" }), { packages: 0, artifacts: 0 });
});

test("a workspace that has the name of one that is gone keeps what is its own", async () => {
  const registry = await filled(scratch());
  assert.deepEqual(await registry.deleteAll({ id: "earlier", name: "acme" }), { packages: 0, artifacts: 0 });
  assert.deepEqual(kept(registry, "acme"), {
    packages: 1,
    channels: 1,
    keys: 1,
    consent: true,
    shared: ["other"],
  });
  assert.deepEqual(registry.desk.share("other", "header-stamp")?.workspaces, ["acme", "third"]);
});
