/** Files of Kong and decK: what maps, what is written in another way, and what is left out, with its line. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadDeclarative } from "../../src/declarative/declarative.ts";
import { createCatalogue } from "../../src/gateway/catalogue.ts";
import { importKong, type KongImport } from "../../src/kong-files/kong-file.ts";

const plugins = createCatalogue({ find: () => ({ missing: "" }), names: () => [] });

function read(text: string, environment: Record<string, string> = {}): KongImport {
  const result = importKong(text, { plugins, routerFlavor: "traditional_compatible", environment });
  assert.ok("imported" in result, JSON.stringify(result));
  const loaded = loadDeclarative(result.imported.text, { plugins, egress: null });
  assert.ok(loaded.ok, `what is written loads: ${JSON.stringify(loaded)}\n${result.imported.text}`);
  return result.imported;
}

const remarks = ({ remarks: all }: KongImport) =>
  all.map(
    ({ kind, line, entity, field, message }) => `${line} ${kind} ${entity ?? "-"} ${field}: ${message}`,
  );

test("a sound file maps as a whole, and says nothing", () => {
  const imported = read(
    '_format_version: "3.0"\nservices: [{ name: a, host: a.example, routes: [{ paths: [/a] }] }]\n',
  );
  assert.deepEqual(imported.remarks, []);
  assert.deepEqual(imported.mapped, { services: 1, routes: 1 });
});

test("plugins, fields and entities that are not there are left out with their lines, and the rest stays", () => {
  const imported = read(`_format_version: "3.0"
_konnect: { control_plane_name: x }
services:
  - name: a
    host: a.example
    colour: red
    plugins:
      - name: no-such-plugin
      - name: cors
    routes:
      - name: gone
        protocols: [morse]
        paths: [/a]
  - name: b
    host: b.example
plugins:
  - name: cors
    route: gone
`);
  const said = remarks(imported);
  assert.match(said[0] ?? "", /^2 left out - _konnect/);
  assert.match(said[1] ?? "", /^6 left out service 'a' colour: unknown field/);
  assert.match(
    said[2] ?? "",
    /^8 left out plugin 'no-such-plugin' name: plugin 'no-such-plugin' not enabled/,
  );
  assert.match(said[3] ?? "", /^12 left out route 'gone' protocols/);
  assert.match(said[4] ?? "", /^18 left out plugin 'cors' route: invalid reference/);
  assert.equal(said.length, 5);
  assert.deepEqual(imported.mapped, { services: 2, plugins: 1 });
});

test("what decK says in its own way is written in ours", () => {
  const imported = read(
    `_format_version: "3.0"
_workspace: team
_info:
  select_tags: [team]
  defaults:
    service: { retries: 7 }
_plugin_configs:
  limits: { minute: 5, policy: local }
services:
  - name: a
    host: \${{ env "DECK_HOST" }}
    plugins:
      - name: rate-limiting
        _config: limits
        config: { hour: 9 }
consumers:
  - username: ann
    groups: [{ name: gold }]
consumer_groups:
  - name: gold
routes:
  - name: r
    hosts: [team.example]
    service: { name: a }
`.replace("_workspace: team\n", ""),
    { DECK_HOST: "a.example" },
  );
  assert.ok(
    imported.remarks.every(({ kind }) => kind === "changed"),
    remarks(imported).join("\n"),
  );
  const loaded = loadDeclarative(imported.text, { plugins, egress: null });
  assert.ok(loaded.ok);
  const { services, plugins: made, routes, consumer_group_consumers: ties } = loaded.config;
  assert.deepEqual([services[0]?.host, services[0]?.retries, services[0]?.tags], ["a.example", 7, ["team"]]);
  assert.deepEqual([made[0]?.config.minute, made[0]?.config.hour], [5, 9]);
  assert.equal(routes[0]?.service?.id, services[0]?.id);
  assert.equal(ties.length, 1);
});

test("a workspace of decK's is one of the document's", () => {
  const imported = read('_format_version: "3.0"\n_workspace: team\nconsumers: [{ username: ann }]\n');
  assert.deepEqual(imported.mapped, { workspaces: 1, consumers: 1 });
});

for (const version of ["1.1", "2.1"])
  test(`paths of format ${version} that are patterns are written as such`, () => {
    const imported = read(`_format_version: "${version}"
services:
  - name: a
    host: a.example
    routes:
      - paths: ["/plain", "/user/(?<id>\\\\d+)"]
`);
    assert.match(imported.text, /- \/plain\n/);
    assert.match(imported.text, /~\/user\//);
    assert.deepEqual(
      imported.remarks.map(({ line, kind }) => [line, kind]),
      [
        [1, "changed"],
        [6, "changed"],
      ],
    );
  });

test("a variable that is not set is told with its line, and is never made up", () => {
  const imported = read(`_format_version: "3.0"
services:
  - name: a
    host: a.example
    port: \${{ env "DECK_PORT" | toInt }}
    path: \${{ env "HOME" }}
`);
  const left = imported.remarks.filter(({ kind }) => kind === "left out");
  assert.ok(left.some(({ line, message }) => line === 5 && message.includes("DECK_PORT is not set")));
  assert.ok(
    left.some(({ line, message }) => line === 6 && message.includes("'HOME' does not begin with DECK_")),
  );
});

test("a text that cannot be read is told with its place", () => {
  const result = importKong("services: [\n", {
    plugins,
    routerFlavor: "traditional_compatible",
    environment: {},
  });
  assert.ok("unreadable" in result && result.unreadable[0]?.line !== undefined);
});

test("of thousands of plugins that are not there each is told", () => {
  const routes = Array.from(
    { length: 2500 },
    (_, i) => `- { paths: [/${i}], plugins: [{ name: no-such }] }\n`,
  );
  const imported = read(`_format_version: "3.0"\nroutes:\n${routes.join("")}`);
  assert.equal(imported.remarks.length, 2500);
  assert.deepEqual(imported.mapped, { routes: 2500 });
});

test("it is told that an entity goes as a whole, and that requests go on without a plugin", () => {
  const imported = read(`_format_version: "3.0"
upstreams:
  - name: u
    healthchecks: { active: { healthy: { interval: 5 } } }
    targets: [{ target: "a.example:80" }]
routes:
  - paths: [/a]
    plugins: [{ name: no-such }]
    colour: red
`);
  assert.deepEqual(
    imported.remarks.map(({ line, hint }) => [line, hint?.replace(/^.*; /, "") ?? null]),
    [
      [4, "all of this upstream is left out, with what belongs to it"],
      [8, "requests go on without this plugin"],
      [9, imported.remarks[2]?.hint ?? null],
    ],
  );
  assert.match(imported.remarks[2]?.hint ?? "", /^allowed: /);
});
