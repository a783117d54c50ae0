/** A data thread that is lost takes its own connections with it, and nothing else: another takes its place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { send } from "../support/client.ts";
import { startOrigin } from "../support/origin.ts";
import { bringDown, onBothThreads, ready, startInspected } from "./inspected.ts";
import { packExample, publish } from "./packages.ts";

test("a data thread that dies or hangs is replaced by one that serves the configuration in force, guests included", async () => {
  await using origin = await startOrigin();
  const config = (plugins: object[]) => ({
    _format_version: "3.0",
    services: [{ name: "origin", url: origin.url, routes: [{ name: "greeted", paths: ["/"], plugins }] }],
  });
  // Its greeting is missing where it runs into a limit, and what this is about is not time.
  const patient = { plugin_limits: "cpu_ms=10000,wall_ms=60000,cpu_ms_per_second=0" };
  await using gateway = await startInspected(config([]), patient);
  await publish(gateway, await packExample("ts-hello"));
  await gateway.reload(config([{ name: "ts-hello@1.0.0", config: { name: "Ada" } }]));
  assert.equal((await send(gateway.url)).header("x-hello"), "Hello, Ada");
  for (const [thread, how] of [
    [0, "exit"],
    [1, "throw"],
    [0, "loop"],
  ] as const) {
    await bringDown(gateway, thread, how);
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
  for (const [thread, how] of [
    [0, "exit"],
    [1, "loop"],
    [0, "exit"],
  ] as const) {
    await bringDown(gateway, thread, how);
    for (let i = 0; i < 4; i++) {
      await gateway.reload(config(++round));
      await assertRound(round);
    }
    await ready(gateway);
    await assertRound(round);
  }
});
