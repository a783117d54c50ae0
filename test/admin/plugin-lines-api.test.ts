/** Channels, yanking, consent, signatures and shares over HTTP, and what becomes of the plugin entities that follow. */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { test } from "node:test";
import { channelJson } from "../../src/admin/package-view.ts";
import { digestOf } from "../../src/registry/package.ts";
import { MemoryDatabase, MemoryStore } from "../../src/stores/memory.ts";
import { MANIFEST, openRegistry, packageOf, scratch } from "../registry/packages.ts";
import { type Given, GZIP, JSON_TYPE, type Reply, startAdmin, type TestAdmin } from "./gateway.ts";

interface Lines extends TestAdmin {
  publish(version: string, changes?: object, workspace?: string): Promise<Reply>;
  send(method: string, path: string, body?: object): Promise<Reply>;
  /** Versions that are in force, by the names that entities write. */
  inForce(): Record<string, string>;
}

/** An Admin API with a store and a workspace `acme`. */
async function start(given: Given = {}): Promise<Lines> {
  const versions = new Map<string, string>();
  const admin = await startAdmin({
    store: new MemoryStore(),
    onInstalled: (name, version) => versions.set(name, version),
    ...given,
  });
  const send = (method: string, path: string, body?: object) =>
    admin.call(method, path, body === undefined ? {} : { headers: JSON_TYPE, body: JSON.stringify(body) });
  const made = await send("POST", "/workspaces", { name: "acme", hosts: ["acme.example"] });
  assert.equal(made.status, 201, made.text);
  return {
    ...admin,
    send,
    inForce: () => Object.fromEntries(versions),
    async publish(version, changes = {}, workspace) {
      const path = workspace === undefined ? "/plugin-packages" : `/${workspace}/plugin-packages`;
      const body = await packageOf({ ...MANIFEST, version, ...changes });
      const reply = await admin.call("POST", path, { headers: GZIP, body });
      assert.equal(reply.status, 201, reply.text);
      return reply;
    },
  };
}

const LINE = "/plugin-packages/header-stamp";

test("entities that name a range, a channel or 'latest' move when it does; an exact version stays", async () => {
  const { publish, send, inForce } = await start();
  await publish("1.0.0");
  assert.equal((await send("PUT", `${LINE}/channels/stable`, { version: "1.0.0" })).status, 201);
  const routes = ["^1", "stable", "latest", "1.0.0"];
  for (const wanted of routes) {
    const route = await send("POST", "/routes", { paths: [`/${routes.indexOf(wanted)}`] });
    const body = { name: `header-stamp@${wanted}`, route: { id: route.json.id } };
    assert.equal((await send("POST", "/plugins", body)).status, 201);
  }
  const all = (range: string, stable: string, latest: string) => ({
    "header-stamp@^1": range,
    "header-stamp@stable": stable,
    "header-stamp@latest": latest,
    "header-stamp@1.0.0": "1.0.0",
  });
  assert.deepEqual(inForce(), all("1.0.0", "1.0.0", "1.0.0"));
  await publish("1.1.0");
  await publish("2.0.0");
  assert.deepEqual(inForce(), all("1.1.0", "1.0.0", "2.0.0"));
  const moved = await send("PUT", `${LINE}/channels/stable`, { version: "1.1.0", why: "better" });
  assert.deepEqual([moved.status, moved.json.version], [200, "1.1.0"]);
  assert.deepEqual(inForce(), all("1.1.0", "1.1.0", "2.0.0"));
  const yanked = await send("POST", "/plugin-packages/header-stamp@2.0.0/yank", { reason: "loops" });
  assert.deepEqual([yanked.status, (yanked.json.yanked as { reason: string }).reason], [200, "loops"]);
  assert.deepEqual(inForce(), all("1.1.0", "1.1.0", "1.1.0"));
  assert.equal((await send("POST", "/plugin-packages/header-stamp@2.0.0/unyank")).status, 200);
  assert.deepEqual(inForce(), all("1.1.0", "1.1.0", "2.0.0"));

  const line = (await send("GET", LINE)).json as {
    versions: { version: string; channels: string[] }[];
    channels: { name: string; history: { why: string }[] }[];
    used_by: { name: string; version: string }[];
  };
  assert.deepEqual(
    line.versions.map(({ version, channels }) => [version, channels]),
    [
      ["2.0.0", ["latest"]],
      ["1.1.0", ["stable"]],
      ["1.0.0", []],
    ],
  );
  assert.deepEqual(
    line.channels[0]?.history.map(({ why }) => why),
    ["better", ""],
  );
  assert.deepEqual(
    Object.fromEntries(line.used_by.map(({ name, version }) => [name, version])),
    all("1.1.0", "1.1.0", "2.0.0"),
  );
});

