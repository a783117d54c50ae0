/** The path that the upstream is asked for, by service path, route path and strip_path: Kong's path_handling v0. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { exchangeRaw } from "../support/raw-client.ts";

/** service path, route path, strip_path, request target, upstream target */
const CASES: readonly (readonly [string | null, string, boolean, string, string])[] = [
  [null, "/", true, "/", "/"],
  [null, "/", true, "/a/b", "/a/b"],
  [null, "/a", true, "/a", "/"],
  [null, "/a", true, "/a/", "/"],
  [null, "/a", true, "/a/b", "/b"],
  [null, "/a", true, "/ab", "/b"],
  [null, "/a/", true, "/a/b", "/b"],
  [null, "/a", false, "/a/b/", "/a/b/"],
  ["/s", "/", true, "/", "/s"],
  ["/s", "/", true, "/b", "/s/b"],
  ["/s", "/a", true, "/a", "/s"],
  ["/s", "/a", true, "/a/", "/s/"],
  ["/s", "/a", true, "/a/b", "/s/b"],
  ["/s", "/a", true, "/ab", "/s/b"],
  ["/s", "/a", false, "/a", "/s/a"],
  ["/s", "/", false, "/", "/s"],
  ["/s/", "/", true, "/", "/s/"],
  ["/s/", "/", true, "/b", "/s/b"],
  ["/s/", "/a", true, "/a", "/s"],
  ["/s/", "/a", true, "/a/", "/s/"],
  ["/s/", "/a", true, "/a/b", "/s/b"],
  ["/s/", "/a", false, "/a/b", "/s/a/b"],
  ["/s/", "/", false, "/", "/s/"],
  [null, "~/r/\\d+", true, "/r/12/x", "/x"],
  ["/s", "~/r/\\d+", true, "/r/12", "/s"],
  ["/s", "~/r/\\d+", false, "/r/12/x", "/s/r/12/x"],
  [null, "/a", true, "/a/b?x=1&y=%20", "/b?x=1&y=%20"],
  [null, "/a", true, "/a?", "/?"],
  [null, "/a", true, "/a/b?", "/b?"],
  [null, "/a", false, "/a/%2e%2e/a/c", "/a/c"],
  [null, "/a", false, "/a/b%2Fc", "/a/b%2Fc"],
  [null, "/a", false, "/a//b", "/a/b"],
  [null, "/a", false, "/a/caf%C3%A9", "/a/caf%C3%A9"],
  [null, "/a", false, "/a/x%20y", "/a/x%20y"],
  [null, "/a", false, "/a/%7Euser", "/a/~user"],
];

describe("upstream URI", () => {
  let origin: Origin;
  let gateway: Gateway;
  const host = (i: number) => `case-${i}.test`;

  before(async () => {
    origin = await startOrigin((received, response) => void response.end(received.url));
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: CASES.map(([path, routePath, strip_path], i) => ({
          name: `s${i}`,
          host: "127.0.0.1",
          port: origin.port,
          ...(path === null ? {} : { path }),
          routes: [{ name: `r${i}`, hosts: [host(i)], paths: [routePath], strip_path }],
        })),
      },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  for (const [i, [service, route, strip, target, expected]] of CASES.entries()) {
    it(`service ${service ?? "-"} route ${route}${strip ? " stripped" : ""}: ${target} → ${expected}`, async () => {
      const [answer] = await exchangeRaw(
        gateway.ports.proxy,
        `GET ${target} HTTP/1.1\r\nHost: ${host(i)}\r\n\r\n`,
      );
      assert.equal(answer?.body.toString(), expected);
    });
  }
});
