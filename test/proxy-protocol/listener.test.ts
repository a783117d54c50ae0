/** Listeners that expect the PROXY protocol, through the whole gateway. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { after, before, describe, it } from "node:test";
import { connect } from "node:tls";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { startHaproxy } from "../support/haproxy.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";
import { openRaw } from "../support/raw-client.ts";
import { binaryHeader } from "./binary-header.ts";

const LINE = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
const LINE_V6 = "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n";
const V4 = Buffer.from([192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb]);
const GET = "GET /any HTTP/1.1\r\nHost: a\r\n\r\n";

describe("a listener with proxy_protocol", () => {
  let origin: Origin;
  let believing: Gateway;
  /** Trusts nobody. */
  let wary: Gateway;
  /** Trusts, and takes the address from a header. */
  let elsewhere: Gateway;

  before(async () => {
    origin = await startOrigin();
    const start = (settings: Record<string, string>) =>
      startGateway({
        config: {
          _format_version: "3.0",
          services: [{ name: "origin", url: origin.url, routes: [{ name: "any", paths: ["/any"] }] }],
        },
        settings: {
          data_threads: "1",
          proxy_listen: "127.0.0.1:0 proxy_protocol",
          client_head_timeout_ms: "1000",
          ...settings,
        },
      });
    believing = await start({ trusted_ips: "127.0.0.1", real_ip_header: "proxy_protocol" });
    wary = await start({ real_ip_header: "proxy_protocol" });
    elsewhere = await start({ trusted_ips: "127.0.0.1" });
  });
  after(async () => {
    await Promise.all([believing, wary, elsewhere].map((gateway) => gateway?.[Symbol.asyncDispose]()));
    await origin?.close();
  });

  const sent = (name: string) => receivedHeader(origin.last, name);
  const bytesOf = (header: string | Buffer) => (typeof header === "string" ? Buffer.from(header) : header);

  for (const [title, header, client] of [
    ["version 1 over IPv4", LINE, "192.0.2.1"],
    ["version 1 over IPv6", LINE_V6, "2001:db8::1"],
    ["version 1 that does not know", "PROXY UNKNOWN\r\n", "127.0.0.1"],
    ["version 2 over IPv4", binaryHeader(0x21, 0x11, V4), "192.0.2.1"],
    [
      "version 2 with extensions",
      binaryHeader(0x21, 0x11, Buffer.concat([V4, Buffer.alloc(700)])),
      "192.0.2.1",
    ],
    ["version 2 of the proxy's own", binaryHeader(0x20, 0x00, Buffer.alloc(0)), "127.0.0.1"],
  ] as const) {
    it(`${title}: the client is ${client}, for every request of the connection`, async () => {
      await using connection = await openRaw(believing.ports.proxy);
      connection.write(Buffer.concat([bytesOf(header), Buffer.from(GET)]));
      assert.equal((await connection.read()).status, 200);
      assert.equal(sent("x-real-ip"), client);
      assert.equal(sent("x-forwarded-for"), client);
      connection.write(
        GET.replace("Host: a\r\n", "Host: a\r\nX-Forwarded-For: 9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\n"),
      );
      assert.equal((await connection.read()).status, 200);
      assert.equal(sent("x-real-ip"), client);
      assert.equal(
        sent("x-forwarded-for"),
        "9.9.9.9, 127.0.0.1",
        "the chain goes on with the peer, as Kong's",
      );
    });
  }

  for (const [title, header] of [
    ["version 1", LINE],
    ["version 2", binaryHeader(0x21, 0x11, V4)],
  ] as const) {
    it(`${title} in two pieces, wherever it is cut, is the same header`, async () => {
      const bytes = Buffer.concat([bytesOf(header), Buffer.from(GET)]);
      for (let cut = 1; cut <= bytesOf(header).length; cut++) {
        await using client = await openRaw(believing.ports.proxy);
        await new Promise<void>((resolve) => client.socket.write(bytes.subarray(0, cut), () => resolve()));
        await new Promise((resolve) => setImmediate(resolve));
        client.write(bytes.subarray(cut));
        assert.equal((await client.read()).status, 200);
        assert.equal(sent("x-real-ip"), "192.0.2.1");
      }
    });
  }

  it("a peer that is not trusted remains the client", async () => {
    await using client = await openRaw(wary.ports.proxy);
    client.write(LINE + GET);
    assert.equal((await client.read()).status, 200);
    assert.equal(sent("x-real-ip"), "127.0.0.1");
  });

  it("with another real_ip_header, what the PROXY header says is read and not used", async () => {
    await using client = await openRaw(elsewhere.ports.proxy);
    client.write(LINE + GET.replace("Host: a", "Host: a\r\nX-Real-IP: 1.1.1.1"));
    assert.equal((await client.read()).status, 200);
    assert.equal(sent("x-real-ip"), "1.1.1.1");
    client.write(GET);
    assert.equal((await client.read()).status, 200);
    assert.equal(sent("x-real-ip"), "127.0.0.1");
  });

  for (const [title, bytes] of [
    ["no header", GET],
    ["a header that is malformed", `PROXY TCP4 1.2.3.4\r\n${GET}`],
    ["a second header", LINE + LINE + GET],
    ["a header longer than its bound", binaryHeader(0x21, 0x11, Buffer.alloc(5000))],
    ["half a header and the end", LINE.slice(0, 20)],
    ["a TLS hello", Buffer.from("1603010200010001fc0303", "hex")],
  ] as const) {
    it(`${title}: the connection ends, and nothing is forwarded`, async () => {
      const before = origin.requests.length;
      await using client = await openRaw(believing.ports.proxy);
      client.write(bytes);
      if (title.startsWith("half")) client.end();
      await client.closed();
      if (title === "a second header") assert.match(client.pending.toString(), /^HTTP\/1\.1 400 /);
      else assert.equal(client.pending.length, 0, "not a word is said to a stranger");
      assert.equal(origin.requests.length, before);
    });
  }

  it("the log says why connections were closed", async () => {
    await using client = await openRaw(believing.ports.proxy);
    client.write(GET);
    await client.closed();
    const line = await believing.log(({ code }) => code === "proxy_protocol");
    assert.equal(line.client, "127.0.0.1");
    assert.match(String(line.msg), /does not begin with a PROXY header/);
  });

  it("a peer that says nothing, or half a header, is not waited for longer than for a head", async () => {
    await using silent = await openRaw(believing.ports.proxy);
    await using slow = await openRaw(believing.ports.proxy);
    slow.write(LINE.slice(0, 10));
    await silent.closed();
    await slow.closed();
  });

  it("connections whose header has not come do not hold up the end", async () => {
    const gateway = await startGateway({
      config: { _format_version: "3.0" },
      settings: {
        data_threads: "1",
        proxy_listen: "127.0.0.1:0 proxy_protocol",
        client_head_timeout_ms: "600000",
        drain_timeout_ms: "600000",
      },
    });
    await using client = await openRaw(gateway.ports.proxy);
    client.write("PROXY ");
    assert.deepEqual(await gateway.stop(), { code: 0, signal: null });
    await client.closed();
    await gateway[Symbol.asyncDispose]();
  });

  it("max_connections_per_ip counts the clients that a trusted peer names, and not the peer", async () => {
    await using gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [{ name: "origin", url: origin.url, routes: [{ name: "any", paths: ["/any"] }] }],
      },
      settings: {
        data_threads: "1",
        proxy_listen: "127.0.0.1:0 proxy_protocol",
        trusted_ips: "127.0.0.1",
        real_ip_header: "proxy_protocol",
        max_connections_per_ip: "2",
      },
    });
    const ask = async (line: string) => {
      const client = await openRaw(gateway.ports.proxy);
      client.write(line + GET);
      return client;
    };
    await using first = await ask(LINE);
    await using second = await ask(LINE);
    assert.equal((await first.read()).status, 200);
    assert.equal((await second.read()).status, 200);
    await using third = await ask(LINE);
    await third.closed();
    assert.equal(third.pending.length, 0);
    const refused = await gateway.log(({ code }) => code === "connections_address");
    assert.equal(refused.client, "192.0.2.1");
    await using other = await ask(LINE.replace("192.0.2.1", "192.0.2.9"));
    assert.equal((await other.read()).status, 200);
    await using own = await ask("PROXY UNKNOWN\r\n");
    assert.equal((await own.read()).status, 200);
    second.socket.destroy();
    for (let status = 0; status !== 200; ) {
      await using again = await ask(LINE); // the seat is free once the gateway has seen that its holder left
      status = await again.read().then(
        (answer) => answer.status,
        () => 0,
      );
    }
  });

  it("the header comes before TLS, and the client is the one that it names", async () => {
    await using gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [{ name: "origin", url: origin.url, routes: [{ name: "any", paths: ["/any"] }] }],
      },
      settings: {
        data_threads: "1",
        proxy_listen: "127.0.0.1:0 ssl proxy_protocol",
        trusted_ips: "127.0.0.1",
        real_ip_header: "proxy_protocol",
      },
    });
    const { ports } = await gateway.log(({ msg }) => msg === "ready");
    const { proxy_ssl } = ports as { proxy_ssl: number };
    await using plain = await openRaw(proxy_ssl);
    plain.socket.removeAllListeners("data");
    plain.write(LINE);
    const socket = connect({ socket: plain.socket, rejectUnauthorized: false });
    socket.write(GET.replace("Host: a", "Host: a\r\nConnection: close"));
    let text = "";
    for await (const chunk of socket.setEncoding("latin1")) text += chunk;
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.equal(sent("x-real-ip"), "192.0.2.1");
    assert.equal(sent("x-forwarded-proto"), "https");
    // Without the header there is no handshake, either.
    const stranger = connect({ port: proxy_ssl, host: "127.0.0.1", rejectUnauthorized: false });
    await assert.rejects(once(stranger, "secureConnect"));
  });

  for (const option of ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options unique-id,crc32c"]) {
    it(`behind HAProxy with ${option}, the client is HAProxy's client`, async () => {
      await using haproxy = await startHaproxy(believing.ports.proxy, { mode: "tcp", server: option });
      const outgoing = request(`${haproxy.url}/any`, { localAddress: "127.0.0.77", agent: false });
      outgoing.end();
      const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
      answer.resume();
      assert.equal(answer.statusCode, 200);
      assert.equal(sent("x-real-ip"), "127.0.0.77");
      assert.equal(sent("x-forwarded-for"), "127.0.0.77");
    });
  }
});