test("a package is not deleted while a name that moves means it, or a channel points to it", async () => {
  const { publish, send } = await start();
  await publish("1.0.0");
  await publish("1.1.0");
  await send("PUT", `${LINE}/channels/stable`, { version: "1.0.0" });
  const { json } = await send("POST", "/plugins", { name: "header-stamp@^1" });
  const remove = (version: string) => send("DELETE", `/plugin-packages/header-stamp@${version}`);
  assert.deepEqual((await remove("1.1.0")).json.fields, { "@referenced_by": "plugins" });
  assert.deepEqual((await remove("1.0.0")).json.fields, { "@referenced_by": "channels" });
  assert.equal((await send("DELETE", `/plugins/${json.id}`)).status, 204);
  assert.equal((await remove("1.1.0")).status, 204);
  assert.equal((await send("DELETE", `${LINE}/channels/stable`)).status, 204);
  assert.equal((await remove("1.0.0")).status, 204);
});

test("a channel that is followed is neither removed nor moved to a version that refuses a follower's config", async () => {
  const { publish, send, inForce } = await start();
  await publish("1.0.0", { schema: { fields: [{ size: { type: "integer" } }] } });
  await publish("1.1.0", { schema: { fields: [{ size: { type: "integer", between: [0, 5] } }] } });
  await send("PUT", `${LINE}/channels/stable`, { version: "1.0.0" });
  await send("POST", "/plugins", { name: "header-stamp@stable", config: { size: 9 } });
  const refused = await send("PUT", `${LINE}/channels/stable`, { version: "1.1.0" });
  assert.equal(refused.status, 400);
  assert.match(
    String(refused.json.fields?.version),
    /is not one of header-stamp@1\.1\.0: config\.size: value should/,
  );
  assert.match((await send("DELETE", `${LINE}/channels/stable`)).text, /follows this channel/);
  assert.deepEqual(inForce(), { "header-stamp@stable": "1.0.0" });
});

test("an entity's config is completed by the version that it moves to, and shown as it was written", async () => {
  const installed: unknown[] = [];
  const { publish, send } = await start({
    onInstalled: (_name, version, config) => installed.push([version, config]),
  });
  await publish("1.0.0", { schema: { fields: [{ size: { type: "integer" } }] } });
  const { json } = await send("POST", "/plugins", { name: "header-stamp@^1", config: { size: 3 } });
  const more = { fields: [{ size: { type: "integer" } }, { unit: { type: "string", default: "cm" } }] };
  await publish("1.1.0", { schema: more });
  assert.deepEqual(installed, [
    ["1.0.0", undefined],
    ["1.1.0", { size: 3, unit: "cm" }],
  ]);
  assert.deepEqual((await send("GET", `/plugins/${json.id}`)).json.config, { size: 3 });
});

test("while the registry's store cannot be written to, uploads and moves are refused with 503", async () => {
  const { publish, send, call, registry } = await start();
  await publish("1.0.0");
  await registry.close();
  const body = await packageOf({ ...MANIFEST, version: "1.1.0" });
  for (const reply of [
    await call("POST", "/plugin-packages", { headers: GZIP, body }),
    await send("PUT", `${LINE}/channels/stable`, { version: "1.0.0" }),
    await send("DELETE", "/plugin-packages/header-stamp@1.0.0"),
  ]) {
    assert.deepEqual([reply.status, reply.headers["retry-after"]], [503, "1"]);
    assert.match(reply.text, /the registry cannot be written to, nothing was changed/);
  }
});

