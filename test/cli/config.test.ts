/** `gatehouse config` against a real gateway over SQLite, and on its store while it does not run. */
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Call, startWritable } from "../control/gateway.ts";
import { scratch } from "../registry/packages.ts";
import { Authority } from "../support/certificates.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Ran, run } from "./run.ts";

let gateway: Gateway & { call: Call };
const files = scratch();
before(async () => {
  gateway = await startWritable();
});
after(() => gateway[Symbol.asyncDispose]());

function file(name: string, text: string): string {
  const path = join(files, name);
  writeFileSync(path, `_format_version: "3.0"\n${text}`);
  return path;
}

const config = (...args: string[]): Promise<Ran> =>
  run(["config", ...args, "--admin", `http://127.0.0.1:${gateway.ports.admin}`, "--prefix", gateway.prefix]);

test("a file is shown as a plan, asks for a yes, is synced, and then nothing differs", async () => {
  const path = file(
    "shop.yml",
    "services: [{ name: shop, host: a.example, routes: [{ name: r, paths: [/s] }] }]\n",
  );
  const planned = await config("diff", path);
  assert.equal(planned.code, 5, planned.err);
  assert.equal(
    planned.out,
    "+ service 'shop'\n+ route 'r' of service 'shop'\n2 to create, 0 to update, 0 to delete\n",
  );
  const unasked = await config("sync", path);
  assert.equal(unasked.code, 2);
  assert.match(unasked.err, /\+ service 'shop'[\s\S]*there is no terminal to ask/);
  const synced = await config("sync", path, "--yes");
  assert.equal(synced.code, 0, synced.err);
  assert.match(synced.out, /done: stored, and live on all threads\n$/);
  assert.equal((await gateway.call("GET", "/services/shop")).json.host, "a.example");
  const again = await config("diff", path);
  assert.deepEqual([again.code, again.out], [0, "nothing differs\n"]);
  const changed = file("shop.yml", "services: [{ name: shop, host: b.example }]\n");
  const plan = await config("diff", changed, "--json");
  assert.deepEqual(JSON.parse(plan.out).summary, { create: 0, update: 1, delete: 1 });
  const text = await config("diff", changed);
  assert.match(
    text.out,
    /^~ service 'shop'\n {4}host: "a.example" -> "b.example"\n- route 'r' of service 'shop'\n/,
  );
});

test("without --admin the gateway that runs on the prefix is asked", async () => {
  const asked = await run(["config", "dump", "--prefix", gateway.prefix]);
  assert.deepEqual([asked.code, asked.err], [0, ""]);
  assert.equal(asked.out, (await config("dump")).out);
  const byEnvironment = await run(["config", "dump"], { GATEHOUSE_PREFIX: gateway.prefix });
  assert.equal(byEnvironment.out, asked.out);
});

test("an import adds and updates, and removes nothing; a workspace is synced by itself", async () => {
  await gateway.call("POST", "/services", { name: "stays", host: "a.example" });
  const path = file("more.yml", "consumers: [{ username: ann }]\n");
  const imported = await config("import", path, "--yes");
  assert.equal(imported.code, 0, imported.err);
  assert.equal((await gateway.call("GET", "/services/stays")).status, 200);
  assert.equal((await gateway.call("GET", "/consumers/ann")).status, 200);
  const nobody = await config("diff", path, "--workspace", "nobody");
  assert.equal(nobody.code, 1);
  assert.match(nobody.err, /knows no such workspace/);
});

