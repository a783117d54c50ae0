/**
 * Limits that an operator sets for one workspace, in a whole gateway: they hold for that workspace, take effect
 * when the configuration changes, and a client is told what it met.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessPlugin, bundleSource } from "../sandbox/sandbox.ts";
import { type Answer, send } from "../support/client.ts";
import { type ConfigFile, type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { packFiles, publish, upload } from "./packages.ts";

/** What a guest does when the path says so. */
const SOURCE = accessPlugin(`
  const [what, times] = ctx.request.path.slice(1).split("/");
  const n = Number(times);
  if (what === "burn") for (let i = n * 100_000, x = 1; i > 0; i--) x = (x * 31 + i) | 0;
  if (what === "log") for (let i = 0; i < n; i++) host.log("error", "line " + i);
  if (what === "edits") for (let i = 0; i < n; i++) ctx.request.headers.set("x-edit-" + i, "1");`);

function pack(manifest: object = {}): Promise<Uint8Array> {
  const common = {
    manifest: 1,
    name: "worker",
    version: "1.0.0",
    runtime: "isolate",
    entry: "plugin.js",
    phases: ["access"],
    grants: { log: true },
  };
  return bundleSource(SOURCE).then((artifact) =>
    packFiles({ ...common, ...manifest }, "plugin.js", artifact),
  );
}

/** acme has these limits, globex those of everybody. */
function config(origin: Origin, limits: object, plugins = [{ name: "worker@1.0.0" }]): ConfigFile {
  const tenant = (name: string, more: object) => ({
    name,
    hosts: [`${name}.test`],
    services: [
      {
        name: "origin",
        url: origin.url,
        routes: [{ name, hosts: [`${name}.test`], paths: ["/"], strip_path: false, plugins }],
      },
    ],
    ...more,
  });
  return {
    _format_version: "3.0",
    workspaces: [tenant("acme", { plugin_limits: limits }), tenant("globex", {})],
  };
}

const held = new AsyncDisposableStack();
let origin: Origin;
let gateway: Gateway;

before(async () => {
  origin = held.use(await startOrigin());
  gateway = held.use(
    await startGateway({
      config: config(origin, {}, []),
      settings: {
        data_threads: "2",
        unfenced_uploads: "acme,globex",
        // Where the machine is busy, only the budget may end a call.
        plugin_limits: "cpu_ms=10000,wall_ms=60000,cpu_ms_per_second=0",
      },
    }),
  );
  for (const workspace of ["acme", "globex"]) await publish(gateway, await pack(), workspace);
});

after(() => held.disposeAsync());

function ask(workspace: string, path: string): Promise<Answer> {
  return send(`${gateway.url}${path}`, {
    headers: { host: `${workspace}.test`, accept: "application/json" },
  });
}

/** A workspace's samples of one metric, summed up. */
async function metric(name: string, workspace: string): Promise<number> {
  const { body } = await send(`${gateway.statusUrl}/metrics`);
  const lines = body.matchAll(new RegExp(`^${name}\\{.*workspace="${workspace}".*\\} (\\S+)$`, "gm"));
  return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
}

test("a workspace that burns its CPU time gets 429 with Retry-After, and its neighbour 200 throughout", async () => {
  await gateway.reload(config(origin, { cpu_ms_per_second: 50, cpu_burst_ms: 300 }));
  assert.equal((await ask("globex", "/")).status, 200);
  const neighbour: number[] = [];
  let refused: Answer | undefined;
  for (let round = 0; refused === undefined && round < 500; round++) {
    const [quiet, ...noisy] = await Promise.all([
      ask("globex", "/"),
      ...Array.from({ length: 8 }, () => ask("acme", "/burn/20")),
    ]);
    neighbour.push((quiet as Answer).status);
    assert.ok(noisy.every(({ status }) => status === 200 || status === 429));
    refused = noisy.find(({ status }) => status === 429);
  }
  assert.ok(refused, "no call was refused");
  assert.match(String(refused.header("retry-after")), /^[1-9]\d*$/);
  const requestId = refused.header("x-kong-request-id");
  assert.deepEqual(refused.json(), {
    message: "The plugins of this workspace have used up their CPU time",
    request_id: requestId,
  });
  assert.deepEqual(
    neighbour.filter((status) => status !== 200),
    [],
  );
  const line = await gateway.log(({ msg }) => /have used up their CPU time/.test(String(msg)));
  assert.equal(line.workspace, "acme");
  const failed = await gateway.log(({ msg, kind }) => msg === "a plugin failed" && kind === "budget");
  assert.equal(failed.plugin, "worker");
  assert.ok((await metric("gatehouse_workspace_cpu_seconds_total", "acme")) >= 0.3);
  assert.ok((await metric("gatehouse_workspace_cpu_exhausted_total", "acme")) >= 1);
  assert.equal(await metric("gatehouse_workspace_cpu_exhausted_total", "globex"), 0);
  assert.ok((await metric("gatehouse_plugin_failures_total", "acme")) >= 1);
});

test("a limit that is moved holds for the next request, without an upload", async () => {
  await gateway.reload(config(origin, { header_count: 5 }));
  assert.equal((await ask("acme", "/edits/5")).status, 200);
  assert.equal((await ask("acme", "/edits/6")).status, 500);
  assert.equal((await ask("globex", "/edits/6")).status, 200);
  await gateway.reload(config(origin, { header_count: 6 }));
  assert.equal((await ask("acme", "/edits/6")).status, 200);
});

test("guests log so many lines as their workspace may, and the rest is a number", async () => {
  await gateway.reload(config(origin, { log_lines_per_second: 1 }));
  const linesOf = (workspace: string) =>
    gateway.logs.filter(({ msg, workspace: of }) => /^line \d/.test(String(msg)) && of === workspace).length;
  await ask("acme", "/log/15");
  await ask("globex", "/log/15");
  const told = await gateway.log(({ msg }) => /lines of plugins suppressed/.test(String(msg)));
  assert.equal(told.workspace, "acme");
  // Two at once, and one for each second that this took.
  assert.ok(linesOf("acme") < 15, `${linesOf("acme")} lines`);
  assert.equal(linesOf("globex"), 15);
});

test("a package may ask for what its workspace has, and no more", async () => {
  await gateway.reload(config(origin, { header_count: 50 }));
  const asks = (version: string, header_count: number) => pack({ version, limits: { header_count } });
  const refused = await upload(gateway, await asks("2.0.0", 51), "acme");
  assert.equal(refused.status, 400);
  assert.match(refused.body, /may only lower the workspace's limit, which is 50/);
  assert.equal((await upload(gateway, await asks("2.0.0", 50), "acme")).status, 201);
  assert.equal((await upload(gateway, await asks("2.0.0", 51), "globex")).status, 201);
});

test("a workspace keeps so many packages, and so many bytes of them, as it may", async () => {
  await gateway.reload(config(origin, { packages: 2 }));
  const [count] = [await upload(gateway, await pack({ version: "3.0.0" }), "acme")];
  assert.equal(count.status, 413);
  assert.match(count.body, /the workspace holds 2 packages and may hold 2; delete some/);
  await gateway.reload(config(origin, { package_bytes: 1000 }));
  const bytes = await upload(gateway, await pack({ version: "3.0.0" }), "acme");
  assert.equal(bytes.status, 413);
  assert.match(bytes.body, /packages take \d+ bytes on disk and may take 1000; delete some/);
  assert.equal((await upload(gateway, await pack({ version: "3.0.0" }), "globex")).status, 201);
});
