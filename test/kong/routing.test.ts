/** Which route a request takes through the running gateway, and what is said when there is none. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type SendOptions, send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { exchangeRaw } from "../support/raw-client.ts";

type Case = readonly [target: string, options: SendOptions, route: string | null];
const host = (value: string): SendOptions => ({ headers: { Host: value } });

const CASES: readonly Case[] = [
  ["/", host("exact.test"), "exact"],
  ["/", host("EXACT.test"), "exact"],
  ["/", host("exact.test:1234"), "exact"],
  ["/", host("other.test"), null],
  ["/", host("a.wild.test"), "left-wildcard"],
  ["/", host("a.b.wild.test"), "left-wildcard"],
  ["/", host("wild.test"), null],
  ["/", host("right.example"), "right-wildcard"],
  ["/", host("right.a.b"), "right-wildcard"],
  ["/", host("best.wild.test"), "exact-under-wildcard"],
  ["/files", {}, "prefix"],
  ["/files/deep/er", {}, "prefix"],
  ["/filesystem", {}, "prefix"],
  ["/Files", {}, null],
  ["/files/special", {}, "longer-prefix"],
  ["/files/123", {}, "regex"],
  ["/files/123abc", {}, "regex"],
  ["/x/files/123", {}, null],
  ["/%66iles", {}, "prefix"],
  ["/a/../files", {}, "prefix"],
  ["/m", { method: "PUT" }, "methods"],
  ["/m", { method: "PATCH" }, "methods"],
  ["/m", { method: "GET" }, null],
  ["/h", { headers: { "X-Version": "2" } }, "headers"],
  ["/h", { headers: { "x-version": "BETA" } }, "headers"],
  ["/h", { headers: { "X-Version": "3" } }, null],
  ["/h", {}, null],
  ["/h", { headers: { "X-Agent": "Curl/8" } }, "header-regex"],
  ["/off", {}, null],
];

describe("routing", () => {
  let origin: Origin;
  let gateway: Gateway;

  before(async () => {
    origin = await startOrigin((_received, response) => void response.end("proxied"));
    const mark = (name: string) => [
      { name: "response-transformer", config: { add: { headers: [`X-Route:${name}`] } } },
    ];
    const route = (name: string, match: object) => ({ name, ...match, plugins: mark(name) });
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        routes: [{ name: "serviceless", paths: ["/serviceless"] }],
        services: [
          {
            name: "origin",
            url: origin.url,
            routes: [
              route("exact", { hosts: ["exact.test"] }),
              route("left-wildcard", { hosts: ["*.wild.test"] }),
              route("right-wildcard", { hosts: ["right.*"] }),
              route("exact-under-wildcard", { hosts: ["best.wild.test"] }),
              route("prefix", { paths: ["/files"] }),
              route("longer-prefix", { paths: ["/files/special"] }),
              route("regex", { paths: ["~/files/\\d+"] }),
              route("methods", { paths: ["/m"], methods: ["PUT", "PATCH"] }),
              route("headers", { paths: ["/h"], headers: { "x-version": ["2", "beta"] } }),
              route("header-regex", { paths: ["/h"], headers: { "x-agent": ["~*^curl/"] } }),
              route("https", { paths: ["/https"], protocols: ["https"] }),
              route("redirected", {
                paths: ["/redirected"],
                protocols: ["https"],
                https_redirect_status_code: 308,
              }),
            ],
          },
          { name: "off", url: origin.url, enabled: false, routes: [route("off", { paths: ["/off"] })] },
        ],
      },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  for (const [target, options, route] of CASES) {
    const { method = "GET", headers = {} } = options;
    it(`${method} ${target} ${JSON.stringify(headers)} → ${route ?? "no route"}`, async () => {
      const { status, header } = await send(`${gateway.url}${target}`, options);
      assert.equal(header("x-route"), route ?? undefined);
      assert.equal(status, route === null ? 404 : 200);
    });
  }

  it("a request that no route takes is answered 404 with Kong's words", async () => {
    const answer = await send(`${gateway.url}/nowhere`, { headers: { Accept: "application/json" } });
    assert.equal(answer.status, 404);
    assert.equal((answer.json() as { message: string }).message, "no Route matched with those values");
  });

  it("a route for https alone asks a plain client to upgrade", async () => {
    const [answer] = await exchangeRaw(
      gateway.ports.proxy,
      "GET /https HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n",
    );
    const fields = new Map(answer?.headers);
    assert.equal(answer?.status, 426);
    assert.equal(fields.get("Connection"), "Upgrade");
    assert.equal(fields.get("Upgrade"), "TLS/1.2, HTTP/1.1");
    assert.match(String(answer?.body), /^Please use HTTPS protocol\n/);
  });

  it("a route for https alone redirects where https_redirect_status_code says so", async () => {
    const [answer] = await exchangeRaw(
      gateway.ports.proxy,
      "GET /redirected/a%20b?c=d HTTP/1.1\r\nHost: Shop.example:8000\r\n\r\n",
    );
    assert.equal(answer?.status, 308);
    assert.equal(new Map(answer?.headers).get("Location"), "https://shop.example/redirected/a%20b?c=d");
  });

  it("a route without a service and without a plugin that answers is a 503", async () => {
    const answer = await send(`${gateway.url}/serviceless`, { headers: { Accept: "application/json" } });
    assert.equal(answer.status, 503);
    assert.equal((answer.json() as { message: string }).message, "no Service found with those values");
  });

  it("a host with a port takes requests that came to that port, whatever port Host names", async () => {
    await gateway.reload({
      _format_version: "3.0",
      services: [
        {
          name: "ported",
          url: origin.url,
          routes: [
            { name: "here", hosts: [`ported.test:${gateway.ports.proxy}`] },
            { name: "elsewhere", hosts: ["elsewhere.test:1"] },
          ],
        },
      ],
    });
    assert.equal((await send(gateway.url, host("ported.test"))).status, 200);
    assert.equal((await send(gateway.url, host("elsewhere.test:1"))).status, 404);
  });
});
