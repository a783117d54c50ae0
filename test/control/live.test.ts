/** What is acknowledged is live on every thread, and outlives the gateway. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { type Call, startWritable } from "./gateway.ts";

describe("a write that is acknowledged", () => {
  let origin: Origin;
  let gateway: Gateway & { call: Call };

  before(async () => {
    origin = await startOrigin((_received, response) => void response.end("ok"));
    gateway = await startWritable();
    const { call } = gateway;
    assert.equal((await call("POST", "/services", { name: "s", url: origin.url })).status, 201);
    assert.equal((await call("POST", "/services/s/routes", { name: "r", paths: ["/r"] })).status, 201);
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  /** Fresh connections, so that every data thread is asked. */
  async function statuses(path: string, headers: Record<string, string> = {}): Promise<number[]> {
    const answers = await Promise.all(
      Array.from({ length: 24 }, () => send(`${gateway.url}${path}`, { headers })),
    );
    return [...new Set(answers.map(({ status }) => status))];
  }

  const STEPS: [title: string, method: string, path: string, body: object | undefined, then: number][] = [
    ["a route is there", "PATCH", "/routes/r", { paths: ["/r"] }, 200],
    [
      "a plugin is in force",
      "PUT",
      "/plugins/11111111-1111-4111-8111-111111111111",
      { name: "key-auth" },
      401,
    ],
    ["a consumer alone opens nothing", "PUT", "/consumers/alice", {}, 401],
    ["a key opens", "POST", "/consumers/alice/key-auth", { key: "k" }, 200],
    ["a consumer that is gone opens nothing", "DELETE", "/consumers/alice", undefined, 401],
    [
      "a plugin that is off asks nobody",
      "PATCH",
      "/plugins/11111111-1111-4111-8111-111111111111",
      { enabled: false },
      200,
    ],
    ["a service that is off takes its routes along", "PATCH", "/services/s", { enabled: false }, 404],
    ["and back", "PATCH", "/services/s", { enabled: true }, 200],
    ["a route that is gone", "DELETE", "/routes/r", undefined, 404],
  ];

  for (const [title, method, path, body, then] of STEPS)
    test(`${title}: ${method} ${path}`, async () => {
      const { status, text } = await gateway.call(method, path, body);
      assert.ok(status < 300, text);
      assert.deepEqual(await statuses("/r", { apikey: "k" }), [then]);
    });

  test("forty at once are all there, in both lists and on the proxy", async () => {
    const { call } = gateway;
    const names = Array.from({ length: 40 }, (_, i) => `at-once-${i}`);
    const replies = await Promise.all(
      names.map((name) => call("PUT", `/services/s/routes/${name}`, { paths: [`/${name}`] })),
    );
    assert.deepEqual([...new Set(replies.map(({ status }) => status))], [200]);
    const listed = (await call("GET", "/services/s/routes?size=1000")).json.data ?? [];
    assert.deepEqual(listed.map(({ name }) => name).sort(), names.toSorted());
    for (const name of names.slice(-4)) assert.deepEqual(await statuses(`/${name}`), [200]);
  });

  test("is there after the gateway was killed", async () => {
    const { call } = gateway;
    await call("PUT", "/services/s/routes/last", { paths: ["/last"] });
    const { json: before } = await call("GET", "/routes?size=1000");
    const { json: status } = await call("GET", "/status");
    await gateway.stop("SIGKILL");
    await using again = await startWritable({ prefix: gateway.prefix });
    assert.deepEqual((await again.call("GET", "/routes?size=1000")).json, before);
    assert.equal((await again.call("GET", "/status")).json.configuration_hash, status.configuration_hash);
    assert.equal((await send(`${again.url}/last`)).status, 200);
  });
});
