/**
 * What the ledger says is what the clients saw: calls of good and bad guests over two data threads, a change of
 * versions and the loss of a thread, in `GET /plugin-usage` and in the metrics alike.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Answer, send } from "../support/client.ts";
import type { ConfigFile, Gateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { ATTACK, OPEN_GUESTS, THROWER } from "./hostile-guests.ts";
import { bringDown, ready, startInspected } from "./inspected.ts";
import { exampleGuest, packExample, publish } from "./packages.ts";

interface Usage {
  readonly workspace: string;
  readonly plugin: string;
  readonly version: string;
  readonly calls: number;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  readonly fuel: number;
  readonly cpu_ms: number;
  readonly wall_ms: number;
  readonly memory_peak_bytes: number;
  readonly host_calls: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** One that fails its requests, and two of other engines whose failures are passed over. */
const GUESTS = [THROWER, ...OPEN_GUESTS.filter(({ name }) => ["js-open", "wasm-open"].includes(name))];
const isOpen = (plugin: string) => plugin.includes("-open");
/** ts-hello has two hooks in a request's way, the others one. */
const hooksOf = (plugin: string) => (plugin.startsWith("ts-hello") ? 2 : 1);
const PLUGINS = [...GUESTS.map(({ name }) => `${name}@1.0.0`), "ts-hello@1.0.0", "ts-hello@2.0.0"];

/** A route for each plugin, named like it. */
function config(origin: Origin, plugins: readonly string[]): ConfigFile {
  const routes = plugins.map((name) => ({
    name: name.replace("@", "-"),
    hosts: ["acme.test"],
    paths: [`/${name}`],
    plugins: [{ name, ...(name.startsWith("ts-hello") ? { config: { name: "Ada" } } : {}) }],
  }));
  const services = [{ name: "origin", url: origin.url, routes }];
  return { _format_version: "3.0", workspaces: [{ name: "acme", hosts: ["acme.test"], services }] };
}

const held = new AsyncDisposableStack();
let origin: Origin;
let gateway: Gateway;
/** Statuses that clients saw, by plugin. */
const seen = new Map<string, Map<number, number>>();

before(async () => {
  await exampleGuest("ts-hello");
  origin = held.use(await startOrigin());
  gateway = held.use(await startInspected(config(origin, []), { unfenced_uploads: "acme" }));
  for (const guest of GUESTS) await publish(gateway, await guest.pack(), "acme");
  for (const version of ["1.0.0", "2.0.0"])
    await publish(gateway, await packExample("ts-hello", { manifest: { version } }), "acme");
  await gateway.reload(config(origin, PLUGINS));
});

after(() => held.disposeAsync());

/** So many requests at once that both threads get some of them; counts what comes back. */
async function ask(plugin: string, times: number, headers: Readonly<Record<string, string>> = {}) {
  const answers: Answer[] = await Promise.all(
    Array.from({ length: times }, () =>
      send(`${gateway.url}/${plugin}`, { headers: { host: "acme.test", ...headers } }),
    ),
  );
  const statuses = seen.get(plugin) ?? new Map<number, number>();
  seen.set(plugin, statuses);
  for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
}

async function usage(path = "/acme/plugin-usage"): Promise<Map<string, Usage>> {
  const { data, next } = (await send(`${gateway.adminUrl}${path}`)).json() as {
    data: Usage[];
    next: string | null;
  };
  assert.equal(next, null);
  return new Map(data.map((row) => [`${row.plugin}@${row.version}`, row]));
}

/** Samples of one metric of acme's plugins: label sets to values. */
async function samples(name: string): Promise<{ labels: Map<string, string>; value: number }[]> {
  const { body } = await send(`${gateway.statusUrl}/metrics`);
  return [...body.matchAll(new RegExp(`^gatehouse_plugin_${name}\\{(.*)\\} (\\S+)$`, "gm"))].map(
    ([, labels = "", value]) => ({
      labels: new Map(
        [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, text]) => [key ?? "", text ?? ""]),
      ),
      value: Number(value),
    }),
  );
}

