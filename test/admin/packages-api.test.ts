/** Publishing plugin packages over HTTP: every status of the upload, who may upload, and what may be removed. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { packDirectory } from "../../src/cli/pack.ts";
import { MAX_PACKAGE_BYTES } from "../../src/registry/archive.ts";
import { forgeBy } from "../../src/registry/forge.ts";
import { digestOf } from "../../src/registry/package.ts";
import type { Forge } from "../../src/registry/registry.ts";
import { createForge } from "../../src/sandbox/forge/forge-client.ts";
import { smokeRun } from "../../src/sandbox/forge/smoke.ts";
import { buildGuests } from "../../wasm-plugins/build.ts";
import { admit, MANIFEST, packageOf } from "../registry/packages.ts";
import { place } from "../sandbox/sandbox.ts";
import { GZIP, startAdmin, YAML } from "./gateway.ts";

const TS_SOURCE = fileURLToPath(new URL("../../wasm-plugins/ts-hello", import.meta.url));
const WITH_ACME = '_format_version: "3.0"\nworkspaces:\n- name: acme\n  hosts: [acme.example]\n';

/** The forge and the smoke run as a gateway has them. */
async function realForge(): Promise<Forge> {
  const client = createForge();
  after(() => client.close());
  const where = await place(["isolate", "wasm"]);
  return forgeBy(client, (job) => smokeRun(job, where));
}

test("an upload that the forge admits is 201 with what it became, and there to be read", async () => {
  const { call } = await startAdmin({ forge: await realForge() });
  const source =
    'export default { name: "header-stamp", version: "1.2.0", priority: 0, schema: {}, create: () => ({ access() {} }) };';
  const body = await packageOf({ ...MANIFEST, grants: { request_headers: ["X-Stamp"] } }, source);
  const created = await call("POST", "/plugin-packages", { headers: GZIP, body });
  assert.equal(created.status, 201, created.text);
  const { id, name, version, runtime, phases, grants, forge } = created.json;
  assert.deepEqual(
    [id, name, version, runtime, phases],
    [digestOf(body), "header-stamp", "1.2.0", "isolate", ["access"]],
  );
  assert.deepEqual((grants as { request_headers: string[] }).request_headers, ["x-stamp"]);
  assert.equal(typeof forge, "object");
  for (const key of [String(id), "header-stamp@1.2.0"]) {
    const read = await call("GET", `/plugin-packages/${key}`);
    assert.equal(read.status, 200);
    assert.equal(read.json.id, id);
    assert.equal((read.json.manifest as { entry: string }).entry, "plugin.js");
  }
  assert.deepEqual((await call("GET", "/plugin-packages")).json.data, [created.json]);
});

test("every example guest, packed as an author packs it, is admitted and loads as the forge emitted it", async () => {
  const { call, registry } = await startAdmin({ forge: await realForge() });
  const guests = await buildGuests();
  const folders = [...guests.map(({ folder }) => folder), TS_SOURCE];
  for (const folder of folders) {
    const fromSource = { build: true, version: (written: string) => `${written}-source` };
    const { bytes, id, manifest } = await packDirectory(folder, folder === TS_SOURCE ? fromSource : {});
    const { status, json, text } = await call("POST", "/plugin-packages", { headers: GZIP, body: bytes });
    assert.deepEqual([status, json.id, json.runtime], [201, id, manifest.runtime], text);
    const stored = registry.get("default", id);
    assert.ok(stored);
    assert.equal(digestOf(await registry.load(stored)), stored.emitted);
  }
  assert.deepEqual(new Set(guests.map(({ runtime }) => runtime)), new Set(["extism", "isolate"]));
});

