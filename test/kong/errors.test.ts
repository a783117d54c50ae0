/** The gateway's own errors: status, message and form, as Kong writes them. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { freePort } from "../support/nginx.ts";
import { exchangeRaw, openRaw } from "../support/raw-client.ts";
import { type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";

const INVALID = "An invalid response was received from the upstream server";

/** What the upstream does, by path, and what the client is told. */
const UPSTREAM_FAILS: Readonly<Record<string, string | null>> = {
  "closes before a byte": "",
  "resets before a byte": null,
  "closes in the status line": "HTTP/1.1 20",
  "closes in the head": "HTTP/1.1 200 OK\r\nContent-Len",
  "sends garbage": "SSH-2.0-OpenSSH_9.9\r\n",
  "sends a status line with a bare LF": "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
  "sends HTTP/2": "HTTP/2 200\r\n\r\n",
  "sends a status out of range": "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
  "sends two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
  "sends a length and a coding":
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "sends a folded header": "HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\nContent-Length: 0\r\n\r\n",
  "sends a coding that is not chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
  "switches protocols unasked": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
  "sends a head without end": `HTTP/1.1 200 OK\r\n${"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(700)}`,
  "sends more headers than are taken": `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(200)}\r\n`,
};

/** Responses that break off, and what the client has by then. */
const CUT_SHORT: Readonly<Record<string, string>> = {
  "in a body with a length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234",
  "in a chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n01234",
  "between chunks": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n",
  "by a chunk size that is none":
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\nxyz\r\n",
};

const slug = (text: string) => `/${text.replaceAll(" ", "-")}`;

