/** `@gatehouse/sdk/testing`: what a test of a plugin sees, natively. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { definePlugin, type Hooks, type Host, integer, record, reply, string } from "@gatehouse/sdk";
import { openPlugin, PluginFailure, testPlugin } from "@gatehouse/sdk/testing";

const schema = record({
  greeting: string({ default: "Hello" }),
  limit: integer({ default: 2, between: [1, 9] }),
});

function plugin(create: (config: { greeting: string; limit: number }, host: Host) => Hooks) {
  return definePlugin({ name: "under-test", version: "1.0.0", priority: 1, schema, create });
}

test("phases run in the gateway's order, each seeing what the ones before have done", async () => {
  const order: string[] = [];
  const note = (phase: string) => () => void order.push(phase);
  const verdict = await testPlugin(
    plugin(() => ({
      log: note("log"),
      rewrite(ctx) {
        order.push("rewrite");
        ctx.request.headers.set("X-Way", "rewrite");
      },
      access(ctx) {
        order.push("access");
        ctx.request.headers.set("X-Way", `${ctx.request.headers.get("x-way")}, access`);
        ctx.request.upstreamPath = "/v2/orders";
        ctx.vars.seen = true;
      },
      headerFilter(ctx) {
        order.push("header_filter");
        ctx.response.status = 299;
      },
      bodyFilter(_ctx, chunk, last) {
        order.push("body_filter");
        return last ? Buffer.from("!") : Buffer.from(Buffer.from(chunk).toString().toUpperCase());
      },
    })),
    {
      method: "POST",
      url: "https://shop.test:8443/orders?page=2",
      headers: { "X-Many": ["1", "2"] },
      body: { a: 1 },
    },
    { response: { status: 201, headers: { "Content-Type": "text/plain" }, body: "done" } },
  );
  assert.deepEqual(order, ["rewrite", "access", "header_filter", "body_filter", "body_filter", "log"]);
  const { request, response, replied, vars, calls, runtime } = verdict;
  assert.equal(request?.method, "POST");
  assert.equal(request?.path, "/v2/orders");
  assert.equal(request?.query, "page=2");
  assert.equal(request?.headers.get("host"), "shop.test:8443");
  assert.equal(request?.headers.get("x-way"), "rewrite, access");
  assert.deepEqual(request?.headers.getAll("x-many"), ["1", "2"]);
  assert.deepEqual(request?.json(), { a: 1 });
  assert.equal(response.status, 299);
  assert.equal(response.text(), "DONE!");
  assert.equal(response.source, "service");
  assert.deepEqual([replied, runtime, vars], [false, "native", { seen: true }]);
  assert.deepEqual(
    calls.map(({ phase }) => phase),
    order,
  );
});

test("a reply keeps the request from the service, and still passes the filters", async () => {
  const { request, response, replied } = await testPlugin(
    plugin((config) => ({
      access: () => reply(429, { message: config.greeting }),
      headerFilter: (ctx) => ctx.response.headers.set("X-Filtered", "yes"),
    })),
    {},
    { config: { greeting: "Later" } },
  );
  assert.equal(request, null);
  assert.equal(replied, true);
  assert.deepEqual([response.status, response.source], [429, "exit"]);
  assert.deepEqual(response.json(), { message: "Later" });
  assert.equal(response.headers.get("x-filtered"), "yes");
});

test("the response phase sees the whole body, and may answer in its place", async () => {
  const { response } = await testPlugin(
    plugin(() => ({
      response(ctx) {
        return reply(200, `<${Buffer.from(ctx.response.body ?? []).toString()}>`);
      },
    })),
    {},
    { response: { body: "whole" } },
  );
  assert.equal(response.text(), "<whole>");
});

test("one instance serves several requests, and keeps what it keeps", async () => {
  using open = await openPlugin(
    plugin((config, host) => ({
      async access() {
        const [left] = await host.takeFromWindows([
          { key: "all", limit: config.limit, endsAt: 4_000_000_000_000 },
        ]);
        const last = await host.kv.get("last");
        await host.kv.set("last", `left ${left}`);
        host.log("info", last === null ? "first" : Buffer.from(last).toString());
        return left === -1 ? reply(429) : undefined;
      },
    })),
  );
  const seen: unknown[] = [];
  for (let i = 0; i < 3; i++) {
    const { response, logs } = await open.test();
    seen.push([response.status, logs.map(({ message }) => message)]);
  }
  assert.deepEqual(seen, [
    [200, ["first"]],
    [200, ["left 1"]],
    [429, ["left 0"]],
  ]);
});

test("a plugin asks for what the test has laid out", async () => {
  const ada = { id: "c-1", username: "ada", custom_id: null };
  const { consumer, fetched, request, metrics } = await testPlugin(
    plugin((_config, host) => ({
      async access(ctx) {
        const found = await host.findCredential("key-auth", ctx.request.headers.get("apikey") ?? "");
        ctx.authenticate(found?.consumer ?? null, found);
        const answer = await host.fetch({ url: "https://roles.test/ada" });
        ctx.request.headers.set("X-Role", Buffer.from(answer.body).toString());
        ctx.request.headers.set("X-Secret", (await host.secret("TOKEN")) ?? "none");
        host.count("asked_total", "Asked.", { who: "ada" }, 1);
      },
    })),
    { headers: { apikey: "k" } },
    {
      credentials: { "key-auth": { k: ada } },
      secrets: { TOKEN: "hush" },
      fetch: ({ url }) => ({ body: url.endsWith("/ada") ? "admin" : "nobody" }),
    },
  );
  assert.deepEqual(consumer, ada);
  assert.deepEqual(
    fetched.map(({ url }) => url),
    ["https://roles.test/ada"],
  );
  assert.equal(request?.headers.get("x-role"), "admin");
  assert.equal(request?.headers.get("x-secret"), "hush");
  assert.deepEqual(metrics, [{ metric: "asked_total", labels: { who: "ada" }, value: 1 }]);
});

test("a hook that throws fails the test, with plugin and phase", async () => {
  const failing = plugin(() => ({
    access() {
      throw new Error("out of cheese");
    },
  }));
  await assert.rejects(testPlugin(failing), (error) => {
    assert.ok(error instanceof PluginFailure);
    assert.deepEqual([error.phase, error.failure], ["access", "throw"]);
    assert.match(error.message, /plugin 'under-test', phase access \(throw\): out of cheese/);
    return true;
  });
});

test("a config that the schema refuses is refused with every field", async () => {
  const wrong = { greeting: 7, limit: 10 } as unknown as { greeting: string; limit: number };
  await assert.rejects(
    testPlugin(
      plugin(() => ({})),
      {},
      { config: wrong },
    ),
    (error: Error) => {
      assert.match(
        error.message,
        /config\.greeting: expected a string\nconfig\.limit: value should be between 1 and 9/,
      );
      return true;
    },
  );
});

test("fields that could not be sent cannot be set", async () => {
  for (const [name, value] of [
    ["X Y", "1"],
    ["X-Y", "a\r\nb"],
  ] as const)
    await assert.rejects(
      testPlugin(plugin(() => ({ access: (ctx) => ctx.request.headers.set(name, value) }))),
      PluginFailure,
    );
});
