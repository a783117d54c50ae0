/** Replays over the Admin API of a real gateway: what was recorded of its traffic, through two versions of a package. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { packFiles, publish } from "../gateway/packages.ts";
import { bundleSource } from "../sandbox/sandbox.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { admin, recorded } from "./gateway.ts";

let origin: Origin;
let gateway: Gateway;

async function version(number: string, hooks: string, workspace?: string, more: object = {}): Promise<void> {
  const source = `import { definePlugin, record, reply, string } from "@gatehouse/sdk";
    export default definePlugin({ name: "marker", version: "${number}", priority: 1,
      schema: record({ mark: string({ default: "-" }) }), create(config, host) { return { ${hooks} }; } });`;
  const manifest = {
    manifest: 1,
    name: "marker",
    version: number,
    runtime: "isolate",
    entry: "plugin.js",
    phases: ["access", "response"],
    schema: { fields: [{ mark: { type: "string", default: "-" } }] },
    grants: { request_headers: ["*"], response_headers: ["*"], response_body_bytes: 1000, kv_bytes: 1000 },
    limits: { cpu_ms: 1000, wall_ms: 5000 },
    ...more,
  };
  await publish(gateway, await packFiles(manifest, "plugin.js", await bundleSource(source)), workspace);
}

const marked = (before: string, body = `"<" + text + config.mark + ">"`) => `
  async access(ctx) { ${before} },
  response(ctx) {
    const text = new TextDecoder().decode(ctx.response.body);
    ctx.response.setBody(new TextEncoder().encode(${body}));
  }`;

before(async () => {
  origin = await startOrigin((_, response) => void response.end("from the origin"));
  gateway = await startGateway({
    config: config(),
    settings: { data_threads: "1", unfenced_uploads: "acme", plugin_limits: "cpu_ms=1000,wall_ms=5000" },
  });
  await version("1.0.0", marked(`await host.kv.set("seen", ctx.request.path);`));
  await version(
    "1.1.0",
    marked(
      `await host.kv.set("seen", ctx.request.path); if (ctx.request.path === "/api/no") return reply(403, "no");`,
      `"<" + text + config.mark + ">" + (ctx.request.path === "/api/odd" ? "!" : "")`,
    ),
  );
  await version("1.2.0", marked(`if (ctx.request.path === "/api/odd") for (;;);`), undefined, {
    limits: { cpu_ms: 50, wall_ms: 5000 },
  });
  await version("2.0.0", marked(""), undefined, {
    schema: { fields: [{ mark: { type: "string", len_max: 1, required: true } }] },
  });
  await version("1.0.0", marked(""), "acme");
  await gateway.reload(config("marker@1.0.0"));
});
after(async () => {
  await gateway?.[Symbol.asyncDispose]();
  await origin?.close();
});

function config(plugin?: string): Record<string, unknown> {
  return {
    _format_version: "3.0",
    services: [
      {
        name: "origin",
        url: origin.url,
        routes: [
          {
            name: "api",
            paths: ["/api"],
            strip_path: false,
            plugins: [
              { name: "request-recording" },
              ...(plugin === undefined ? [] : [{ name: plugin, config: { mark: "**" } }]),
            ],
          },
        ],
      },
    ],
    workspaces: [{ name: "acme", hosts: ["acme.example"] }],
  };
}

interface Report {
  readonly replayed: number;
  readonly different: number;
  readonly config_from: string;
  readonly from: { readonly failures: object; readonly answered_with_nothing: object };
  readonly to: { readonly failures: object };
  readonly requests: readonly {
    readonly path: string;
    readonly differences: readonly { readonly what: string; readonly from: unknown; readonly to: unknown }[];
  }[];
}

const excerpt = (side: unknown) => (side as { readonly excerpt: string }).excerpt;

async function replay(body: object): Promise<Report> {
  const answer = await admin(gateway, "POST", "/plugin-packages/marker/replay", body);
  assert.equal(answer.status, 200, answer.body);
  return answer.json() as Report;
}

test("traffic that was recorded shows how a new version differs, and neither upstream nor store hears of it", async () => {
  for (const path of ["/api/yes", "/api/no", "/api/odd"])
    assert.equal((await send(gateway.url + path)).body, "<from the origin**>");
  await recorded(gateway, (all) => all.length === 3);
  const seen = origin.requests.length;
  const report = await replay({ from: "1.0.0", to: "1.1.0", route: "api" });
  assert.deepEqual([report.replayed, report.different, report.config_from], [3, 2, "entity"]);
  assert.deepEqual(
    report.requests.map(({ path, differences }) => [path, differences[0]?.what]),
    [
      ["/api/no", "answered_by"],
      ["/api/odd", "response.body"],
    ],
  );
  // What the service answered was recorded before the version in force changed it.
  const bodies = report.requests[1]?.differences.map(({ from, to }) => [excerpt(from), excerpt(to)]);
  assert.deepEqual(bodies, [["<from the origin**>", "<from the origin**>!"]]);
  assert.deepEqual(report.from.answered_with_nothing, { kv: 3 });
  assert.equal(origin.requests.length, seen, "nothing goes upstream");
});

test("a version that loops fails its requests in the replay alone", async () => {
  const report = await replay({ from: "1.0.0", to: "1.2.0" });
  assert.deepEqual([report.replayed, report.from.failures, report.to.failures], [3, {}, { timeout: 1 }]);
  assert.equal((await send(`${gateway.url}/api/yes`)).status, 200);
});

test("a configuration may be given, and so few requests", async () => {
  const report = await replay({ from: "1.0.0", to: "1.1.0", limit: 1, config: { mark: "#" } });
  assert.deepEqual([report.replayed, report.config_from], [1, "request"]);
});

for (const [what, body, fields] of [
  ["a version that is not there", { from: "1.0.0", to: "9.0.0" }, /to: no plugin package 'marker@9\.0\.0'/],
  ["no version", { from: "1.0.0" }, /to: expected the version of a package/],
  [
    "a route that is not there",
    { from: "1.0.0", to: "1.1.0", route: "x" },
    /route: expected the id or the name/,
  ],
  ["a limit of none", { from: "1.0.0", to: "1.1.0", limit: 0 }, /limit: expected a whole number from 1 to/],
  ["a field that is none", { from: "1.0.0", to: "1.1.0", lmit: 1 }, /lmit: unknown field/],
  [
    "a configuration that one version refuses",
    { from: "1.0.0", to: "2.0.0" },
    /config\.mark: .*\(by version 2\.0\.0\)/,
  ],
] as const)
  test(`a replay of ${what} is refused`, async () => {
    const { status, json } = await admin(gateway, "POST", "/plugin-packages/marker/replay", body);
    assert.equal(status, 400);
    assert.match((json() as { message: string }).message, fields);
  });

test("a workspace replays its own packages on its own recordings alone", async () => {
  const path = "/acme/plugin-packages/marker/replay";
  const theirs = await admin(gateway, "POST", path, { from: "1.0.0", to: "1.1.0" });
  assert.equal(theirs.status, 400, "1.1.0 is another's");
  const own = await admin(gateway, "POST", path, { from: "1.0.0", to: "1.0.0" });
  assert.equal((own.json() as Report).replayed, 0, "nothing was recorded there");
});