for (const [path, body, status, message] of [
  [`${LINE}/channels/latest`, { version: "1.0.0" }, 400, /'latest' is the highest release by itself/],
  [`${LINE}/channels/UP`, { version: "1.0.0" }, 400, /a channel's name has 1 to 32/],
  [`${LINE}/channels/stable`, { version: "9.0.0" }, 404, /there is no header-stamp@9\.0\.0/],
  [`${LINE}/channels/stable`, {}, 400, /version: required field missing/],
  [`${LINE}/channels/stable`, { version: "1.0.0", x: 1 }, 400, /x: unknown field/],
  ["/nowhere/plugin-packages/header-stamp/channels/stable", { version: "1.0.0" }, 404, /Not found/],
] as const)
  test(`a channel is not moved by ${path.slice(-30)} ${JSON.stringify(body)}`, async () => {
    const { publish, send } = await start();
    await publish("1.0.0");
    const reply = await send("PUT", path, body);
    assert.equal(reply.status, status, reply.text);
    assert.match(reply.text, message);
  });

test("a version that asks for more waits, the difference is shown, and consent lets it in", async () => {
  const { publish, send, inForce } = await start();
  await publish("1.0.0", { grants: { http_hosts: ["a.example"] } });
  await send("POST", "/plugins", { name: "header-stamp@^1" });
  await publish("1.1.0", { grants: { http_hosts: ["a.example", "b.example"], kv_bytes: 1024 } });
  assert.deepEqual(inForce(), { "header-stamp@^1": "1.0.0" });
  const { used_by } = (await send("GET", LINE)).json as unknown as {
    used_by: { waits_for_consent: unknown }[];
  };
  assert.deepEqual(used_by[0]?.waits_for_consent, {
    version: "1.1.0",
    asks: [
      { grant: "http_hosts", asked: ["b.example"], consented: ["a.example"] },
      { grant: "kv_bytes", asked: 1024, consented: 0 },
    ],
  });
  const given = await send("POST", `${LINE}/consent`, { version: "1.1.0" });
  assert.equal(given.status, 200, given.text);
  assert.equal((given.json.added as unknown[]).length, 2);
  assert.deepEqual(inForce(), { "header-stamp@^1": "1.1.0" });
  assert.equal((await send("POST", `${LINE}/consent`, { version: "7.0.0" })).status, 404);
});

const DER_PREFIX = 12;
const rawKey = (key: KeyObject) =>
  key.export({ type: "spki", format: "der" }).subarray(DER_PREFIX).toString("base64");
const signed = (key: KeyObject, bytes: Uint8Array) =>
  sign(null, Buffer.from(digestOf(bytes)), key).toString("base64");

test("packages are signed with keys of their workspace, and with no others", async () => {
  const { send, call } = await start();
  const ann = generateKeyPairSync("ed25519");
  const pem = ann.publicKey.export({ type: "spki", format: "pem" });
  const made = await send("POST", "/author-keys", { name: "ann", public_key: pem });
  assert.deepEqual([made.status, made.json.public_key], [201, rawKey(ann.publicKey)]);
  assert.equal((await send("POST", "/author-keys", { name: "ann", public_key: pem })).status, 409);
  const bytes = await packageOf();
  const upload = (signature: string, path = "/plugin-packages") =>
    call("POST", path, { headers: { ...GZIP, "gatehouse-signature": signature }, body: bytes });
  const good = signed(ann.privateKey, bytes);
  for (const [signature, message] of [
    [`ben:${good}`, "workspace 'default' knows no key 'ben'"],
    [`ann:${signed(ann.privateKey, Buffer.from("other"))}`, /^it is not what key 'ann' signs sha256:/],
    [`ann:${Buffer.alloc(64).toString("base64")}`, /^it is not what key 'ann' signs/],
    ["ann", /^expected the name of a key, ':'/],
    [`ann:${good}=`, /^it is not what key|^expected the name/],
  ] as const) {
    const { status, json } = await upload(signature);
    assert.equal(status, 400);
    assert.match(String(json.fields?.signature), typeof message === "string" ? new RegExp(message) : message);
  }
  // A key counts in its own workspace alone.
  assert.match((await upload(`ann:${good}`, "/acme/plugin-packages")).text, /'acme' knows no key 'ann'/);
  assert.equal((await upload(`ann:${good}`)).status, 201);
  const one = await send("GET", "/plugin-packages/header-stamp@1.2.0");
  assert.deepEqual(
    (one.json.signatures as { key: string }[]).map(({ key }) => key),
    ["ann"],
  );
  assert.match((await send("DELETE", "/author-keys/ann")).text, /has signed header-stamp@1\.2\.0; revoke it/);
  const revoked = await send("POST", "/author-keys/ann/revoke");
  assert.equal(typeof revoked.json.revoked_at, "number");
  // What was signed before stays signed, and nothing new is.
  const after = await send("GET", "/plugin-packages/header-stamp@1.2.0");
  assert.equal((after.json.signatures as unknown[]).length, 1);
  assert.match((await upload(`ann:${good}`)).text, /key 'ann' is revoked/);
});

for (const [title, key] of [
  ["a private key", generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" })],
  [
    "an RSA key",
    generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ type: "spki", format: "pem" }),
  ],
  ["31 bytes", Buffer.alloc(31).toString("base64")],
  ["no key", "hello"],
] as const)
  test(`${title} is not taken as an author's key`, async () => {
    const { send } = await start();
    const { status, text } = await send("POST", "/author-keys", { name: "ann", public_key: key });
    assert.equal(status, 400);
    assert.match(text, /expected an Ed25519 public key/);
  });