test("what is dumped restores what was removed, and private keys only where they still are", async () => {
  await using authority = await Authority.create();
  const pair = await authority.issue("a.example", ["DNS:a.example"]);
  await gateway.call("POST", "/certificates", { ...pair, snis: ["a.example"] });
  const path = join(files, "dump.yml");
  const dumped = await config("dump", "-o", path);
  assert.equal(dumped.code, 0, dumped.err);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal((await config("dump")).out, readFileSync(path, "utf8"));
  assert.doesNotMatch(readFileSync(path, "utf8"), /PRIVATE KEY/);
  await gateway.call("POST", "/services", { name: "extra", host: "x.example" });
  const synced = await config("sync", path, "--yes");
  assert.match(synced.out, /^- service 'extra'\n0 to create, 0 to update, 1 to delete\n/);
  assert.equal((await config("diff", path)).out, "nothing differs\n");
  await gateway.call("DELETE", "/snis/a.example");
  const { json } = await gateway.call("GET", "/certificates");
  await gateway.call("DELETE", `/certificates/${json.data?.[0]?.id}`);
  const refused = await config("diff", path);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /dump\.yml:\d+:\d+ certificate '[-0-9a-f]+' key: /);
});

test("what is wrong with a file is told all at once with its places, by the gateway as without one", async () => {
  const path = file(
    "wrong.yml",
    "services:\n  - name: a\n    hots: b.example\n  - name: c\n    host: c.example\n    port: 99999\n",
  );
  const validated = await run(["config", "validate", path]);
  assert.equal(validated.code, 1);
  const [first, second, third] = validated.err.split("\n");
  assert.match(
    first ?? "",
    /wrong\.yml:3:5 service 'a' host: required field missing|wrong\.yml:4:5 service 'a'/,
  );
  assert.match(`${first}\n${second}\n${third}`, /hots: unknown field; did you mean 'host'\?/);
  assert.match(validated.err, /wrong\.yml:7:11 service 'c' port: value should be between 0 and 65535/);
  const diff = await config("diff", path);
  assert.equal(diff.code, 1);
  assert.equal(diff.err, validated.err);
  const json = JSON.parse((await run(["config", "validate", path, "--json"])).out);
  assert.equal(json.errors.length, 3);
  assert.deepEqual(
    [json.errors[2].line, json.errors[2].entity, json.errors[2].field],
    [7, "service", "port"],
  );
  const sound = await run(
    ["config", "validate", "-"],
    {},
    '_format_version: "3.0"\nservices: [{ host: a.example }]\n',
  );
  assert.deepEqual([sound.code, sound.out], [0, "- is sound: 1 entities\n"]);
  assert.equal((await run(["config", "validate", join(files, "none.yml")])).code, 2);
});

test("a gateway that cannot be reached is a code of its own", async () => {
  const path = file("any.yml", "services: []\n");
  const { code, err } = await run(["config", "diff", path, "--admin", "http://127.0.0.1:1"]);
  assert.equal(code, 3);
  assert.match(err, /cannot be reached/);
});

test("while no gateway runs a store is filled, compared and dumped with its private keys", async () => {
  const prefix = scratch();
  await using authority = await Authority.create();
  const { cert, key } = await authority.issue("a.example", ["DNS:a.example"]);
  const path = file("seed.yml", `certificates: ${JSON.stringify([{ cert, key }])}\n`);
  const offline = (...args: string[]) => run(["config", ...args, "--offline", "--prefix", prefix]);
  assert.equal((await offline("dump")).code, 2);
  const imported = await offline("import", path, "--yes");
  assert.equal(imported.code, 0, imported.err);
  assert.match(imported.out, /done: stored\n$/);
  assert.match((await offline("dump")).out, /PRIVATE KEY/);
  assert.equal((await offline("diff", path)).out, "nothing differs\n");
  const running = await run(["config", "dump", "--offline", "--prefix", gateway.prefix]);
  assert.equal(running.code, 2, "a gateway that runs has its store to itself");
});

test("validate tells every fault, however many there are", async () => {
  const path = file("many.yml", `services:\n${"- { host: 1 }\n".repeat(1500)}`);
  const { code, err } = await run(["config", "validate", path]);
  assert.equal(code, 1);
  assert.equal(err.trimEnd().split("\n").length, 1500);
});
