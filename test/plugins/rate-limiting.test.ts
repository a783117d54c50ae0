/**
 * rate-limiting: who is counted, what is told, and that a burst cannot overshoot. Limits are by year or month
 * wherever a window's end must not fall into a test.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Answer, send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { PLACEMENTS, startPlaced } from "./placements.ts";

type Call = [path: string, headers: Record<string, string>];

for (const placement of PLACEMENTS) {
  describe(`rate-limiting, ${placement.title}`, () => {
    let origin: Origin;
    let gateway: Gateway;

    before(async () => {
      origin = await startOrigin();
      const name = "rate-limiting";
      const auth = { name: "key-auth" };
      gateway = await startPlaced(placement, {
        origin,
        routes: {
          two: [{ name, config: { year: 2 } }],
          both: [{ name, config: { month: 3, year: 5 } }],
          large: [{ name, config: { month: 1001, year: 1_000_002_000 } }],
          quiet: [{ name, config: { year: 1, hide_client_headers: true } }],
          custom: [{ name, config: { year: 1, error_code: 503, error_message: "Come back later" } }],
          burst: [{ name, config: { year: 25 } }],
          consumer: [auth, { name, config: { year: 1, limit_by: "consumer" } }],
          credential: [auth, { name, config: { year: 1, limit_by: "credential" } }],
          header: [{ name, config: { year: 1, limit_by: "header", header_name: "X-Tenant" } }],
          path: [{ name, config: { year: 1, limit_by: "path", path: "/path/counted" } }],
          service: [{ name, config: { year: 1, limit_by: "service" } }],
          scoped: [auth, { name, config: { year: 100 } }],
        },
        entities: {
          consumers: [
            {
              username: "alice",
              keyauth_credentials: [{ key: "a1" }, { key: "a2" }],
              plugins: [],
            },
            { username: "bob", keyauth_credentials: [{ key: "b1" }] },
          ],
        },
      });
    });
    after(async () => {
      await gateway?.[Symbol.asyncDispose]();
      await origin?.close();
    });

    const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
      send(gateway.url + path, { headers });

    it("requests up to the limit pass and are told what remains; the next one gets 429", async () => {
      for (const remaining of ["1", "0"]) {
        const answer = await get("/two");
        assert.equal(answer.status, 200);
        assert.equal(answer.header("X-RateLimit-Limit-Year"), "2");
        assert.equal(answer.header("X-RateLimit-Remaining-Year"), remaining);
        assert.equal(answer.header("RateLimit-Limit"), "2");
        assert.equal(answer.header("RateLimit-Remaining"), remaining);
        assert.match(answer.header("RateLimit-Reset") ?? "", /^[1-9]\d*$/);
        assert.equal(answer.header("Retry-After"), undefined);
      }
      const before = origin.requests.length;
      const refused = await get("/two");
      assert.equal(refused.status, 429);
      const { message, request_id } = refused.json() as Record<string, unknown>;
      assert.equal(message, "API rate limit exceeded");
      assert.equal(request_id, refused.header("X-Kong-Request-Id"));
      assert.equal(refused.header("RateLimit-Remaining"), "0");
      assert.equal(refused.header("X-RateLimit-Remaining-Year"), "0");
      assert.equal(refused.header("Retry-After"), refused.header("RateLimit-Reset"));
      assert.equal(origin.requests.length, before, "nothing goes upstream");
    });

    it("what remains of large limits is told in plain digits", async () => {
      const told: (string | undefined)[][] = [];
      for (let i = 0; i < 2; i++) {
        const { headers } = await get("/large");
        const value = (name: string) => headers.find(([field]) => field.toLowerCase() === name)?.[1];
        told.push([value("x-ratelimit-remaining-month"), value("x-ratelimit-remaining-year")]);
      }
      assert.deepEqual(told, [
        ["1000", "1000001999"],
        ["999", "1000001998"],
      ]);
    });

    it("the reset counts the seconds to the end of the UTC month", async () => {
      const start = Date.now();
      const seconds = Number((await get("/both")).header("RateLimit-Reset"));
      const now = new Date(start);
      const monthEnd = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1);
      assert.ok(seconds <= Math.ceil((monthEnd - start) / 1000), `${seconds} s is past the month's end`);
      assert.ok(
        seconds >= Math.floor((monthEnd - Date.now()) / 1000),
        `${seconds} s is before the month's end`,
      );
    });

    it("of several windows RateLimit-* tells the one that runs out first, and a refusal takes from none", async () => {
      // The first request of this route was made by the test above.
      const second = await get("/both");
      assert.equal(second.header("RateLimit-Limit"), "3");
      assert.equal(second.header("RateLimit-Remaining"), "1");
      assert.equal(second.header("X-RateLimit-Remaining-Month"), "1");
      assert.equal(second.header("X-RateLimit-Remaining-Year"), "3");
      assert.equal((await get("/both")).status, 200);
      for (let i = 0; i < 3; i++) {
        const refused = await get("/both");
        assert.equal(refused.status, 429);
        assert.equal(refused.header("X-RateLimit-Remaining-Month"), "0");
        assert.equal(refused.header("X-RateLimit-Remaining-Year"), "2");
      }
    });

    it("hide_client_headers leaves every limit header out but Retry-After", async () => {
      const passed = await get("/quiet");
      const refused = await get("/quiet");
      assert.deepEqual([passed.status, refused.status], [200, 429]);
      for (const answer of [passed, refused])
        assert.deepEqual(
          answer.headers.filter(([name]) => /ratelimit/i.test(name)),
          [],
        );
      assert.match(refused.header("Retry-After") ?? "", /^\d+$/);
    });

    it("error_code and error_message replace Kong's", async () => {
      await get("/custom");
      const refused = await get("/custom");
      assert.equal(refused.status, 503);
      assert.equal((refused.json() as { message: string }).message, "Come back later");
    });

    it("a burst over many connections lets exactly the limit pass", async () => {
      const answers = await Promise.all(Array.from({ length: 60 }, () => get("/burst")));
      const passed = answers.filter(({ status }) => status === 200);
      assert.equal(passed.length, 25);
      assert.ok(answers.every(({ status }) => status === 200 || status === 429));
      const remaining = passed
        .map((answer) => Number(answer.header("RateLimit-Remaining")))
        .sort((a, b) => a - b);
      assert.deepEqual(
        remaining,
        Array.from({ length: 25 }, (_, i) => i),
        "every place was given once",
      );
    });

    const counted: { title: string; first: Call; same: Call; other: Call }[] = [
      {
        title: "by consumer, all of a consumer's keys together",
        first: ["/consumer", { apikey: "a1" }],
        same: ["/consumer", { apikey: "a2" }],
        other: ["/consumer", { apikey: "b1" }],
      },
      {
        title: "by credential, each key by itself",
        first: ["/credential", { apikey: "a1" }],
        same: ["/credential", { apikey: "a1" }],
        other: ["/credential", { apikey: "a2" }],
      },
      {
        title: "by a header's value",
        first: ["/header", { "x-tenant": "red" }],
        same: ["/header", { "x-tenant": "red" }],
        other: ["/header", { "x-tenant": "blue" }],
      },
      {
        title: "by address where the header is missing",
        first: ["/header", {}],
        same: ["/header", {}],
        other: ["/header", { "x-tenant": "127.0.0.1" }],
      },
      {
        title: "by path, apart from other paths",
        first: ["/path/counted", {}],
        same: ["/path/counted", {}],
        other: ["/path/other", {}],
      },
    ];
    for (const { title, first, same, other } of counted) {
      it(`requests are counted ${title}`, async () => {
        assert.equal((await get(...first)).status, 200);
        assert.equal((await get(...same)).status, 429);
        assert.equal((await get(...other)).status, 200);
      });
    }

    it("limit_by service counts everybody together", async () => {
      assert.equal((await get("/service")).status, 200);
      assert.equal((await get("/service")).status, 429);
    });

    it("the counters of one route's plugin are not another's", async () => {
      const answer = await get("/scoped", { apikey: "a1" });
      assert.equal(answer.header("RateLimit-Remaining"), "99");
    });
  });
}
