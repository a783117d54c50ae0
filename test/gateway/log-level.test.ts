/** The level of the log, moved while plugins that were made before write to it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startWritable } from "../control/gateway.ts";
import { send } from "../support/client.ts";
import { startOrigin } from "../support/origin.ts";
import { packExample, publish } from "./packages.ts";

test("lines of a plugin that were below the level are logged once it is lowered", async () => {
  await using origin = await startOrigin();
  await using gateway = await startWritable();
  await publish(gateway, await packExample("ts-hello"));
  const made = [
    await gateway.call("PUT", "/services/s", { url: origin.url }),
    await gateway.call("POST", "/services/s/routes", { paths: ["/greet"] }),
    await gateway.call("POST", "/plugins", { name: "ts-hello@1.0.0" }),
  ];
  assert.deepEqual(
    made.map(({ status }) => status),
    [200, 201, 201],
  );
  const ask = () => send(`${gateway.url}/greet`);
  assert.equal((await ask()).status, 200);
  let isLogged = false;
  const logged = gateway.log(({ msg }) => msg === "greeted on /greet").then(() => (isLogged = true));
  await gateway.call("PUT", "/debug/node/log-level/debug?timeout=0");
  // Threads hear of it on their own time.
  while (!isLogged) await ask();
  await logged;
});
