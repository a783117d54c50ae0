/** A data thread that dies takes its own connections with it, and nothing else: another takes its place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Answer, send } from "../support/client.ts";
import { type ConfigFile, type Gateway, type LogLine, startGateway } from "../support/gateway.ts";
import { startOrigin } from "../support/origin.ts";
import { evaluateInThread, INSPECTED, inspectorUrl } from "./inspector.ts";
import { packExample, publish } from "./packages.ts";

/** Its threads can be ended through the inspector. */
async function startInspected(config: ConfigFile): Promise<Gateway> {
  process.env.NODE_OPTIONS = INSPECTED;
  try {
    return await startGateway({ config, settings: { data_threads: "2" } });
  } finally {
    delete process.env.NODE_OPTIONS;
  }
}

/** Ends a data thread; resolves when the main thread has noticed. */
async function endThread(gateway: Gateway, thread: number): Promise<void> {
  const isNotice = (line: LogLine) =>
    /a data thread is gone/.test(String(line.msg)) && line.thread === thread;
  const before = gateway.logs.filter(isNotice).length;
  await evaluateInThread(inspectorUrl(gateway.output()), `data-${thread}`, "process.exit(1)");
  await gateway.log((line) => isNotice(line) && gateway.logs.filter(isNotice).length > before);
}

async function ready(gateway: Gateway): Promise<void> {
  while ((await send(`${gateway.statusUrl}/status/ready`)).status !== 200);
}

/** So many connections that both threads get some of them. */
function onBothThreads(gateway: Gateway): Promise<Answer[]> {
  return Promise.all(Array.from({ length: 32 }, () => send(gateway.url)));
}

test("a data thread that dies is replaced by one that serves the configuration in force, guests included", async () => {
  await using origin = await startOrigin();
  const config = (plugins: object[]) => ({
    _format_version: "3.0",
    services: [{ name: "origin", url: origin.url, routes: [{ name: "greeted", paths: ["/"], plugins }] }],
  });
  await using gateway = await startInspected(config([]));
  await publish(gateway, await packExample("ts-hello"));
  await gateway.reload(config([{ name: "ts-hello@1.0.0", config: { name: "Ada" } }]));
  assert.equal((await send(gateway.url)).header("x-hello"), "Hello, Ada");
  for (const thread of [0, 1]) {
    await endThread(gateway, thread);
    await ready(gateway);
    for (const answer of await onBothThreads(gateway)) {
      assert.equal(answer.status, 200);
      assert.equal(answer.header("x-hello"), "Hello, Ada");
    }
  }
  await gateway.reload(config([]));
  for (const answer of await onBothThreads(gateway)) assert.equal(answer.header("x-hello"), undefined);
  assert.deepEqual(await gateway.stop(), { code: 0, signal: null });
});

test("configurations that arrive while a data thread is being replaced are live on all when they are answered", async () => {
  const config = (round: number) => ({
    _format_version: "3.0",
    services: [{ name: "nowhere", url: "http://127.0.0.1:1", routes: [{ name: "all", paths: ["/"] }] }],
    plugins: [{ name: "request-termination", config: { status_code: 200, message: `round ${round}` } }],
  });
  await using gateway = await startInspected(config(0));
  const assertRound = async (round: number) => {
    for (const answer of await onBothThreads(gateway))
      assert.deepEqual(answer.json(), { message: `round ${round}` });
  };
  let round = 0;
  for (const thread of [0, 1, 0]) {
    await endThread(gateway, thread);
    for (let i = 0; i < 4; i++) {
      await gateway.reload(config(++round));
      await assertRound(round);
    }
    await ready(gateway);
    await assertRound(round);
  }
});
