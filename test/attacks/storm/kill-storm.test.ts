/**
 * Cordons are killed with SIGKILL, any of them at any moment, while clients never stop asking. Every request gets a
 * well-formed answer on the connection that it was asked on; those that a cordon had not begun go to its
 * successor, so that a kill costs each data thread one call at most.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Load, type Outcome } from "../../gateway/load.ts";
import { packExample, publish } from "../../gateway/packages.ts";
import { descendants, processEntry } from "../../gateway/processes.ts";
import { send } from "../../support/client.ts";
import { startGateway } from "../../support/gateway.ts";
import { startOrigin } from "../../support/origin.ts";

const KILLS = 18;
const REQUESTS_BETWEEN = 30;
const CLIENTS = 8;
const THREADS = 2;
/** The guest has a hook in two phases, and both may meet a kill. */
const HOOKS = 2;

test("a storm of kill -9 on cordons under load loses no answer, and costs each thread a call for each kill", async () => {
  await using origin = await startOrigin();
  await using gateway = await startGateway({
    config: { _format_version: "3.0", services: [] },
    settings: { data_threads: String(THREADS) },
  });
  // Who cannot be served is told so.
  await publish(gateway, await packExample("ts-hello", { manifest: { fail: "closed" } }));
  await gateway.reload({
    _format_version: "3.0",
    services: [
      {
        name: "origin",
        url: origin.url,
        routes: [{ name: "all", paths: ["/"], plugins: [{ name: "ts-hello@1.0.0" }] }],
      },
    ],
  });
  await using load = new Load({ url: `${gateway.url}/`, clients: CLIENTS });
  await load.proceed(CLIENTS);
  const killed: number[] = [];
  while (killed.length < KILLS) {
    const { cordons } = (await status()) as { cordons: { pid: number | null; workspace: string | null }[] };
    // Mostly one that serves; every fourth time a spare, if there is one.
    const spare = killed.length % 4 === 3;
    const victim = cordons.find(({ pid, workspace }) => pid !== null && (workspace === null) === spare);
    if (victim !== undefined) killed.push(victim.pid as number);
    else if (!spare) continue;
    if (victim !== undefined) process.kill(victim.pid as number, "SIGKILL");
    await load.proceed(REQUESTS_BETWEEN);
  }
  await load.stop();
  const failed = load.outcomes.filter(({ status }) => status !== 200);
  assert.deepEqual(load.errors, []);
  assert.equal(load.connections, CLIENTS, "no connection was closed under a client");
  for (const outcome of load.outcomes) assertWellFormed(outcome);
  assert.ok(failed.length <= KILLS * THREADS * HOOKS, `${failed.length} requests failed`);
  const { lost_cordons, held_back_plugins } = (await status()) as Record<string, unknown>;
  assert.ok((lost_cordons as number) >= KILLS);
  assert.deepEqual(held_back_plugins, [], "no plugin is blamed for what others did to its cordon");
  assert.equal((await send(gateway.url)).header("x-hello"), "Hello, world");
  for (const pid of killed) assert.equal(processEntry(pid), null);
  assert.deepEqual(
    descendants(gateway.pid).filter(({ state }) => state === "Z"),
    [],
  );

  async function status(): Promise<unknown> {
    return (await send(`${gateway.statusUrl}/status`)).json();
  }
});

function assertWellFormed({ status, headers, body }: Outcome): void {
  if (status === 200) {
    assert.equal(headers["x-hello"], "Hello, world");
    assert.equal((JSON.parse(body) as { method: string }).method, "GET");
    return;
  }
  assert.ok(status === 500 || status === 503, `${status} ${body}`);
  const { message, request_id: id } = JSON.parse(body) as Record<string, unknown>;
  assert.equal(typeof message, "string");
  assert.equal(id, headers["x-kong-request-id"]);
}
