/** What workspaces may have: requests a second, entities, routes. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { loadDeclarative } from "../../src/declarative/declarative.ts";
import { quotasOf, readQuotas } from "../../src/tenancy/quotas.ts";
import { RequestQuotas } from "../../src/tenancy/request-quotas.ts";
import { CounterTable, counterTableSpec } from "../../src/threads/counter-table.ts";
import { type Call, callOf } from "../control/gateway.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";

test("a workspace's own quotas go before the setting, the setting before the defaults; 'default' has its own alone", () => {
  const settings = { routes: 7, requests_per_second: 9 };
  const defaults = {
    requestsPerSecond: 0,
    entities: 100_000,
    routes: 20_000,
    configBytes: 67_108_864,
    bodyBytes: 1_048_576,
  };
  assert.deepEqual(quotasOf({ name: "a" }, {}), defaults);
  assert.deepEqual(quotasOf({ name: "a" }, settings), { ...defaults, requestsPerSecond: 9, routes: 7 });
  const own = quotasOf({ name: "a", quotas: { routes: 0, requests_per_second: null } }, settings);
  assert.deepEqual(own, { ...defaults, requestsPerSecond: 9, routes: 0 });
  const unbounded = Number.POSITIVE_INFINITY;
  assert.deepEqual(quotasOf({ name: "default", quotas: { requests_per_second: 3 } }, settings), {
    requestsPerSecond: 3,
    entities: unbounded,
    routes: unbounded,
    configBytes: unbounded,
    bodyBytes: unbounded,
  });
});

for (const [entries, outcome] of [
  [["routes=5", " entities = 6 "], { routes: 5, entities: 6 }],
  [
    ["rotues=5"],
    /'rotues' is not known; allowed: requests_per_second, entities, routes, config_bytes, body_bytes/,
  ],
  [["routes=-1"], /'routes=-1' is no quota; write routes=N with N between 0 and 10000000/],
  [["routes=10000001"], /between 0 and 10000000/],
  [["routes"], /write routes=N/],
  [["routes=1", "routes=2"], /'routes' is given twice/],
] as const)
  test(`the setting workspace_quotas as ${JSON.stringify(entries)}`, () => {
    const given = readQuotas(entries);
    if (outcome instanceof RegExp) assert.match(String((given as { wrong?: string }).wrong), outcome);
    else assert.deepEqual(given, outcome);
  });

describe("a file", () => {
  const load = (quotas: object, fromSettings = {}) =>
    loadDeclarative(
      JSON.stringify({
        _format_version: "3.0",
        services: [{ name: "own", host: "a.example", routes: [{ paths: ["/"] }, { paths: ["/b"] }] }],
        workspaces: [
          {
            name: "t",
            hosts: ["t.example"],
            quotas,
            services: [{ name: "s", host: "203.0.113.1", routes: [{ hosts: ["t.example"], name: "r" }] }],
            consumers: [{ username: "c" }],
          },
        ],
      }),
      { plugins: { find: () => ({ missing: "" }) }, quotas: fromSettings },
    );

  test("is loaded while its workspaces have as much as they may, and refused with count and quota beyond", () => {
    assert.ok(load({ routes: 1, entities: 3 }).ok);
    for (const [quotas, settings, message] of [
      [{ routes: 0 }, {}, "workspace 't' would have 1 routes and may have 0; "],
      [{ entities: 2 }, {}, "workspace 't' would have 3 entities and may have 2; "],
      [{}, { entities: 1 }, "workspace 't' would have 3 entities and may have 1; "],
      [{ config_bytes: 500 }, {}, /^workspace 't' would have \d{4} bytes of entities and may have 500; /],
    ] as const) {
      const loaded = load(quotas, settings);
      assert.ok(!loaded.ok);
      assert.equal(loaded.errors.length, 1);
      const [{ message: told } = { message: "" }] = loaded.errors;
      assert.ok(typeof message === "string" ? told.startsWith(message) : message.test(told), told);
      assert.equal(loaded.errors[0]?.name, "t");
    }
  });
});

test("requests are counted by the clock's second, for each workspace by itself, exactly over all who count", () => {
  const spec = counterTableSpec(1000, [1, 2]);
  const refused: string[] = [];
  const entity = (id: string, quotas: object | null) => ({ id, name: `name of ${id}`, quotas }) as never;
  const change = {
    put: {
      workspaces: [
        entity("a", { requests_per_second: 5 }),
        entity("b", { requests_per_second: 2 }),
        entity("c", null),
      ],
    },
    removed: { workspaces: [] },
  };
  const threads = [0, 1].map(() =>
    RequestQuotas.none({
      counters: new CounterTable(spec),
      settings: {},
      onRefused: (name) => refused.push(name),
    }).next(change),
  );
  const originalNow = Date.now;
  let now = 1_700_000_000_400;
  Date.now = () => now;
  try {
    const passed = (id: string) => {
      let count = 0;
      for (let i = 0; i < 20; i++) if (threads[i % 2]?.refuse(id, `name of ${id}`) === null) count++;
      return count;
    };
    assert.deepEqual(["a", "b", "c", "d"].map(passed), [5, 2, 20, 20]);
    now += 599;
    assert.equal(passed("a"), 0, "the same second");
    now += 1;
    assert.equal(passed("a"), 5, "the next one");
    assert.equal(refused.filter((name) => name === "name of b").length, 18);
  } finally {
    Date.now = originalNow;
  }
  const [one] = threads as [RequestQuotas];
  assert.notEqual(one.orNull, null);
  assert.equal(one.next({ put: { workspaces: [] }, removed: { workspaces: ["a", "b"] } }).orNull, null);
});

describe("a gateway", () => {
  let origin: Origin;
  let gateway: Gateway;
  let call: Call;
  before(async () => {
    origin = await startOrigin((_, response) => void response.end("from the origin"));
    gateway = await startGateway({
      config: null,
      settings: { data_threads: "2", workspace_quotas: "entities=6" },
    });
    call = callOf(
      () => gateway.ports.admin,
      () => gateway.adminHeaders,
    );
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
  });

  async function workspace(name: string, quotas: object): Promise<void> {
    const made = await call("POST", "/workspaces", { name, hosts: [`${name}.example`], quotas });
    assert.equal(made.status, 201, made.text);
    const service = await call("POST", `/${name}/services`, { name: "s", url: origin.url });
    assert.equal(service.status, 201, service.text);
    const route = { hosts: [`${name}.example`], service: { id: service.json.id } };
    assert.equal((await call("POST", `/${name}/routes`, route)).status, 201);
  }
  const ask = (name: string) => send(gateway.url, { headers: { host: `${name}.example` } });

  test("refuses what a workspace may not have, and lets it change what it has", async () => {
    await workspace("small", { routes: 1 });
    const second = await call("POST", "/small/routes", { hosts: ["small.example"], paths: ["/b"] });
    assert.equal(second.status, 400);
    assert.equal(second.json.name, "schema violation");
    assert.match(
      String(second.json.message),
      /workspace 'small' would have 2 routes and may have 1; delete some/,
    );
    for (const username of ["c1", "c2", "c3", "c4"])
      assert.equal((await call("POST", "/small/consumers", { username })).status, 201);
    const seventh = await call("PUT", "/small/consumers/c5", {});
    assert.equal(seventh.status, 400);
    assert.match(String(seventh.json.message), /would have 7 entities and may have 6/);
    assert.equal((await call("PATCH", "/workspaces/small", { quotas: { entities: 3 } })).status, 200);
    assert.equal((await call("PATCH", "/small/consumers/c1", { tags: ["t"] })).status, 200, "it may change");
    assert.equal((await call("DELETE", "/small/consumers/c1")).status, 204, "and shrink");
    assert.equal((await call("POST", "/small/consumers", { username: "c6" })).status, 400);
    for (let i = 0; i < 8; i++)
      assert.equal(
        (await call("POST", "/consumers", { username: `own${i}` })).status,
        201,
        "the operator's are not counted",
      );
  });

  test("counts the bytes of entities, so that few large ones are as dear as many small ones", async () => {
    await workspace("wide", {});
    const tags = Array.from({ length: 1000 }, (_, i) => `tag-${i}`);
    assert.equal((await call("POST", "/wide/consumers", { username: "big", tags })).status, 201);
    const lowered = await call("PATCH", "/workspaces/wide", { quotas: { config_bytes: 12_000 } });
    assert.equal(lowered.status, 200, lowered.text);
    const second = await call("POST", "/wide/consumers", { username: "second", tags: tags.slice(1) });
    assert.equal(second.status, 400, second.text);
    assert.match(
      String(second.json.message),
      /would have \d{5} bytes of entities and may have 12000; delete/,
    );
    const longer = await call("PATCH", "/wide/consumers/big", { tags: [...tags, "t".repeat(4000)] });
    assert.equal(longer.status, 400, "nor does one grow");
    assert.equal(
      (await call("PATCH", "/wide/consumers/big", { tags: tags.slice(1) })).status,
      200,
      "it may shrink",
    );
    const document = {
      _format_version: "3.0",
      consumers: [
        { username: "big", tags },
        { username: "d", tags },
      ],
    };
    const planned = await call("POST", "/wide/config/plan", document);
    assert.equal(planned.status, 400, planned.text);
    assert.match(planned.text, /bytes of entities and may have 12000/);
    const emptied = await call("POST", "/wide/config/sync", { ...document, consumers: [] });
    assert.equal(emptied.status, 200, emptied.text);
    assert.equal(
      (await call("POST", "/wide/consumers", { username: "second", tags })).status,
      201,
      "room again",
    );
  });

  test("answers requests beyond the quota 429 before a plugin sees them, whoever else is asked for", async () => {
    await workspace("busy", { requests_per_second: 3 });
    await workspace("calm", {});
    const plugin = { name: "request-termination", config: { status_code: 299, message: "seen by a plugin" } };
    assert.equal((await call("POST", "/busy/plugins", plugin)).status, 201);
    const second = () => Math.floor(Date.now() / 1000);
    const from = second();
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask("busy")));
    const passed = answers.filter(({ status }) => status === 299);
    const refused = answers.filter(({ status }) => status === 429);
    assert.equal(passed.length + refused.length, 40);
    const seconds = second() - from + 1;
    assert.ok(passed.length >= 3 && passed.length <= 3 * seconds, `${passed.length} in ${seconds} s`);
    assert.equal(refused[0]?.header("retry-after"), "1");
    assert.equal(JSON.parse(refused[0]?.body ?? "").message, "API rate limit exceeded");
    const others = await Promise.all(Array.from({ length: 40 }, () => ask("calm")));
    assert.ok(others.every(({ status }) => status === 200));
    const { body } = await send(`${gateway.statusUrl}/metrics`);
    assert.match(
      body,
      new RegExp(`gatehouse_requests_over_quota_total\\{workspace="busy"\\} ${refused.length}\\b`),
    );
    assert.doesNotMatch(body, /over_quota_total\{workspace="calm"/);
    assert.equal(
      (await call("PATCH", "/workspaces/busy", { quotas: { requests_per_second: 0 } })).status,
      200,
    );
    const free = await Promise.all(Array.from({ length: 40 }, () => ask("busy")));
    assert.ok(
      free.every(({ status }) => status === 299),
      "a quota that is taken away holds for nobody",
    );
  });
});
