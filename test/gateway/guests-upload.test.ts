/** Plugins uploaded while the gateway runs: they take effect on every data thread, and nobody is dropped. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { type Answer, send } from "../support/client.ts";
import { type ConfigFile, startGateway, startRefused } from "../support/gateway.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";
import { Load } from "./load.ts";
import { exampleGuest, packExample, publish, upload } from "./packages.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const TWO_THREADS = { data_threads: "2" };

/** Compiling takes seconds: not within the first test that needs a guest. */
before(() => exampleGuest("header-stamp"));

/** One service with one route for each of these plugin lists. */
function routes(origin: Origin, plugins: Readonly<Record<string, readonly object[]>>): ConfigFile {
  return {
    _format_version: "3.0",
    services: [
      {
        name: "origin",
        url: origin.url,
        routes: Object.entries(plugins).map(([name, list]) => ({
          name,
          paths: [`/${name}`],
          strip_path: false,
          plugins: list,
        })),
      },
    ],
  };
}

/** So many connections that every data thread gets some of them. */
async function onEveryThread(url: string): Promise<Answer[]> {
  return Promise.all(Array.from({ length: 32 }, () => send(url)));
}

async function gatehouse(...args: string[]): Promise<string> {
  const command = [join(ROOT, "src/main.ts"), "plugin", ...args];
  return (await promisify(execFile)(process.execPath, command)).stdout;
}

const stamp = (request_header: string) => ({
  name: "header-stamp@1.0.0",
  config: { request_header, response_header: "X-Stamped" },
});
const guard = { name: "path-guard@1.0.0", config: { deny: ["/guarded/internal"] } };
const hello = { name: "ts-hello@1.0.0", config: { name: "Ada" } };

test("a WASM plugin uploaded to a running gateway acts on both sides of a request, on every thread", async () => {
  await using origin = await startOrigin();
  await using gateway = await startGateway({
    config: routes(origin, { stamped: [] }),
    settings: TWO_THREADS,
  });
  const { status, body } = await upload(gateway, await packExample("header-stamp"));
  assert.equal(status, 201, body);
  const { id, name, version, runtime } = JSON.parse(body);
  assert.match(id, /^sha256:[0-9a-f]{64}$/);
  assert.deepEqual({ name, version, runtime }, { name: "header-stamp", version: "1.0.0", runtime: "extism" });
  assert.equal((await send(`${gateway.url}/stamped`)).header("x-stamped"), undefined, "uploaded is not used");
  await gateway.reload(routes(origin, { stamped: [stamp("X-Mark")] }));
  for (const answer of await onEveryThread(`${gateway.url}/stamped`)) {
    assert.equal(answer.status, 200);
    assert.equal(answer.header("x-stamped"), answer.header("x-kong-request-id"));
  }
  assert.ok(origin.requests.slice(1).every((received) => receivedHeader(received, "X-Mark") === "gatehouse"));
});

test("`plugin pack` and `plugin publish` bring a WASM and a TypeScript plugin to a running gateway", async () => {
  await using origin = await startOrigin();
  const config = { guarded: [], greeted: [] };
  await using gateway = await startGateway({ config: routes(origin, config), settings: TWO_THREADS });
  for (const name of ["path-guard", "ts-hello"]) {
    const file = join(gateway.prefix, `${name}.tgz`);
    const { folder } = await exampleGuest(name);
    assert.match(await gatehouse("pack", folder, "--output", file), /^packed /);
    assert.match(await gatehouse("publish", file, "--admin", gateway.adminUrl), /^published /);
    assert.match(await gatehouse("publish", file, "--admin", gateway.adminUrl), /^was there already/);
  }
  await gateway.reload(routes(origin, { guarded: [guard], greeted: [hello] }));
  for (const answer of await onEveryThread(`${gateway.url}/guarded/internal/secret`)) {
    assert.equal(answer.status, 403);
    assert.deepEqual(answer.json(), { message: "Forbidden" });
  }
  assert.equal(origin.requests.length, 0, "what a guard refuses does not reach the upstream");
  for (const answer of await onEveryThread(`${gateway.url}/guarded/internally`))
    assert.equal(answer.status, 200);
  for (const answer of await onEveryThread(`${gateway.url}/greeted`)) {
    assert.equal(answer.header("x-hello"), "Hello, Ada");
    assert.equal(receivedHeader(answer.json() as typeof origin.last, "X-Hello"), "Hello, Ada");
  }
});