test("a workspace that requires signatures takes and uses signed packages only", async () => {
  const { send, call, publish, inForce } = await start();
  const ann = generateKeyPairSync("ed25519");
  await send("POST", "/acme/author-keys", { name: "ann", public_key: rawKey(ann.publicKey) });
  await publish("1.2.0", {}, "acme");
  const { json } = await send("POST", "/acme/plugins", { name: "header-stamp@^1" });
  const policy = (require_signature: boolean) => send("PATCH", "/workspaces/acme", { require_signature });
  const early = await policy(true);
  assert.equal(early.status, 400, early.text);
  assert.match(early.text, /header-stamp@1\.2\.0 bears no signature .* 'acme' uses signed packages only/);
  const bytes = await packageOf();
  const signature = `ann:${signed(ann.privateKey, bytes)}`;
  const later = await send("POST", "/acme/plugin-packages/header-stamp@1.2.0/signatures", { signature });
  assert.equal(later.status, 200, later.text);
  assert.equal((await policy(true)).status, 200);
  const next = await packageOf({ ...MANIFEST, version: "1.3.0" });
  const unsigned = await call("POST", "/acme/plugin-packages", { headers: GZIP, body: next });
  assert.deepEqual(
    [unsigned.status, /takes signed packages only/.test(String(unsigned.json.fields?.signature))],
    [400, true],
  );
  const headers = { ...GZIP, "gatehouse-signature": `ann:${signed(ann.privateKey, next)}` };
  assert.equal((await call("POST", "/acme/plugin-packages", { headers, body: next })).status, 201);
  assert.deepEqual(inForce(), { "header-stamp@^1": "1.3.0" });
  // Unsigned ones of before are not used either.
  assert.equal((await policy(false)).status, 200);
  await publish("1.4.0", {}, "acme");
  assert.equal((await policy(true)).status, 200);
  assert.deepEqual(inForce(), { "header-stamp@^1": "1.3.0" });
  const exact = await send("PATCH", `/acme/plugins/${json.id}`, { name: "header-stamp@1.4.0" });
  assert.match(exact.text, /header-stamp@1\.4\.0 bears no signature/);
});

