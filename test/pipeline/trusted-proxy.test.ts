/** Who the client is behind a proxy: `trusted_ips`, `real_ip_header`, `real_ip_recursive` as Kong and nginx read them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { after, before, describe, it } from "node:test";
import { HeaderList } from "../../src/http1/headers.ts";
import { Trust } from "../../src/pipeline/client-address.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";

const TRUSTED = ["10.0.0.0/8", "127.0.0.1", "2001:db8::/32"];

describe("the address in a trusted proxy's header", () => {
  for (const [title, values, once, recursive] of [
    ["one address", ["1.1.1.1"], "1.1.1.1 0", "1.1.1.1 0"],
    ["a list: its last, or the last that is not trusted", ["1.1.1.1, 10.0.0.1"], "10.0.0.1 0", "1.1.1.1 0"],
    [
      "several untrusted: what the first of them claims is not believed",
      ["9.9.9.9, 1.1.1.1, 10.0.0.1"],
      "10.0.0.1 0",
      "1.1.1.1 0",
    ],
    ["several fields are one list", ["1.1.1.1", "10.0.0.1"], "10.0.0.1 0", "1.1.1.1 0"],
    ["nobody but proxies: the first of them", ["10.0.0.1, 10.0.0.2"], "10.0.0.2 0", "10.0.0.1 0"],
    ["a port", ["1.1.1.1:8080"], "1.1.1.1 8080", "1.1.1.1 8080"],
    ["IPv6", ["2001:4860::1, 2001:db8::5"], "2001:db8::5 0", "2001:4860::1 0"],
    ["IPv6 with a port", ["[2001:4860::1]:8080"], "2001:4860::1 8080", "2001:4860::1 8080"],
    ["empty elements", [", 1.1.1.1 , ,"], "1.1.1.1 0", "1.1.1.1 0"],
    ["rubbish at the end", ["1.1.1.1, unknown"], null, null],
    ["rubbish before", ["rubbish, 10.0.0.1"], "10.0.0.1 0", "10.0.0.1 0"],
    ["an address with a leading zero", ["010.0.0.1"], null, null],
    ["a port that is none", ["1.1.1.1:65536"], null, null],
    ["an IPv4 address in brackets", ["[1.1.1.1]"], null, null],
    ["a zone", ["fe80::1%lo"], null, null],
    ["nothing", [""], null, null],
    ["no field", [], null, null],
  ] as const) {
    it(title, () => {
      const headers = new HeaderList();
      for (const value of values) headers.add("X-Forwarded-For", value);
      for (const [realIpRecursive, expected] of [
        [false, once],
        [true, recursive],
      ] as const) {
        const trust = new Trust({ trustedIps: TRUSTED, realIpHeader: "X-Forwarded-For", realIpRecursive });
        const { client } = trust.read(headers, { address: "6.6.6.6", port: 6 });
        assert.equal(client === null ? null : `${client.address} ${client.port}`, expected);
      }
    });
  }

  it("real_ip_header: proxy_protocol means the PROXY protocol, and no header of that name", () => {
    const headers = new HeaderList();
    headers.add("proxy_protocol", "1.1.1.1");
    headers.add("X-Real-IP", "1.1.1.1");
    const trust = new Trust({ trustedIps: TRUSTED, realIpHeader: "proxy_protocol", realIpRecursive: true });
    assert.equal(trust.read(headers, null).client, null);
    const proxied = { address: "10.1.1.1", port: 7 };
    assert.deepEqual(trust.read(headers, proxied).client, proxied);
  });
});

describe("behind a trusted proxy", () => {
  let origin: Origin;
  let gateway: Gateway;

  before(async () => {
    origin = await startOrigin();
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [
          {
            name: "origin",
            url: origin.url,
            routes: [
              { name: "any", paths: ["/any"] },
              { name: "secure", paths: ["/secure"], protocols: ["https"] },
            ],
          },
        ],
      },
      settings: { data_threads: "1", trusted_ips: "127.0.0.1" },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  const CLAIMS = {
    "X-Real-IP": "1.1.1.1",
    "X-Forwarded-For": "2.2.2.2",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "public.example",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Path": "/outside",
    "X-Forwarded-Prefix": "/out",
  };

  /** Sends a request from one of the machine's own addresses; returns its status. */
  async function from(localAddress: string, path: string, headers: Record<string, string>): Promise<number> {
    const outgoing = request(`${gateway.url}${path}`, { localAddress, headers, agent: false });
    outgoing.end();
    const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
    answer.resume();
    await once(answer, "end");
    return answer.statusCode as number;
  }

  const sent = (name: string) => receivedHeader(origin.last, name);

  it("a trusted peer's word on address, scheme, host, port, path and prefix travels on", async () => {
    assert.equal(await from("127.0.0.1", "/any", CLAIMS), 200);
    assert.equal(sent("x-real-ip"), "1.1.1.1");
    assert.equal(sent("x-forwarded-for"), "2.2.2.2, 127.0.0.1");
    assert.equal(sent("x-forwarded-proto"), "https");
    assert.equal(sent("x-forwarded-host"), "public.example");
    assert.equal(sent("x-forwarded-port"), "443");
    assert.equal(sent("x-forwarded-path"), "/outside");
    assert.equal(sent("x-forwarded-prefix"), "/out");
  });

  it("anybody else's does not", async () => {
    assert.equal(await from("127.0.0.2", "/any", CLAIMS), 200);
    assert.equal(sent("x-real-ip"), "127.0.0.2");
    assert.equal(sent("x-forwarded-for"), "2.2.2.2, 127.0.0.2");
    assert.equal(sent("x-forwarded-proto"), "http");
    assert.equal(sent("x-forwarded-host"), "127.0.0.1");
    assert.equal(sent("x-forwarded-port"), String(gateway.ports.proxy));
    assert.equal(sent("x-forwarded-path"), "/any");
    assert.equal(sent("x-forwarded-prefix"), "/any");
  });

  it("a chain of addresses that a trusted peer has not begun begins with the client", async () => {
    await from("127.0.0.1", "/any", { "X-Real-IP": "1.1.1.1" });
    assert.equal(sent("x-forwarded-for"), "1.1.1.1");
    await from("127.0.0.2", "/any", { "X-Real-IP": "1.1.1.1" });
    assert.equal(sent("x-forwarded-for"), "127.0.0.2");
  });

  it("a route of https is served to a trusted peer that has seen to TLS, and to nobody who merely says so", async () => {
    assert.equal(await from("127.0.0.1", "/secure", { "X-Forwarded-Proto": "https" }), 200);
    assert.equal(await from("127.0.0.1", "/secure", { "X-Forwarded-Proto": "http" }), 426);
    assert.equal(await from("127.0.0.1", "/secure", {}), 426);
    assert.equal(await from("127.0.0.2", "/secure", { "X-Forwarded-Proto": "https" }), 426);
  });
});