test("uploading, adding, swapping and removing plugins under load drops no request", async () => {
  await using origin = await startOrigin();
  const using = (...plugins: object[]) => routes(origin, { busy: plugins });
  await using gateway = await startGateway({ config: using(), settings: TWO_THREADS });
  const url = `${gateway.url}/busy`;
  await using load = new Load({ url, clients: 6 });
  const headers = { response_header: "X-Stamped" };
  const swapped = { manifest: { version: "2.0.0" }, replace: ["Hello, ", "Welcome, "] as const };
  const seen = (from: number, name: string) =>
    load.outcomes.filter(({ begun }) => begun >= from).map((outcome) => outcome.headers[name]);
  /** Changes something under load; afterwards every new request must meet the change. */
  async function step(change: () => Promise<unknown>, name: string, expected: RegExp | undefined) {
    await load.proceed(30);
    await change();
    const from = load.begun;
    await load.proceed(60);
    for (const value of seen(from, name))
      if (expected === undefined) assert.equal(value, undefined);
      else assert.match(String(value), expected);
  }
  await step(async () => publish(gateway, await packExample("ts-hello")), "x-hello", undefined);
  await step(async () => publish(gateway, await packExample("header-stamp")), "x-stamped", undefined);
  await step(() => gateway.reload(using(hello)), "x-hello", /^Hello, Ada$/);
  await step(
    () => gateway.reload(using(hello, { name: "header-stamp@1.0.0", config: headers })),
    "x-stamped",
    /^[0-9a-f]{32}$/,
  );
  await step(async () => publish(gateway, await packExample("ts-hello", swapped)), "x-hello", /^Hello, Ada$/);
  const second = { name: "ts-hello@2.0.0", config: { name: "Ada" } };
  await step(() => gateway.reload(using(second)), "x-hello", /^Welcome, Ada$/);
  await step(() => gateway.reload(using(hello)), "x-hello", /^Hello, Ada$/);
  await step(() => gateway.reload(using()), "x-hello", undefined);
  await load.stop();
  assert.deepEqual(load.errors, []);
  assert.deepEqual(
    load.outcomes.filter(({ status }) => status !== 200),
    [],
  );
  assert.equal(load.connections, 6, "no connection was closed under a client");
});

test("a configuration that names a package nobody published is refused; the old one keeps serving", async () => {
  await using origin = await startOrigin();
  const good = routes(origin, { greeted: [hello] });
  const bad = routes(origin, { greeted: [{ name: "ts-hello@9.9.9" }] });
  const { output, code } = await startRefused({ config: good });
  assert.equal(code, 1);
  assert.match(output, /kong\.json:\d+:\d+.*no plugin package 'ts-hello@1\.0\.0'.*publish it first/);

  await using gateway = await startGateway({
    config: routes(origin, { greeted: [] }),
    settings: TWO_THREADS,
  });
  await publish(gateway, await packExample("ts-hello"));
  await gateway.reload(good);
  const refused = await send(`${gateway.adminUrl}/config`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(bad),
  });
  assert.equal(refused.status, 400);
  const { code: number, message } = refused.json() as { code: number; message: string };
  assert.equal(number, 14);
  assert.match(message, /no plugin package 'ts-hello@9\.9\.9'.*it has version 1\.0\.0/);
  await assert.rejects(
    gateway.reload(routes(origin, { greeted: [{ name: "ts-hello" }] })),
    /plugin 'ts-hello' not enabled; add it to the 'plugins' configuration property; an uploaded plugin is named with its version; there is 'ts-hello@1\.0\.0'/,
  );
  await gateway.rewriteConfigFile(bad);
  const line = await gateway.log(({ msg }) => String(msg).includes("is refused; the old one keeps serving"));
  assert.match(String(line.errors), /ts-hello@9\.9\.9/);
  for (const answer of await onEveryThread(`${gateway.url}/greeted`))
    assert.equal(answer.header("x-hello"), "Hello, Ada");
});

