/** A process for guests is ready before anybody calls one, and only where there is something to call. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { packExample, publish } from "./packages.ts";

interface Cordon {
  readonly pid: number | null;
  readonly engine: string;
  readonly workspace: string | null;
}

async function cordonsOf(gateway: Gateway): Promise<Cordon[]> {
  return ((await send(`${gateway.statusUrl}/status`)).json() as { cordons: Cordon[] }).cordons;
}

const config = { _format_version: "3.0", services: [] };

test("the first package of an engine brings a spare for it, and cordons_spare: 0 none", async () => {
  await using gateway = await startGateway({ config, settings: { data_threads: "1" } });
  await using without = await startGateway({ config, settings: { data_threads: "1", cordons_spare: "0" } });
  assert.deepEqual(await cordonsOf(gateway), []);
  const bytes = await packExample("ts-hello");
  await publish(gateway, bytes);
  await publish(without, bytes);
  const cordons = await spared(gateway);
  assert.ok(cordons.every(({ engine, workspace }) => engine === "isolate" && workspace === null));
  assert.deepEqual(await cordonsOf(without), []);
});

test("a spare that ends with its gateway has not died", async () => {
  await using gateway = await startGateway({ config, settings: { data_threads: "2" } });
  await publish(gateway, await packExample("ts-hello"));
  await spared(gateway);
  await gateway.stop();
  assert.deepEqual(
    gateway.logs.filter(({ level }) => level !== "info"),
    [],
  );
});

/** Waits for a spare that is ready. */
async function spared(gateway: Gateway): Promise<Cordon[]> {
  for (;;) {
    const cordons = await cordonsOf(gateway);
    if (cordons.some(({ pid }) => pid !== null)) return cordons;
    await delay(20);
  }
}
