/** https upstreams: verified by default, by name, against the authorities that the operator trusts. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:https";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { Authority } from "../support/certificates.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";

describe("https upstreams", () => {
  let authority: Authority;
  let good: Server;
  let otherName: Server;
  let trusting: Gateway;
  let plain: Gateway;
  /** Connections that were accepted, and the names that clients asked for. */
  const servernames: (string | false | undefined)[] = [];

  const portOf = (server: Server) => (server.address() as { port: number }).port;

  before(async () => {
    authority = await Authority.create();
    const serve = async (name: string, subjects: string[]) => {
      const server = createServer(await authority.issue(name, subjects), (request, response) => {
        response.end(`${request.headers.host}`);
      });
      server.on("secureConnection", (socket: TLSSocket & { servername?: string | false }) => {
        servernames.push(socket.servername);
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    };
    good = await serve("good", ["DNS:localhost", "IP:127.0.0.1"]);
    otherName = await serve("other", ["DNS:other.test"]);
    const service = (name: string, url: string, more: object = {}) => ({
      name,
      url,
      ...more,
      routes: [{ name, paths: [`/${name}`] }],
    });
    const config = {
      _format_version: "3.0",
      services: [
        service("by-name", `https://localhost:${portOf(good)}`),
        service("by-address", `https://127.0.0.1:${portOf(good)}`),
        service("other-name", `https://localhost:${portOf(otherName)}`),
        service("unverified", `https://localhost:${portOf(otherName)}`, { tls_verify: false }),
        service("plain-to-tls", `http://localhost:${portOf(good)}`),
      ],
    };
    const settings = { data_threads: "1" };
    [trusting, plain] = await Promise.all([
      startGateway({ config, settings: { ...settings, lua_ssl_trusted_certificate: authority.file } }),
      startGateway({ config, settings }),
    ]);
  });
  after(async () => {
    await trusting?.[Symbol.asyncDispose]();
    await plain?.[Symbol.asyncDispose]();
    for (const server of [good, otherName]) {
      server?.closeAllConnections();
      server?.close();
    }
    await authority?.[Symbol.asyncDispose]();
  });

  it("a certificate of a trusted authority is accepted; SNI names the host, and the connection is kept", async () => {
    servernames.length = 0;
    for (let i = 0; i < 3; i++) {
      const { status, body } = await send(`${trusting.url}/by-name`);
      assert.deepEqual([status, body], [200, `localhost:${portOf(good)}`]);
    }
    assert.deepEqual(servernames, ["localhost"]);
  });

  it("an upstream by address is verified by its address, without SNI", async () => {
    servernames.length = 0;
    assert.equal((await send(`${trusting.url}/by-address`)).status, 200);
    assert.deepEqual(servernames, [false]);
  });

  for (const [title, gateway, path] of [
    ["of an authority that nobody trusts", () => plain, "/by-name"],
    ["for another name", () => trusting, "/other-name"],
  ] as const) {
    it(`a certificate ${title} is a 502, and the log says what is wrong`, async () => {
      const answer = await send(`${gateway().url}${path}`);
      assert.equal(answer.status, 502);
      const id = answer.header("x-kong-request-id");
      const line = await gateway().log((entry) => entry.request_id === id);
      assert.match(String(line.msg), /certificate|altnames/i);
    });
  }

  it("tls_verify: false accepts any certificate, and does not make others' connections unverified", async () => {
    assert.equal((await send(`${plain.url}/unverified`)).status, 200);
    assert.equal((await send(`${plain.url}/other-name`)).status, 502);
  });

  it("plain HTTP to a TLS port fails without harm", async () => {
    assert.ok([400, 502].includes((await send(`${trusting.url}/plain-to-tls`)).status));
    assert.equal((await send(`${trusting.url}/by-name`)).status, 200);
  });
});