test("a package in use cannot be deleted; one that is no longer used can", async () => {
  await using origin = await startOrigin();
  await using gateway = await startGateway({
    config: routes(origin, { greeted: [] }),
    settings: TWO_THREADS,
  });
  await publish(gateway, await packExample("ts-hello"));
  await gateway.reload(routes(origin, { greeted: [hello] }));
  const url = `${gateway.adminUrl}/plugin-packages/ts-hello@1.0.0`;
  const refused = await send(url, { method: "DELETE" });
  assert.equal(refused.status, 400);
  assert.equal((refused.json() as { code: number }).code, 4);
  assert.equal((await send(`${gateway.url}/greeted`)).header("x-hello"), "Hello, Ada");
  await gateway.reload(routes(origin, { greeted: [] }));
  assert.equal((await send(url, { method: "DELETE" })).status, 204);
  assert.equal((await send(url)).status, 404);
  assert.equal((await send(`${gateway.url}/greeted`)).header("x-hello"), undefined);
});

test("published packages outlive the gateway: a new one on the same prefix starts with them", async () => {
  await using origin = await startOrigin();
  // Its prefix is there until the end of the test.
  await using first = await startGateway({ config: routes(origin, { greeted: [] }) });
  await publish(first, await packExample("ts-hello"));
  await publish(first, await packExample("path-guard"));
  await first.stop();
  const config = routes(origin, { greeted: [hello], guarded: [guard] });
  const settings = { ...TWO_THREADS, prefix: first.prefix };
  await using second = await startGateway({ config, settings });
  for (const answer of await onEveryThread(`${second.url}/greeted`))
    assert.equal(answer.header("x-hello"), "Hello, Ada");
  assert.equal((await send(`${second.url}/guarded/internal`)).status, 403);
  assert.equal((await upload(second, await packExample("ts-hello"))).status, 200, "the same bytes again");
});

test("a workspace uploads for itself, and cannot use or see another's package", async () => {
  await using origin = await startOrigin();
  const tenants = (acme: object[], globex: object[]): ConfigFile => ({
    _format_version: "3.0",
    workspaces: Object.entries({ acme, globex }).map(([name, plugins]) => ({
      name,
      hosts: [`${name}.test`],
      services: [
        { name: "origin", url: origin.url, routes: [{ hosts: [`${name}.test`], paths: ["/"], plugins }] },
      ],
    })),
  });
  // Where the tests do not run as root there is no fence, and tenants have to be named.
  const settings = { ...TWO_THREADS, unfenced_uploads: "acme,globex" };
  await using gateway = await startGateway({ config: tenants([], []), settings });
  const greetingOf = async (workspace: string) =>
    (await send(gateway.url, { headers: { host: `${workspace}.test` } })).header("x-hello");
  await publish(gateway, await packExample("ts-hello"), "acme");
  assert.equal((await upload(gateway, await packExample("ts-hello"), "nobody")).status, 404);
  await gateway.reload(tenants([hello], []));
  assert.equal(await greetingOf("acme"), "Hello, Ada");
  assert.equal(await greetingOf("globex"), undefined);
  for (const name of ["ts-hello@1.0.0", "acme/ts-hello@1.0.0"])
    await assert.rejects(gateway.reload(tenants([hello], [{ name }])), /answered 400 .*no plugin package/);
  const path = "plugin-packages/ts-hello@1.0.0";
  assert.equal((await send(`${gateway.adminUrl}/globex/${path}`)).status, 404);
  assert.equal((await send(`${gateway.adminUrl}/globex/${path}`, { method: "DELETE" })).status, 204);
  assert.equal((await send(`${gateway.adminUrl}/acme/${path}`)).status, 200, "still there");
  // The same name in another workspace is another plugin.
  const own = { replace: ["Hello, ", "Greetings, "] as const };
  await publish(gateway, await packExample("ts-hello", own), "globex");
  await gateway.reload(tenants([hello], [hello]));
  assert.equal(await greetingOf("acme"), "Hello, Ada");
  assert.equal(await greetingOf("globex"), "Greetings, Ada");
});
