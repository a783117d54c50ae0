/** request-termination: the fixed answer, its trigger and its echo. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { PLACEMENTS, type PluginEntry, startPlaced } from "./placements.ts";

const JSON_UTF8 = "application/json; charset=utf-8";

const ANSWERS = [
  { config: {}, status: 503, type: JSON_UTF8, body: '{"message":"Service unavailable"}' },
  { config: { status_code: 404 }, status: 404, type: JSON_UTF8, body: '{"message":"Not found"}' },
  { config: { status_code: 401 }, status: 401, type: JSON_UTF8, body: '{"message":"Unauthorized"}' },
  { config: { status_code: 418 }, status: 418, type: undefined, body: "" },
  { config: { message: "Back at 5" }, status: 503, type: JSON_UTF8, body: '{"message":"Back at 5"}' },
  { config: { status_code: 200, body: '{"ok":true}' }, status: 200, type: JSON_UTF8, body: '{"ok":true}' },
  {
    config: { body: "<h1>Closed</h1>", content_type: "text/html" },
    status: 503,
    type: "text/html",
    body: "<h1>Closed</h1>",
  },
];

for (const placement of PLACEMENTS) {
  describe(`request-termination, ${placement.title}`, () => {
    let origin: Origin;
    let gateway: Gateway;

    before(async () => {
      origin = await startOrigin();
      const name = "request-termination";
      const routes: Record<string, PluginEntry[]> = {
        triggered: [{ name, config: { trigger: "X-Stop" } }],
        echo: [{ name, config: { echo: true, status_code: 200, message: "seen" } }],
      };
      for (const [i, { config }] of ANSWERS.entries()) routes[`case-${i}`] = [{ name, config }];
      gateway = await startPlaced(placement, { origin, routes });
    });
    after(async () => {
      await gateway?.[Symbol.asyncDispose]();
      await origin?.close();
    });

    for (const [i, { config, status, type, body }] of ANSWERS.entries()) {
      it(`${JSON.stringify(config)} answers ${status} ${body || "without a body"}`, async () => {
        const answer = await send(`${gateway.url}/case-${i}`);
        assert.equal(answer.status, status);
        assert.equal(answer.header("content-type"), type);
        assert.equal(answer.body, body);
        assert.equal(origin.requests.length, 0, "nothing goes upstream");
      });
    }

    it("a POST with a body is answered too, and the connection's next request is its own", async () => {
      const answer = await send(`${gateway.url}/case-0`, { method: "POST", body: "x".repeat(100_000) });
      assert.equal(answer.status, 503);
    });

    it("with a trigger only requests that have it as a header or query parameter are answered", async () => {
      const header = await send(`${gateway.url}/triggered`, { headers: { "x-stop": "1" } });
      const query = await send(`${gateway.url}/triggered?X-Stop`);
      const neither = await send(`${gateway.url}/triggered`);
      assert.deepEqual([header.status, query.status, neither.status], [503, 503, 200]);
    });

    it("echo describes the request, its route and its service", async () => {
      const answer = await send(`${gateway.url}/echo/a?b=c`, {
        method: "POST",
        headers: [
          ["X-Two", "1"],
          ["X-Two", "2"],
        ],
        body: "hello",
      });
      assert.equal(answer.status, 200);
      const { message, request, matched_route, matched_service } = answer.json() as {
        message: string;
        request: Record<string, unknown> & { headers: Record<string, unknown> };
        matched_route: { name: string };
        matched_service: { name: string };
      };
      assert.equal(message, "seen");
      const { method, path, query, body } = request;
      assert.deepEqual(
        { method, path, query, body },
        { method: "POST", path: "/echo/a", query: "b=c", body: "hello" },
      );
      assert.deepEqual(request.headers["x-two"], ["1", "2"]);
      assert.equal(matched_route.name, "echo");
      assert.equal(matched_service.name, "upstream");
    });
  });
}
