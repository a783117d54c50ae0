/** cors: what a browser is told, for preflights and for the requests themselves. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { PLACEMENTS, type PluginEntry, startPlaced } from "./placements.ts";

const ALL_METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT";

const POLICIES = {
  open: {},
  one: { origins: ["https://app.test"] },
  some: { origins: ["https://app.test", "other.test", "https://*.wild.test"], credentials: true },
  full: {
    origins: ["https://app.test"],
    methods: ["GET", "PUT"],
    headers: ["X-A", "X-B"],
    exposed_headers: ["X-C", "X-D"],
    max_age: 3600,
    credentials: true,
    private_network: true,
  },
  "open-credentials": { credentials: true },
  strict: { allow_origin_absent: false },
} as const;
type Policy = keyof typeof POLICIES;

/** Access-Control-Allow-Origin, -Credentials and Vary for a request with an Origin. */
const ORIGINS: readonly [
  Policy,
  origin: string | undefined,
  allow?: string,
  credentials?: string,
  vary?: string,
][] = [
  ["open", "https://any.test", "*"],
  ["open", undefined, "*"],
  ["strict", "https://any.test", "*"],
  ["strict", undefined],
  ["one", "https://app.test", "https://app.test", undefined, "Origin"],
  ["one", "https://evil.test", "https://app.test", undefined, "Origin"],
  ["some", "https://app.test", "https://app.test", "true", "Origin"],
  ["some", "https://APP.test:443", "https://APP.test:443", "true", "Origin"],
  ["some", "https://app.test:8443", undefined, undefined, "Origin"],
  ["some", "http://app.test", undefined, undefined, "Origin"],
  ["some", "http://other.test:81", "http://other.test:81", "true", "Origin"],
  ["some", "https://a.b.wild.test", "https://a.b.wild.test", "true", "Origin"],
  ["some", "https://wild.test", undefined, undefined, "Origin"],
  ["some", "https://evilwild.test", undefined, undefined, "Origin"],
  ["some", "https://evil.test/.wild.test", undefined, undefined, "Origin"],
  ["some", "null", undefined, undefined, "Origin"],
  ["some", undefined, undefined, undefined, "Origin"],
  ["open-credentials", "https://any.test", "https://any.test", "true", "Origin"],
  ["open-credentials", undefined, "*"],
];

for (const placement of PLACEMENTS) {
  describe(`cors, ${placement.title}`, () => {
    let origin: Origin;
    let gateway: Gateway;

    before(async () => {
      origin = await startOrigin((_received, response) => {
        response.setHeader("X-Upstream", "yes");
        response.end("upstream");
      });
      const routes: Record<string, PluginEntry[]> = {
        continued: [{ name: "cors", config: { preflight_continue: true } }],
        refused: [
          { name: "cors" },
          { name: "request-termination", config: { status_code: 403, message: "no" } },
        ],
      };
      for (const [name, config] of Object.entries(POLICIES)) routes[name] = [{ name: "cors", config }];
      gateway = await startPlaced(placement, { origin, routes });
    });
    after(async () => {
      await gateway?.[Symbol.asyncDispose]();
      await origin?.close();
    });

    const preflight = (path: string, headers: Record<string, string> = {}) =>
      send(gateway.url + path, {
        method: "OPTIONS",
        headers: { Origin: "https://app.test", "Access-Control-Request-Method": "PUT", ...headers },
      });

    for (const [policy, from, allow, credentials, vary] of ORIGINS) {
      it(`'${policy}' answers origin ${from ?? "(none)"} with ${allow ?? "no permission"}`, async () => {
        const headers: Record<string, string> = from === undefined ? {} : { Origin: from };
        const answer = await send(`${gateway.url}/${policy}`, { headers });
        assert.equal(answer.status, 200);
        assert.equal(answer.body, "upstream");
        assert.equal(answer.header("Access-Control-Allow-Origin"), allow);
        assert.equal(answer.header("Access-Control-Allow-Credentials"), credentials);
        assert.equal(answer.header("Vary"), vary);
      });
    }

    it("a preflight is answered with 200 and no body, and does not reach the upstream", async () => {
      const before = origin.requests.length;
      const answer = await preflight("/open", { "Access-Control-Request-Headers": "x-one, x-two" });
      assert.equal(answer.status, 200);
      assert.equal(answer.body, "");
      assert.equal(answer.header("Access-Control-Allow-Origin"), "*");
      assert.equal(answer.header("Access-Control-Allow-Methods"), ALL_METHODS);
      assert.equal(answer.header("Access-Control-Allow-Headers"), "x-one, x-two");
      assert.equal(answer.header("Access-Control-Max-Age"), undefined);
      assert.equal(origin.requests.length, before);
    });

    it("a preflight tells what is configured", async () => {
      const answer = await preflight("/full", {
        "Access-Control-Request-Headers": "x-other",
        "Access-Control-Request-Private-Network": "true",
      });
      const told = answer.headers.filter(([name]) => /^(access-control-|vary)/i.test(name));
      assert.deepEqual(Object.fromEntries(told), {
        "Access-Control-Allow-Origin": "https://app.test",
        "Access-Control-Allow-Credentials": "true",
        Vary: "Origin",
        "Access-Control-Allow-Headers": "X-A,X-B",
        "Access-Control-Allow-Methods": "GET,PUT",
        "Access-Control-Max-Age": "3600",
        "Access-Control-Allow-Private-Network": "true",
      });
    });

    it("a preflight from an origin that is not allowed gets no Access-Control-Allow-Origin", async () => {
      const answer = await preflight("/some", { Origin: "https://evil.test" });
      assert.equal(answer.status, 200);
      assert.equal(answer.header("Access-Control-Allow-Origin"), undefined);
    });

    it("OPTIONS without Access-Control-Request-Method is no preflight", async () => {
      const answer = await send(`${gateway.url}/open`, {
        method: "OPTIONS",
        headers: { Origin: "https://a.test" },
      });
      assert.equal(answer.body, "upstream");
    });

    it("preflight_continue lets the upstream answer", async () => {
      assert.equal((await preflight("/continued")).body, "upstream");
    });

    it("exposed headers are named in the response itself", async () => {
      const answer = await send(`${gateway.url}/full`, { headers: { Origin: "https://app.test" } });
      assert.equal(answer.header("Access-Control-Expose-Headers"), "X-C,X-D");
    });

    it("a browser may read a refusal too", async () => {
      const answer = await send(`${gateway.url}/refused`, { headers: { Origin: "https://app.test" } });
      assert.equal(answer.status, 403);
      assert.equal(answer.header("Access-Control-Allow-Origin"), "*");
    });
  });
}