/** The metric's value for each plugin and version, other labels summed up. */
async function metric(name: string): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const { labels, value } of await samples(name)) {
    const key = `${labels.get("plugin")}@${labels.get("version")}`;
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}

/** What was counted is what was seen: every call, every failure, and the metrics say the same. */
async function assertReconciled(): Promise<Map<string, Usage>> {
  const rows = await usage();
  const calls = await metric("calls_total");
  const failures = await metric("failures_total");
  for (const [plugin, statuses] of seen) {
    const row = rows.get(plugin) as Usage;
    const asked = [...statuses.values()].reduce((sum, count) => sum + count, 0);
    const refused = asked - (statuses.get(200) ?? 0);
    assert.equal(row.calls, asked * hooksOf(plugin), `calls of ${plugin}`);
    if (!isOpen(plugin)) assert.equal(row.failed, refused, `failures of ${plugin}`);
    assert.equal(
      row.failed,
      Object.values(row.failures).reduce((sum, count) => sum + count, 0),
    );
    assert.equal(calls.get(plugin), row.calls);
    assert.equal(failures.get(plugin) ?? 0, row.failed);
  }
  for (const [name, of] of [
    ["fuel_total", (row: Usage) => row.fuel],
    ["host_calls_total", (row: Usage) => row.host_calls],
    ["memory_peak_bytes", (row: Usage) => row.memory_peak_bytes],
    ["bytes_total", (row: Usage) => row.bytes_in + row.bytes_out],
  ] as const) {
    const metrics = await metric(name);
    for (const [plugin, row] of rows) assert.equal(metrics.get(plugin), of(row), `${name} of ${plugin}`);
  }
  return rows;
}

test("calls and failures of mixed guests over two threads add up: clients, ledger and metrics agree", async () => {
  await Promise.all(
    GUESTS.flatMap(({ name }) => [ask(`${name}@1.0.0`, 20), ask(`${name}@1.0.0`, 12, ATTACK)]),
  );
  await ask("ts-hello@1.0.0", 40);
  const rows = await assertReconciled();
  for (const [plugin, kind] of [
    ["js-throw", "throw"],
    ["js-open", "throw"],
    ["wasm-open", "trap"],
  ] as const) {
    assert.deepEqual(rows.get(`${plugin}@1.0.0`)?.failures, { [kind]: 12 });
    assert.deepEqual(
      seen.get(`${plugin}@1.0.0`),
      new Map(
        isOpen(plugin)
          ? [[200, 32]]
          : [
              [200, 20],
              [500, 12],
            ],
      ),
    );
  }
  for (const [plugin, row] of rows) {
    if (row.calls === 0) continue;
    for (const field of ["cpu_ms", "wall_ms", "memory_peak_bytes", "bytes_in", "bytes_out"] as const)
      assert.ok(row[field] > 0, `${field} of ${plugin}`);
    assert.equal(row.fuel > 0, plugin.startsWith("wasm"), `fuel of ${plugin}`);
  }
});

test("a new version has a row of its own, and the old one's stays when nothing uses it any more", async () => {
  await ask("ts-hello@2.0.0", 10);
  await gateway.reload(
    config(
      origin,
      PLUGINS.filter((name) => name !== "ts-hello@1.0.0"),
    ),
  );
  const rows = await assertReconciled();
  assert.equal(rows.get("ts-hello@1.0.0")?.calls, 80);
  assert.equal(rows.get("ts-hello@2.0.0")?.calls, 20);
});

test("what a thread that is lost had counted stays counted, although nobody has asked it", async () => {
  await ask("js-throw@1.0.0", 20);
  // Told of within a second; a thread that is lost earlier takes the last moment with it.
  await delay(3000);
  await bringDown(gateway, 0, "exit");
  await ready(gateway);
  await assertReconciled();
  await ask("js-throw@1.0.0", 10, ATTACK);
  await assertReconciled();
});
