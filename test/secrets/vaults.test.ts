/** Vaults of files: what is read from `secrets_dir`, and what is not. */
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { integer, record, string } from "@gatehouse/sdk";
import { DEFAULT_WORKSPACE_ID } from "../../src/entities/entities.ts";
import { Vaults } from "../../src/secrets/vaults.ts";

const directory = await mkdtemp(join(tmpdir(), "gatehouse-vaults-"));
after(() => rm(directory, { recursive: true, force: true }));
const home = join(directory, "default");
await mkdir(home);
await mkdir(join(directory, "acme"));

async function secret(path: string, text: string, mode = 0o600) {
  await writeFile(join(directory, path), text);
  await chmod(join(directory, path), mode);
}
await secret("default/redis-password", "open sesame\n");
await secret("default/app-redis", "of the app");
await secret("default/readable", "by all", 0o644);
await secret("acme/key", "a tenant's");
await symlink(join(directory, "acme/key"), join(home, "linked"));

const vaults = new Vaults({ environment: { NUMBER: "7" }, directory });
const schema = record({
  password: string({ referenceable: true, match: "^[a-z ]+$" }),
  list: record({ deep: string({ referenceable: true }) }),
  limit: integer(),
});
const plugin = { name: "p", version: "1.0.0", priority: 1, schema };
const context = {
  plugins: { find: () => plugin },
  flavor: "traditional_compatible",
  patterns: new Map(),
} as const;

async function resolve(config: object, ws_id: string = DEFAULT_WORKSPACE_ID) {
  const entity = { name: "p", config, ws_id };
  const find = (prefix: string) =>
    prefix === "app" ? { name: "file", prefix, config: { prefix: "app-" } } : undefined;
  const resolved = await vaults.resolve("plugins", entity, find, context);
  return { ...resolved, same: resolved.entity === entity };
}

test("files of the operator's are read, without the line end, wherever the config has a reference", async () => {
  const config = { password: "{vault://file/redis-password}", list: { deep: "{vault://app/redis}" } };
  const { entity, faults } = await resolve(config);
  assert.deepEqual(faults, []);
  assert.deepEqual(entity.config, { password: "open sesame", list: { deep: "of the app" }, limit: null });
});

test("an entity without references is left as it is, and so is one of a tenant", async () => {
  assert.equal((await resolve({ password: "a" })).same, true);
  const tenants = await resolve({ password: "{vault://env/number}" }, "0dc6f45b-8f8d-40d2-a504-000000000000");
  assert.equal(tenants.same, true);
});

const REFUSED: [reference: string, message: string][] = [
  ["{vault://file/nothing}", "leads nowhere: secrets_dir has no such file (default/nothing)"],
  ["{vault://file/..}", "leads nowhere: secrets_dir has no such file (default/..)"],
  [
    "{vault://file/readable}",
    "cannot be read: other users of the machine have rights to it: take them away (chmod o= FILE)",
  ],
  ["{vault://file/linked}", "cannot be read: it is a link that leads out of its workspace's directory"],
];
for (const [reference, message] of REFUSED) {
  test(`${reference} is refused`, async () => {
    const { faults } = await resolve({ password: reference });
    assert.deepEqual(faults, [{ path: ["config", "password"], message: `${reference} ${message}` }]);
  });
}

test("a value that the plugin's schema refuses is not quoted", async () => {
  const { faults } = await resolve({ password: "{vault://env/number}" });
  assert.deepEqual(faults, [
    { path: ["config", "password"], message: "what the reference leads to is no sound value" },
  ]);
});