test("a gateway that starts with such a workspace uses the signed versions that it had", async () => {
  const [database, dir] = [new MemoryDatabase(), scratch()];
  const registry = await openRegistry(dir);
  const { send, call, publish } = await start({ store: new MemoryStore(database), registry });
  const ann = generateKeyPairSync("ed25519");
  await send("POST", "/acme/author-keys", { name: "ann", public_key: rawKey(ann.publicKey) });
  const bytes = await packageOf();
  const headers = { ...GZIP, "gatehouse-signature": `ann:${signed(ann.privateKey, bytes)}` };
  assert.equal((await call("POST", "/acme/plugin-packages", { headers, body: bytes })).status, 201);
  await send("PATCH", "/workspaces/acme", { require_signature: true });
  assert.equal((await send("POST", "/acme/plugins", { name: "header-stamp@^1" })).status, 201);
  await publish("1.3.0", {}, "acme");
  const versions: string[] = [];
  await startAdmin({
    store: new MemoryStore(database),
    registry: await openRegistry(dir),
    onInstalled: (_name, version) => versions.push(version),
  });
  assert.deepEqual(versions, ["1.2.0"]);
});

test("the operator shares a plugin with chosen workspaces, which then use it by its owner's name", async () => {
  const { send, publish, inForce } = await start();
  await publish("1.0.0");
  const use = () => send("POST", "/acme/plugins", { name: "default/header-stamp@^1" });
  assert.match((await use()).text, /in what is shared to workspace 'acme'/);
  assert.equal((await send("GET", "/acme/plugin-packages/default%2Fheader-stamp")).status, 404);
  const share = (workspaces: string[]) => send("PUT", "/plugin-shares/default/header-stamp", { workspaces });
  assert.match((await share(["nobody"])).text, /there is no workspace 'nobody'/);
  assert.equal((await share(["acme"])).status, 201);
  assert.deepEqual((await send("GET", "/plugin-shares")).json.data, [
    { owner: "default", name: "header-stamp", workspaces: ["acme"] },
  ]);
  const made = await use();
  assert.equal(made.status, 201, made.text);
  const seen = await send("GET", "/acme/plugin-packages/default%2Fheader-stamp");
  assert.deepEqual([seen.status, (seen.json.used_by as unknown[]).length], [200, 1]);
  await publish("1.1.0");
  assert.deepEqual(inForce(), { "default/header-stamp@^1": "1.1.0" });
  // A version that asks for more waits for the consent of whoever uses it, and of nobody else.
  await publish("1.2.0", { grants: { log: true } });
  assert.equal((await send("POST", `${LINE}/consent`, { version: "1.2.0" })).status, 200);
  assert.deepEqual(inForce(), { "default/header-stamp@^1": "1.1.0" });
  const consent = "/acme/plugin-packages/default%2Fheader-stamp/consent";
  assert.equal((await send("POST", consent, { version: "1.2.0" })).status, 200);
  assert.deepEqual(inForce(), { "default/header-stamp@^1": "1.2.0" });
  assert.match(
    (await send("DELETE", "/plugin-shares/default/header-stamp")).text,
    /uses it; remove that first/,
  );
  await send("DELETE", `/acme/plugins/${made.json.id}`);
  assert.equal((await send("DELETE", "/plugin-shares/default/header-stamp")).status, 204);
  assert.match((await use()).text, /in what is shared to workspace 'acme'/);
});

