/** What the names of plugin entities mean, while packages are published, yanked and moved between channels. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Line } from "../../src/registry/desk.ts";
import type { Registry, StoredPackage } from "../../src/registry/registry.ts";
import { MANIFEST, openRegistry, packageOf, scratch } from "./packages.ts";

const LINE: Line = { workspace: "acme", workspaceId: "a", name: "header-stamp" };

async function publish(registry: Registry, version: string, changes: object = {}): Promise<StoredPackage> {
  const put = await registry.put("acme", await packageOf({ ...MANIFEST, version, ...changes }));
  assert.equal(put.kind, "created");
  return (put as { stored: StoredPackage }).stored;
}

async function withVersions(...versions: string[]): Promise<Registry> {
  const registry = await openRegistry(scratch());
  for (const version of versions) await publish(registry, version);
  return registry;
}

function meant(registry: Registry, wanted: string, config: object = {}): string {
  const found = registry.fit(`header-stamp@${wanted}`, "acme", config);
  return "missing" in found ? found.missing : found.stored.manifest.version;
}

const VERSIONS = ["1.2.0", "1.10.0", "1.9.9", "2.0.0-beta.1", "0.9.0", "1.10.1-rc.1"];

for (const [wanted, version] of [
  ["1.2.0", "1.2.0"],
  ["^1.2", "1.10.0"],
  ["^1.2.0", "1.10.0"],
  ["~1.9", "1.9.9"],
  ["~1.9.1", "1.9.9"],
  ["1.x", "1.10.0"],
  ["1", "1.10.0"],
  ["0.9", "0.9.0"],
  ["^1.10.1-rc.0", "1.10.1-rc.1"],
  ["^2.0.0-beta.0", "2.0.0-beta.1"],
  ["2.0.0-beta.1", "2.0.0-beta.1"],
  ["latest", "1.10.0"],
] as const)
  test(`of six versions ${wanted} means ${version}`, async () => {
    assert.equal(meant(await withVersions(...VERSIONS), wanted), version);
  });

for (const [wanted, message] of [
  [
    "^3",
    /no plugin package 'header-stamp@\^3' in workspace 'acme'; it has version 2\.0\.0-beta\.1, 1\.10\.1/,
  ],
  ["^2", /no plugin package/],
  ["stable", /no plugin package 'header-stamp@stable'/],
  [">=1 <2", /'>=1 <2' is no version \(1\.2\.0\), range \(\^1\.2, ~1\.2, 1\.x\) or channel \(stable\)/],
  ["1.2.3.4", /is no version/],
  ["^01.2", /is no version/],
  ["Stable", /is no version/],
  ["^1.2 || ^3", /is no version/],
  [`^1.${"9".repeat(70)}`, /is no version/],
  ["^9999999999999999.0.0", /is no version/],
  ["", /no plugin package 'header-stamp'/],
] as const)
  test(`no version is meant by '${wanted.slice(0, 30)}'`, async () => {
    assert.match(meant(await withVersions(...VERSIONS), wanted), message);
  });

test("a range and 'latest' move with what is published, yanked and unyanked; an exact version does not", async () => {
  const registry = await withVersions("1.2.0");
  const names = () => ["^1.2", "latest", "1.2.0"].map((wanted) => meant(registry, wanted));
  await publish(registry, "1.3.0");
  assert.deepEqual(names(), ["1.3.0", "1.3.0", "1.2.0"]);
  await registry.desk.yank(LINE, "1.3.0", "ann", "loses headers");
  assert.deepEqual(names(), ["1.2.0", "1.2.0", "1.2.0"]);
  assert.equal(meant(registry, "1.3.0"), "1.3.0");
  assert.equal(registry.get("acme", "header-stamp@1.3.0")?.yanked?.reason, "loses headers");
  await registry.desk.unyank(LINE, "1.3.0");
  assert.deepEqual(names(), ["1.3.0", "1.3.0", "1.2.0"]);
});

test("a range of which all is yanked goes on for those who use it, and nobody begins to use it", async () => {
  const registry = await withVersions("1.2.0");
  await registry.desk.yank(LINE, "1.2.0", null, "no more");
  assert.match(meant(registry, "^1.2"), /no plugin package/);
  const { manifest } = registry.get("acme", "header-stamp@1.2.0") as StoredPackage;
  const use = { workspace: "acme", workspaceId: "a", owner: "acme", manifest, isExact: false };
  await registry.consentTo([use]);
  assert.equal(meant(registry, "^1.2"), "1.2.0");
});

test("a channel points where it was moved to, tells its history, and goes back step by step", async () => {
  const registry = await withVersions("1.0.0", "1.1.0", "1.2.0");
  for (const version of ["1.0.0", "1.1.0", "1.2.0"])
    await registry.desk.moveChannel(LINE, "stable", version, "ann", `deploy ${version}`);
  assert.equal(meant(registry, "stable"), "1.2.0");
  await registry.desk.moveChannelBack(LINE, "stable", "ben", "errors");
  assert.equal(meant(registry, "stable"), "1.1.0");
  const back = await registry.desk.moveChannelBack(LINE, "stable", "ben", "more errors");
  assert.equal(meant(registry, "stable"), "1.0.0");
  assert.deepEqual(
    back.history.map(({ version, by, why }) => [version, by, why]),
    [
      ["1.0.0", "ben", "more errors"],
      ["1.1.0", "ben", "errors"],
      ["1.2.0", "ann", "deploy 1.2.0"],
      ["1.1.0", "ann", "deploy 1.1.0"],
      ["1.0.0", "ann", "deploy 1.0.0"],
    ],
  );
  await assert.rejects(registry.desk.moveChannelBack(LINE, "stable", "ben", ""), /there is none before it/);
  await registry.desk.moveChannel(LINE, "stable", "1.2.0", "ann", "");
  await registry.desk.moveChannel(LINE, "stable", "1.1.0", "ann", "");
  await registry.desk.yank(LINE, "1.2.0", "ann", "errors");
  const past = await registry.desk.moveChannelBack(LINE, "stable", "ben", "not to what is yanked");
  assert.equal(past.version, "1.0.0");
  assert.equal(await registry.desk.removeChannel(LINE, "stable"), true);
  assert.equal(await registry.desk.removeChannel(LINE, "stable"), false);
  assert.match(meant(registry, "stable"), /no plugin package/);
});

for (const [title, channel, version, message] of [
  ["'latest'", "latest", "1.0.0", /'latest' is the highest release by itself/],
  ["a name that is none", "Beta 1", "1.0.0", /a channel's name has 1 to 32 lower-case letters/],
  ["a version that is not there", "stable", "3.0.0", /there is no header-stamp@3\.0\.0 in workspace 'acme'/],
  ["a yanked version", "stable", "1.1.0", /header-stamp@1\.1\.0 is yanked \(broken\)/],
] as const)
  test(`a channel is not moved: ${title}`, async () => {
    const registry = await withVersions("1.0.0", "1.1.0");
    await registry.desk.yank(LINE, "1.1.0", null, "broken");
    await assert.rejects(registry.desk.moveChannel(LINE, channel, version, null, ""), message);
    assert.deepEqual(registry.desk.channels(LINE), []);
  });

test("a plugin has sixteen channels at most, and remembers fifty moves of each", async () => {
  const registry = await withVersions("1.0.0", "1.1.0");
  for (let i = 0; i < 16; i++) await registry.desk.moveChannel(LINE, `c${i}`, "1.0.0", null, "");
  await assert.rejects(registry.desk.moveChannel(LINE, "more", "1.0.0", null, ""), /16 channels, the most/);
  for (let i = 0; i < 60; i++)
    await registry.desk.moveChannel(LINE, "c0", i % 2 === 0 ? "1.1.0" : "1.0.0", null, "w".repeat(600));
  const { history, before } = registry.desk.channel("acme", "header-stamp", "c0") ?? {};
  assert.deepEqual([history?.length, before?.length, history?.[0]?.why.length], [50, 50, 200]);
});

const asking = (grants: object) => ({ grants });

test("a name that moves stays below what its workspace has consented to, until it consents to more", async () => {
  const registry = await openRegistry(scratch());
  const first = await publish(registry, "1.0.0", asking({ http_hosts: ["a.example"] }));
  const use = { workspace: "acme", workspaceId: "a", owner: "acme" };
  await registry.consentTo([{ ...use, manifest: first.manifest, isExact: false }]);
  await publish(registry, "1.1.0", asking({ http_hosts: ["a.example"] }));
  assert.equal(meant(registry, "^1"), "1.1.0");
  const more = await publish(registry, "1.2.0", asking({ http_hosts: ["a.example", "b.example"] }));
  await registry.desk.moveChannel(LINE, "stable", "1.2.0", null, "");
  assert.deepEqual([meant(registry, "^1"), meant(registry, "latest")], ["1.1.0", "1.1.0"]);
  assert.match(
    meant(registry, "stable"),
    /'header-stamp@stable' means header-stamp@1\.2\.0, which asks for more .*\(http_hosts: b\.example\)/,
  );
  assert.equal(meant(registry, "1.2.0"), "1.2.0");
  await registry.desk.giveConsent(use, more);
  assert.deepEqual([meant(registry, "^1"), meant(registry, "stable")], ["1.2.0", "1.2.0"]);
});

for (const [consented, asked, waits] of [
  [["*"], ["*"], false],
  [["*", "apikey"], ["apikey"], false],
  [["accept"], ["*"], true],
  // What "*" keeps from a guest, its name would show: keys of clients, and who they are.
  [["*"], ["*", "apikey"], true],
  [["*"], ["x-consumer-username"], true],
  [["*"], ["authorization"], true],
] as const)
  test(`where request headers ${consented} were consented to, ${asked} ${waits ? "wait" : "do not wait"} for consent`, async () => {
    const registry = await openRegistry(scratch());
    const { manifest } = await publish(registry, "1.0.0", asking({ request_headers: consented }));
    await registry.consentTo([
      { workspace: "acme", workspaceId: "a", owner: "acme", manifest, isExact: false },
    ]);
    await publish(registry, "1.1.0", asking({ request_headers: asked }));
    assert.equal(meant(registry, "^1"), waits ? "1.0.0" : "1.1.0");
  });

const field = (name: string, rules: object) => ({ [name]: { type: "string", ...rules } });
const having = (...fields: object[]) => ({ schema: { fields } });

test("an entity gets the best version that takes its config, completed by that version's defaults", async () => {
  const registry = await openRegistry(scratch());
  await publish(registry, "1.0.0", having(field("a", { required: true, default: "x" })));
  await publish(registry, "1.1.0", having(field("a", {}), field("b", { default: "new" })));
  await publish(registry, "1.2.0", having(field("a", {}), field("c", { required: true })));
  assert.equal(meant(registry, "^1", { a: "x" }), "1.1.0");
  const found = registry.fit("header-stamp@^1", "acme", { a: "x" });
  assert.deepEqual("config" in found && found.config, { a: "x", b: "new" });
  assert.equal(meant(registry, "^1", { a: "x", c: "y" }), "1.2.0");
  // None takes it: the best one says what it has against it.
  assert.equal(meant(registry, "^1", { z: 1 }), "1.2.0");
});

test("a way back leaves out what the newer version has filled in, and nothing that somebody wrote", async () => {
  const registry = await openRegistry(scratch());
  await publish(registry, "1.0.0", having(field("a", {})));
  await publish(registry, "1.1.0", having(field("a", {}), field("b", { default: "new" }), field("c", {})));
  await registry.desk.moveChannel(LINE, "stable", "1.1.0", null, "");
  await registry.desk.moveChannel(LINE, "stable", "1.0.0", null, "");
  const filled = registry.fit("header-stamp@stable", "acme", { a: "x", b: "new", c: null });
  assert.deepEqual("config" in filled && [filled.stored.manifest.version, filled.config], [
    "1.0.0",
    { a: "x" },
  ]);
  // Version 1.0.0 does not know what was written: the entity keeps the version that does.
  assert.equal(meant(registry, "stable", { a: "x", b: "mine" }), "1.1.0");
});