test("what the real forge refuses is 400 code 2 with its reasons, and not kept", async () => {
  const { call } = await startAdmin({ forge: await realForge() });
  const broken: [manifest: object, source: string][] = [
    [MANIFEST, "this is not JavaScript ("],
    [{ ...MANIFEST, runtime: "extism" }, "\0asm but nothing else"],
  ];
  for (const [manifest, source] of broken) {
    const { status, json } = await call("POST", "/plugin-packages", {
      headers: GZIP,
      body: await packageOf(manifest, source),
    });
    assert.deepEqual([status, json.code, json.name], [400, 2, "schema violation"]);
    assert.deepEqual(Object.keys(json.fields ?? {}), ["entry"]);
    assert.match(json.message ?? "", /^(\d+ )?schema violations? \(entry: /);
  }
  assert.deepEqual((await call("GET", "/plugin-packages")).json.data, []);
});

test("the same bytes again are 200, other bytes under the version 409 code 5", async () => {
  const { call } = await startAdmin();
  const first = await call("POST", "/plugin-packages", { headers: GZIP, body: await packageOf() });
  const again = await call("POST", "/plugin-packages", { headers: GZIP, body: await packageOf() });
  assert.deepEqual([first.status, again.status, again.json], [201, 200, first.json]);
  const other = await call("POST", "/plugin-packages", {
    headers: GZIP,
    body: await packageOf(MANIFEST, "export default 2;"),
  });
  assert.deepEqual([other.status, other.json.code, other.json.name], [409, 5, "unique constraint violation"]);
  assert.equal(other.json.message, `UNIQUE violation detected on '{name="header-stamp",version="1.2.0"}'`);
});

test("a malformed package is 400 code 2 with every reason under fields", async () => {
  const { call } = await startAdmin();
  const manifest = { ...MANIFEST, name: "Bad", phases: [], extra: 1 };
  const { status, json } = await call("POST", "/plugin-packages", {
    headers: GZIP,
    body: await packageOf(manifest),
  });
  assert.deepEqual([status, json.code], [400, 2]);
  assert.deepEqual(Object.keys(json.fields ?? {}).sort(), ["extra", "name", "phases"]);
  assert.match(
    json.message ?? "",
    /^3 schema violations \(extra: unknown field \(line 7, column 1\); name: /,
  );
  for (const body of [Buffer.from("hello"), Buffer.alloc(0)]) {
    const broken = await call("POST", "/plugin-packages", { headers: GZIP, body });
    assert.deepEqual([broken.status, broken.json.fields], [400, { package: "not a gzip file" }]);
  }
});

test("a package that is too large is 413, one of another type 415, and the next upload works", async () => {
  const { call } = await startAdmin();
  const large = await call("POST", "/plugin-packages", {
    headers: GZIP,
    body: Buffer.alloc(MAX_PACKAGE_BYTES + 1),
  });
  assert.deepEqual([large.status, large.json], [413, { message: "Payload too large" }]);
  for (const type of ["application/json", "application/x-www-form-urlencoded", "nonsense"]) {
    const { status, json } = await call("POST", "/plugin-packages", {
      headers: { "content-type": type },
      body: "x",
    });
    assert.deepEqual([status, json.message], [415, "Unsupported content type; send application/gzip"]);
  }
  assert.equal(
    (await call("POST", "/plugin-packages", { headers: GZIP, body: await packageOf() })).status,
    201,
  );
});

test("a busy forge is 429 with Retry-After", async () => {
  const { call } = await startAdmin({ forge: async () => ({ ok: false, busy: true }) });
  const { status, headers } = await call("POST", "/plugin-packages", {
    headers: GZIP,
    body: await packageOf(),
  });
  assert.deepEqual([status, headers["retry-after"]], [429, "1"]);
});

test("of ten uploads at once two are told to come back, and the others are published", async () => {
  const gate = Promise.withResolvers<void>();
  const { call } = await startAdmin({
    forge: async (input) => {
      await gate.promise;
      return admit(input);
    },
  });
  const statuses: number[] = [];
  const uploads = Array.from({ length: 10 }, async (_, i) => {
    const body = await packageOf({ ...MANIFEST, version: `1.0.${i}` });
    const { status } = await call("POST", "/plugin-packages", { headers: GZIP, body });
    statuses.push(status);
    if (statuses.length === 2) gate.resolve();
  });
  await Promise.all(uploads);
  assert.deepEqual(statuses, [429, 429, ...Array(8).fill(201)]);
});

test("a workspace that uploads all the time leaves another its part", async () => {
  const gate = Promise.withResolvers<void>();
  const { call } = await startAdmin({
    forge: async (input) => {
      if (input.workspace === "default") await gate.promise;
      return admit(input);
    },
  });
  await call("POST", "/config", { headers: YAML, body: WITH_ACME });
  const upload = async (path: string, version: string) => {
    const body = await packageOf({ ...MANIFEST, version });
    return (await call("POST", `${path}/plugin-packages`, { headers: GZIP, body })).status;
  };
  const first = Promise.withResolvers<void>();
  const greedy = Array.from({ length: 9 }, async (_, i) => {
    const status = await upload("", `1.0.${i}`);
    if (status === 429) first.resolve();
    return status;
  });
  await first.promise;
  assert.equal(await upload("/acme", "1.0.0"), 201);
  gate.resolve();
  assert.deepEqual((await Promise.all(greedy)).sort(), [...Array(8).fill(201), 429]);
});

test("a workspace has packages of its own, which others do not see", async () => {
  const { call } = await startAdmin();
  await call("POST", "/config", { headers: YAML, body: WITH_ACME });
  const created = await call("POST", "/acme/plugin-packages", { headers: GZIP, body: await packageOf() });
  assert.equal(created.status, 201);
  assert.equal((await call("GET", `/acme/plugin-packages/${created.json.id}`)).status, 200);
  assert.equal((await call("GET", `/plugin-packages/${created.json.id}`)).status, 404);
  assert.deepEqual((await call("GET", "/plugin-packages")).json.data, []);
  assert.equal(
    (await call("POST", "/nobody/plugin-packages", { headers: GZIP, body: await packageOf() })).status,
    404,
  );
});

test("without the system's fence a tenant may not upload, unless the operator named it", async () => {
  const body = await packageOf();
  for (const [unfencedUploads, expected] of [
    [[], 403],
    [["other"], 403],
    [["acme"], 201],
  ] as const) {
    const { call } = await startAdmin({ fence: false, unfencedUploads });
    await call("POST", "/config", { headers: YAML, body: WITH_ACME });
    const { status, json } = await call("POST", "/acme/plugin-packages", { headers: GZIP, body });
    assert.equal(status, expected);
    if (expected === 403) assert.match(json.message ?? "", /'acme' may not upload.*fence.*unfenced_uploads/);
    assert.equal(
      (await call("POST", "/plugin-packages", { headers: GZIP, body })).status,
      201,
      "the operator may",
    );
  }
});

test("a package goes when nothing uses it, and is kept while an entity names it", async () => {
  const { call } = await startAdmin();
  await call("POST", "/config", { headers: YAML, body: WITH_ACME });
  const body = await packageOf();
  await call("POST", "/acme/plugin-packages", { headers: GZIP, body });
  const used = `${WITH_ACME}  plugins:\n  - name: header-stamp@1.2.0\n`;
  const applied = await call("POST", "/config", { headers: YAML, body: used });
  assert.equal(applied.status, 201, applied.text);
  const refused = await call("DELETE", "/acme/plugin-packages/header-stamp@1.2.0");
  assert.deepEqual(
    [refused.status, refused.json.code, refused.json.fields],
    [400, 4, { "@referenced_by": "plugins" }],
  );
  await call("POST", "/config", { headers: YAML, body: WITH_ACME });
  for (let i = 0; i < 2; i++) {
    const { status, text } = await call("DELETE", "/acme/plugin-packages/header-stamp@1.2.0");
    assert.deepEqual([status, text], [204, ""]);
  }
  const missing = await call("POST", "/config", { headers: YAML, body: used });
  assert.equal(missing.status, 400);
  assert.match(
    missing.json.message ?? "",
    /no plugin package 'header-stamp@1\.2\.0' in workspace 'acme'; publish it first/,
  );
});

test("a version that was deleted is not published again with other bytes", async () => {
  const { call } = await startAdmin();
  const post = (body: Uint8Array) => call("POST", "/plugin-packages", { headers: GZIP, body });
  const bytes = await packageOf();
  assert.equal((await post(bytes)).status, 201);
  assert.equal((await call("DELETE", "/plugin-packages/header-stamp@1.2.0")).status, 204);
  const other = await post(await packageOf(MANIFEST, "export default 1;"));
  assert.equal(other.status, 409, other.text);
  assert.match(
    other.text,
    /a published version never changes, also when it was deleted; publish a new version/,
  );
  assert.equal((await post(bytes)).status, 201);
});

test("the schema of an uploaded plugin is told to its workspace", async () => {
  const { call } = await startAdmin();
  const schema = { fields: [{ header: { type: "string", default: "x-stamp" } }] };
  await call("POST", "/plugin-packages", { headers: GZIP, body: await packageOf({ ...MANIFEST, schema }) });
  const { status, json } = await call("GET", "/schemas/plugins/header-stamp@1.2.0");
  assert.equal(status, 200);
  assert.deepEqual((json.fields as unknown as object[]).at(-1), {
    config: { type: "record", required: true, fields: [{ header: { type: "string", default: "x-stamp" } }] },
  });
});
