/** The gateway's own plugins, bundled unchanged from their sources and run as isolate guests. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type PluginDefinition, type Reply, validate } from "@gatehouse/sdk";
import { MemoryContext, type RequestParts } from "./context.ts";
import { bundleGuest, PATIENT, RecordingHost, type Sandbox, settings, startSandbox } from "./sandbox.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
});
after(() => sandbox.close());

interface Case {
  plugin: string;
  config: Record<string, unknown>;
  request?: RequestParts;
  check(ctx: MemoryContext, reply: Reply | undefined, host: RecordingHost): void;
}

const CASES: Case[] = [
  {
    plugin: "correlation-id",
    config: { header_name: "X-Corr", generator: "uuid" },
    check: (ctx) => assert.match(ctx.request.headers.get("x-corr") ?? "", /^[0-9a-f-]{36}$/),
  },
  {
    plugin: "cors",
    config: {},
    check: (ctx) => assert.equal(ctx.response.headers.get("access-control-allow-origin"), "*"),
  },
  {
    plugin: "key-auth",
    config: {},
    request: { headers: [["apikey", "right"]] },
    check: (ctx, reply, host) => {
      assert.equal(reply, undefined);
      assert.deepEqual(ctx.consumer, host.consumer);
    },
  },
  {
    plugin: "key-auth",
    config: {},
    request: { headers: [["apikey", "wrong"]] },
    check: (ctx, reply) => {
      assert.equal(reply?.status, 401);
      assert.equal(ctx.consumer, null);
    },
  },
  {
    plugin: "prometheus",
    config: { status_code_metrics: true },
    check: (_ctx, _reply, host) => assert.ok(host.calls.some(([method]) => method === "count")),
  },
  {
    plugin: "rate-limiting",
    config: { minute: 5, policy: "local" },
    check: (ctx) => assert.equal(ctx.response.headers.get("x-ratelimit-remaining-minute"), "4"),
  },
  {
    plugin: "request-termination",
    config: { status_code: 418, message: "tea" },
    check: (_ctx, reply) => {
      assert.equal(reply?.status, 418);
      assert.equal(Buffer.from(reply?.body as Uint8Array).toString(), '{"message":"tea"}');
    },
  },
  {
    plugin: "request-transformer",
    config: { add: { headers: ["X-Added:1"] } },
    check: (ctx) => assert.equal(ctx.request.headers.get("x-added"), "1"),
  },
  {
    plugin: "response-transformer",
    config: { add: { headers: ["X-Back:2"] } },
    check: (ctx) => assert.equal(ctx.response.headers.get("x-back"), "2"),
  },
];

for (const { plugin, config, request, check } of CASES)
  test(`${plugin} runs in an isolate: ${JSON.stringify(config)} ${JSON.stringify(request?.headers ?? [])}`, async () => {
    const source = fileURLToPath(new URL(`../../plugins/${plugin}.ts`, import.meta.url));
    const definition: PluginDefinition = (await import(source)).default;
    const checked = validate(definition.schema, config);
    assert.deepEqual(checked.violations, []);
    const host = new RecordingHost();
    const hooks = sandbox.client.hooks(
      settings(await bundleGuest(source), {
        name: plugin,
        config: checked.value,
        limits: PATIENT,
        phases: ["rewrite", "access", "header_filter", "log"],
        grants: {
          requestHeaders: ["*"],
          responseHeaders: ["*"],
          consumer: true,
          log: true,
          metrics: true,
          kvBytes: 1024,
        },
      }),
      host,
    );
    const ctx = new MemoryContext({ response: { status: 200, headers: [] }, ...request });
    await hooks.rewrite?.(ctx);
    const reply = (await hooks.access?.(ctx)) as Reply | undefined;
    await hooks.headerFilter?.(ctx);
    await hooks.log?.(ctx);
    check(ctx, reply, host);
  });
