/** Replays over the Admin API of a real gateway: what was recorded of its traffic, through two versions of a package. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { readRecording } from "../../src/replay/recording.ts";
import { run } from "../cli/run.ts";
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

const command = (...args: string[]) =>
  run(["plugin", ...args, "--admin", gateway.adminUrl], {
    GATEHOUSE_ADMIN_TOKEN: gateway.adminHeaders["kong-admin-token"] ?? "",
  });

test("`plugin replay` tells what differs, and ends with 2 where that is asked for", async () => {
  const plain = await command("replay", "marker", "--from", "1.0.0", "--to", "1.1.0", "--route", "api");
  assert.equal(plain.code, 0, plain.err);
  assert.match(plain.out, /^replayed \d requests through marker 1\.0\.0 and 1\.1\.0: 2 differ\n/);
  assert.match(
    plain.out,
    /\nGET \/api\/no \(recording [0-9a-f-]{36}, route api\)\n {2}answered_by: service → exit\n/,
  );
  assert.match(plain.out, /\n {2}response\.status: 200 → 403\n/);
  assert.match(
    plain.out,
    /response\.body: 19 bytes → 20 bytes\n {4}- <from the origin\*\*>\n {4}\+ <from the origin\*\*>!\n/,
  );
  assert.match(plain.out, /\nasked for, and did without +kv \d +kv \d\n/);
  const checked = await command("replay", "marker", "--from", "1.0.0", "--to", "1.1.0", "--check", "--json");
  assert.equal(checked.code, 2);
  assert.equal((JSON.parse(checked.out) as Report).different, 2);
  const same = await command("replay", "marker", "--from", "1.0.0", "--to", "1.0.0", "--check");
  assert.equal(same.code, 0, same.out + same.err);
});

test("`plugin replay` that cannot be made ends with 1 and every reason", async () => {
  const dir = await mkdtemp(join(tmpdir(), "gatehouse-replay-"));
  after(() => rm(dir, { recursive: true }));
  const file = join(dir, "config.json");
  await writeFile(file, '{"mark": 5}');
  for (const [args, reasons] of [
    [["--to", "9.0.0", "--limit", "0"], /^limit: .*\nto: no plugin package/],
    [["--to", "1.1.0", "--config", file], /^config\.mark: /],
    [["--to", "1.1.0", "--config", join(dir, "none")], /none cannot be read \(ENOENT\)/],
  ] as const) {
    const { code, err } = await command("replay", "marker", "--from", "1.0.0", ...args);
    assert.equal(code, 1);
    assert.match(err, reasons);
  }
});

test("`plugin recordings` lists, exports and deletes what was recorded", async () => {
  const listed = await command("recordings");
  assert.equal(listed.code, 0, listed.err);
  assert.match(listed.out, /^recorded +route +method +path +status +bytes +id\n/);
  assert.match(listed.out, /\n[0-9T:.Z-]+ +api +GET +\/api\/yes +200 +\d+ +[0-9a-f-]{36}\n/);
  const dir = await mkdtemp(join(tmpdir(), "gatehouse-replay-"));
  after(() => rm(dir, { recursive: true }));
  const file = join(dir, "recordings.jsonl");
  const exported = await command("recordings", "--route", "api", "--export", file, "--delete", "--json");
  assert.equal(exported.code, 0, exported.err);
  const lines = (await readFile(file, "utf8")).trim().split("\n").map(readRecording);
  assert.deepEqual(JSON.parse(exported.out), { exported: lines.length, file, deleted: lines.length });
  assert.deepEqual(
    lines.slice(0, 3).map(({ request }) => request.path),
    ["/api/yes", "/api/no", "/api/odd"],
  );
  assert.equal((await stat(file)).mode & 0o077, 0, "for its owner alone");
  assert.match(
    (await command("recordings")).out,
    /^nothing was recorded; put the plugin request-recording in force/,
  );
});

test("a shared package is named with its owner's name, and a version by range or channel", async () => {
  const ask = (plugin: string, from: string, to: string) =>
    admin(gateway, "POST", `/plugin-packages/${encodeURIComponent(plugin)}/replay`, { from, to });
  const shared = await ask("acme/marker", "1.0.0", "1.0.0");
  assert.equal(shared.status, 200, shared.body);
  const floating = await ask("marker", "~1.0", "~1.1");
  assert.equal(floating.status, 200, floating.body);
  const { from, to } = floating.json() as { from: { version: string }; to: { version: string } };
  assert.deepEqual([from.version, to.version], ["1.0.0", "1.1.0"]);
});