test("packages are listed by name, by a part of it and by channel, in pages that keep the filter", async () => {
  const { send, publish } = await start();
  for (const name of ["stamp-a", "stamp-b", "other"])
    for (const version of ["1.0.0", "1.1.0"]) await publish(version, { name });
  await send("PUT", "/plugin-packages/stamp-a/channels/stable", { version: "1.0.0" });
  const list = async (query: string) => {
    const { json } = await send("GET", `/plugin-packages?${query}`);
    return (json.data ?? []).map(({ name, version }) => `${name}@${version}`).sort();
  };
  assert.deepEqual(await list("name=other"), ["other@1.0.0", "other@1.1.0"]);
  assert.equal((await list("search=STAMP")).length, 4);
  assert.deepEqual(await list("channel=stable"), ["stamp-a@1.0.0"]);
  assert.deepEqual(await list("channel=latest&search=stamp"), ["stamp-a@1.1.0", "stamp-b@1.1.0"]);
  assert.deepEqual(await list("name=none"), []);
  const first = await send("GET", "/plugin-packages?search=stamp&size=3");
  const second = await send("GET", String(first.json.next));
  assert.deepEqual([first.json.data?.length, second.json.data?.length], [3, 1]);
});

test("what is done with packages is told to the audit log, with who did it", async () => {
  const { send, publish } = await start();
  await publish("1.0.0");
  await publish("1.1.0");
  const key = rawKey(generateKeyPairSync("ed25519").publicKey);
  await send("POST", "/author-keys", { name: "ann", public_key: key });
  await send("PUT", `${LINE}/channels/stable`, { version: "1.0.0" });
  await send("PUT", `${LINE}/channels/stable`, { version: "1.1.0" });
  await send("POST", "/plugin-packages/header-stamp@1.0.0/yank", { reason: "old" });
  await send("POST", `${LINE}/consent`, { version: "1.1.0" });
  await send("PUT", "/plugin-shares/default/header-stamp", { workspaces: ["acme"] });
  const { json } = await send("GET", "/audit-log?size=6");
  assert.deepEqual(
    json.data?.map(({ action, entity, before, after }) => [action, entity, before, after]).slice(0, 5),
    [
      ["create", "plugin_shares", null, { owner: "default", name: "header-stamp", workspaces: ["acme"] }],
      ["update", "plugin_consents", null, json.data?.[1]?.after],
      ["update", "plugin_packages", null, json.data?.[2]?.after],
      [
        "update",
        "plugin_channels",
        { channel: "stable", version: "1.0.0" },
        { channel: "stable", version: "1.1.0" },
      ],
      ["create", "plugin_channels", null, { channel: "stable", version: "1.0.0" }],
    ],
  );
});

test("whom a plugin is shared to neither holds its channels where they are, nor learns who moves them", async () => {
  const { send, publish, inForce, registry } = await start();
  await publish("1.0.0", { schema: { fields: [{ size: { type: "integer" } }] } });
  await publish("1.1.0", { schema: { fields: [{ size: { type: "integer", between: [0, 5] } }] } });
  const line = { workspace: "default", workspaceId: "", name: "header-stamp" };
  await registry.desk.moveChannel(line, "stable", "1.0.0", "ben", "first");
  await send("PUT", "/plugin-shares/default/header-stamp", { workspaces: ["acme"] });
  await send("POST", "/plugins", { name: "header-stamp@stable", config: { size: 3 } });
  const body = { name: "default/header-stamp@stable", config: { size: 9 } };
  assert.equal((await send("POST", "/acme/plugins", body)).status, 201);

  const moved = await send("PUT", `${LINE}/channels/stable`, { version: "1.1.0" });
  assert.equal(moved.status, 200, moved.text);
  assert.deepEqual(inForce(), { "header-stamp@stable": "1.1.0", "default/header-stamp@stable": "1.0.0" });
  await registry.desk.yank(line, "1.0.0", "ben", "old");

  assert.match((await send("GET", LINE)).text, /"by":"ben"/);
  const [channel] = registry.desk.channels(line);
  assert.ok(channel);
  assert.match(JSON.stringify(channelJson(channel, true)), /"by":"ben"/);
  assert.doesNotMatch(JSON.stringify(channelJson(channel, false)), /"by":"/);
});