describe("errors", () => {
  let origin: RawOrigin;
  let gateway: Gateway;
  let refused: number;

  before(async () => {
    refused = await freePort();
    const bySlug = new Map(
      [...Object.entries(UPSTREAM_FAILS), ...Object.entries(CUT_SHORT)].map(([name, text]) => [
        slug(name),
        text,
      ]),
    );
    origin = await startRawOrigin(({ socket, path }) => {
      const text = bySlug.get(path);
      if (text === undefined) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
      else if (text === null) socket.resetAndDestroy();
      else socket.end(text);
    });
    const service = (name: string, url: string, more: object = {}) => ({
      name,
      url,
      retries: 0,
      ...more,
      routes: [{ name, paths: [`/${name}/`] }],
    });
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        upstreams: [
          { name: "nobody", targets: [{ target: `127.0.0.1:${origin.port}`, weight: 0 }] },
          { name: "empty" },
        ],
        services: [
          service("origin", origin.url),
          service("refused", `http://127.0.0.1:${refused}`),
          service("nobody-there", "http://nobody"),
          service("empty-upstream", "http://empty"),
          service("unresolved", "http://does-not-exist.invalid"),
        ],
      },
      settings: { data_threads: "1" },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  async function assertServes(): Promise<void> {
    const { status, body } = await send(`${gateway.url}/origin/fine`);
    assert.deepEqual([status, body], [200, "fine"]);
  }

  for (const [service, status, message] of [
    ["refused", 502, INVALID],
    ["nobody-there", 503, "failure to get a peer from the ring-balancer"],
    ["empty-upstream", 503, "failure to get a peer from the ring-balancer"],
    ["unresolved", 503, "name resolution failed"],
  ] as const) {
    it(`${service}: ${status} ${message}`, async () => {
      const answer = await send(`${gateway.url}/${service}/`, { headers: { Accept: "application/json" } });
      assert.equal(answer.status, status);
      assert.equal((answer.json() as { message: string }).message, message);
      await assertServes();
    });
  }

  for (const name of Object.keys(UPSTREAM_FAILS)) {
    it(`an upstream that ${name} is a 502`, async () => {
      await using client = await openRaw(gateway.ports.proxy);
      client.write(`GET /origin${slug(name)} HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n`);
      const answer = await client.read();
      assert.equal(answer.status, 502);
      assert.match(answer.body.toString(), new RegExp(`^${INVALID}\nrequest_id: [0-9a-f]{32}\n$`));
      // The client's connection outlives the failure.
      client.write("GET /origin/fine HTTP/1.1\r\nHost: a\r\n\r\n");
      assert.equal((await client.read()).body.toString(), "fine");
    });
  }

  for (const name of Object.keys(CUT_SHORT)) {
    it(`a response that breaks off ${name} breaks off at the client too`, async () => {
      await using client = await openRaw(gateway.ports.proxy);
      client.write(`GET /origin${slug(name)} HTTP/1.1\r\nHost: a\r\n\r\n`);
      await assert.rejects(client.read(), /ended in the middle/);
      await assertServes();
    });
  }

  it("a response that breaks off looks no better to a client of HTTP/1.0, for whom the end is the end", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(`GET /origin${slug("between chunks")} HTTP/1.0\r\n\r\n`);
    await assert.rejects(client.read(), /was reset in the middle/);
    await assertServes();
  });

  for (const [accept, type, pattern] of [
    [
      "application/json",
      "application/json",
      /^\{\n {2}"message":"no Route matched with those values",\n {2}"request_id":"[0-9a-f]{32}"\n\}$/,
    ],
    ["*/*", "application/json", /^\{\n {2}"message"/],
    ["image/png", "application/json", /^\{\n {2}"message"/],
    ["text/plain", "text/plain", /^no Route matched with those values\nrequest_id: [0-9a-f]{32}\n$/],
    ["text/html", "text/html", /<h1>Error<\/h1>\s*<p>no Route matched with those values\.<\/p>/],
    [
      "application/xml",
      "application/xml",
      /<error>\s*<message>no Route matched with those values<\/message>\s*<requestid>[0-9a-f]{32}<\/requestid>\s*<\/error>/,
    ],
    ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html", /<h1>/],
    ["text/html;q=0.1, application/xml;q=0.5", "application/xml", /<error>/],
    ["text/plain;q=0", "application/json", /^\{/],
    ["garbage;;q=x,,", "application/json", /^\{/],
  ] as const) {
    it(`Accept: ${accept} gets ${type}`, async () => {
      const answer = await send(`${gateway.url}/nowhere`, { headers: { Accept: accept } });
      assert.equal(answer.status, 404);
      assert.equal(answer.header("content-type"), `${type}; charset=utf-8`);
      assert.match(answer.body, pattern);
    });
  }

  it("without Accept the form is error_default_type: text/plain", async () => {
    const answer = await send(`${gateway.url}/refused/`);
    assert.equal(answer.header("content-type"), "text/plain; charset=utf-8");
    assert.match(answer.body, new RegExp(`^${INVALID}\nrequest_id: [0-9a-f]{32}\n$`));
  });

  it("without Accept the gateway's own errors are JSON, as Kong's response.error makes them", async () => {
    const answer = await send(`${gateway.url}/nowhere`);
    assert.equal(answer.header("content-type"), "application/json; charset=utf-8");
  });

  it("without Accept an upstream's failure goes by the request's Content-Type", async () => {
    const answer = await send(`${gateway.url}/refused/`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: "{}",
    });
    assert.equal(answer.header("content-type"), "application/json; charset=utf-8");
  });

  it("the request id in the body is the one in the header", async () => {
    const answer = await send(`${gateway.url}/nowhere`, { headers: { Accept: "application/json" } });
    assert.equal((answer.json() as { request_id: string }).request_id, answer.header("x-kong-request-id"));
  });

  it("an error answers HEAD without a body and with its length", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write("HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    const answer = await client.read({ head: true });
    assert.equal(answer.status, 404);
    assert.ok(Number(new Map(answer.headers).get("Content-Length")) > 0);
    client.write("GET /origin/fine HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.read()).body.toString(), "fine");
  });

  it("what is no request is a 400, and the log does not take it for the request before it", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write("HEAD /origin/fine HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal((await client.read({ head: true })).status, 200);
    client.write("\x00garbage\r\n\r\n");
    const answer = await client.read();
    assert.equal(answer.status, 400);
    assert.match(answer.body.toString(), /^Bad request\n/);
    await client.closed();
  });

  it("the log says why an upstream failed, with the request's id", async () => {
    const answer = await send(`${gateway.url}/refused/`);
    const id = answer.header("x-kong-request-id");
    const line = await gateway.log((entry) => entry.request_id === id);
    assert.equal(line.code, "upstream_connect");
    assert.equal(line.route, "refused");
    assert.match(String(line.msg), /ECONNREFUSED/);
    const [raw] = await exchangeRaw(gateway.ports.proxy, "GET /origin/fine HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(raw?.status, 200);
  });
});
