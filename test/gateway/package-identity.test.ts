/** When an instance of an uploaded plugin is made anew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf, openPackage } from "../../src/registry/package.ts";
import { DEFAULT_LIMITS } from "../../src/sandbox/limits.ts";
import { type InstalledPackage, identityOf } from "../../src/threads/packages.ts";
import { packFiles } from "./packages.ts";

const CODE = Buffer.from("export default {};");

async function installed(changes: object, limits = DEFAULT_LIMITS): Promise<InstalledPackage> {
  const manifest = {
    manifest: 1,
    name: "p",
    version: "1.0.0",
    runtime: "isolate",
    entry: "plugin.js",
    phases: ["access"],
    ...changes,
  };
  const bytes = await packFiles(manifest, "plugin.js", CODE);
  const { opened } = await openPackage(bytes);
  assert.ok(opened);
  return {
    id: digestOf(bytes),
    workspace: "default",
    workspaceId: "0dc6f45b-8f8d-40d2-a504-473544ee190b",
    manifest: opened.manifest,
    digest: digestOf(CODE),
    code: CODE,
    limits,
  };
}

for (const [title, changes] of [
  ["grants", { grants: { log: true } }],
  ["limits", { limits: { wall_ms: 10 } }],
  ["phases", { phases: ["access", "log"] }],
  ["its policy for failures", { fail: "open" }],
] as const)
  test(`the same code with other ${title} is another plugin`, async () => {
    const [one, other] = [await installed({}), await installed(changes)];
    assert.equal(one.digest, other.digest);
    assert.notEqual(identityOf(one), identityOf(other));
  });

test("the same package under other limits of its workspace is another plugin", async () => {
  const moved = { ...DEFAULT_LIMITS, cpuMs: DEFAULT_LIMITS.cpuMs + 1 };
  assert.notEqual(identityOf(await installed({})), identityOf(await installed({}, moved)));
});

test("the same package is the same plugin, and no native one", async () => {
  assert.equal(identityOf(await installed({})), identityOf(await installed({})));
  assert.notEqual(identityOf(await installed({})), identityOf(undefined));
});
