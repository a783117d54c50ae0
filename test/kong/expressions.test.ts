/** The flavour `expressions` through the whole gateway: from a request on a socket to the upstream's path. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { send } from "../support/client.ts";
import { startGateway, startRefused } from "../support/gateway.ts";
import { startOrigin } from "../support/origin.ts";

test("requests go by expressions, in the order of their priorities, before classic routes", async () => {
  await using origin = await startOrigin();
  const service = (name: string, routes: object[]) => ({ name, url: `${origin.url}/${name}`, routes });
  await using gateway = await startGateway({
    settings: { router_flavor: "expressions" },
    config: {
      _format_version: "3.0",
      services: [
        service("classic", [{ paths: ["/a", "/b"] }]),
        service("by-path", [{ expression: 'http.path ^= "/a/"', priority: 1 }]),
        service("by-query", [{ expression: 'http.path ^= "/a" && http.queries.q == "1"', priority: 3 }]),
        service("by-header", [
          {
            expression: 'any(lower(http.headers.x_kind)) == "new" && http.path ~ r#"^/a/\\d+"#',
            priority: 2,
          },
        ]),
        service("by-address", [
          {
            expression:
              'net.src.ip in 127.0.0.0/8 && net.dst.ip == 127.0.0.1 && net.src.port > 0 && http.path.segments.0 == "local"',
          },
        ]),
      ],
    },
  });
  const upstreamPath = async (path: string, headers: Record<string, string> = {}) => {
    const { status, body } = await send(`${gateway.url}${path}`, { headers });
    assert.equal(status, 200, body);
    return (JSON.parse(body) as { url: string }).url;
  };
  assert.equal(await upstreamPath("/b/x"), "/classic/x");
  assert.equal(await upstreamPath("/a/x"), "/by-path/x");
  assert.equal(await upstreamPath("/a/x?q=1"), "/by-query/x?q=1");
  assert.equal(await upstreamPath("/a/12/x", { "X-Kind": "NEW" }), "/by-header/x");
  assert.equal(await upstreamPath("/local/x"), "/by-address/local/x");
  const about = JSON.parse((await send(gateway.adminUrl)).body) as {
    configuration: { router_flavor: string };
  };
  assert.equal(about.configuration.router_flavor, "expressions");
});

test("Kong's flavour with patterns in exponential time is refused with a sentence", async () => {
  const { code, output } = await startRefused({
    settings: { router_flavor: "traditional" },
    config: { _format_version: "3.0" },
  });
  assert.equal(code, 2);
  assert.match(output, /GATEHOUSE_ROUTER_FLAVOR: 'traditional' is not served: .* use traditional_compatible/);
});
