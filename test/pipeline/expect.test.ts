/** `Expect: 100-continue`: the upstream decides, and nobody sends a body that is not wanted. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { openRaw } from "../support/raw-client.ts";
import { fieldOf, type RawOrigin, startRawOrigin } from "../support/raw-origin.ts";

const refusal = (status: string) => `HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nno`;

describe("Expect: 100-continue", () => {
  let origin: RawOrigin;
  let gateway: Gateway;

  before(async () => {
    origin = await startRawOrigin(({ socket, path, rest }) => {
      const answer = (body: Buffer) => {
        if (body.length === 0) return;
        socket.off("data", answer); // the connection is kept: what follows is the next request
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      };
      if (path === "/417") socket.write(refusal("417 Expectation Failed"));
      else if (path === "/401") socket.write(refusal("401 Unauthorized"));
      else {
        if (path === "/accept") socket.write("HTTP/1.1 100 Continue\r\n\r\n");
        socket.on("data", answer);
        answer(rest);
      }
    });
    const route = (name: string, plugins: object[]) => ({
      name,
      paths: [`/${name}`],
      strip_path: false,
      plugins,
    });
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [
          {
            name: "origin",
            url: origin.url,
            routes: [
              route("", []),
              route("terminated", [{ name: "request-termination", config: { status_code: 403 } }]),
              route("buffered", [{ name: "request-transformer", config: { add: { body: ["b:2"] } } }]),
            ].map((entry) => (entry.name === "" ? { ...entry, name: "plain" } : entry)),
          },
        ],
      },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  const head = (path: string, version = "1.1") =>
    `POST ${path} HTTP/${version}\r\nHost: a\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n`;
  const BODY = '{"a":1}';

  it("an upstream that accepts is asked first, then gets the body", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(head("/accept"));
    assert.equal((await client.read()).status, 100);
    client.write(BODY);
    assert.equal((await client.read()).body.toString(), BODY);
    assert.equal(fieldOf(origin.heads.at(-1) as string, "expect"), "100-continue");
  });

  for (const status of [417, 401]) {
    it(`a ${status} from the upstream reaches the client that has not sent its body`, async () => {
      await using client = await openRaw(gateway.ports.proxy);
      client.write(head(`/${status}`));
      const answer = await client.read();
      assert.equal(answer.status, status);
      assert.equal(answer.body.toString(), "no");
    });
  }

  it("a client whose body was refused learns that the connection ends: its body may or may not follow", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(head("/401"));
    assert.equal(new Map((await client.read()).headers).get("Connection"), "close");
    await client.closed();
  });

  it("a client that tires of waiting for an upstream that ignores it sends its body and is served", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(head("/ignore"));
    while (!origin.paths.includes("/ignore")) await new Promise((resolve) => setTimeout(resolve, 5));
    client.write(BODY);
    assert.equal((await client.read()).body.toString(), BODY);
  });

  it("a client that does not wait is served as any other", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(head("/accept") + BODY);
    assert.equal((await client.read()).status, 100);
    assert.equal((await client.read()).body.toString(), BODY);
  });

  it("a plugin that answers spares the client its body", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(head("/terminated"));
    const answer = await client.read();
    assert.equal(answer.status, 403);
    assert.equal(new Map(answer.headers).get("Connection"), "close");
  });

  it("a plugin that needs the body has the gateway ask for it", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(head("/buffered"));
    assert.equal((await client.read()).status, 100);
    client.write(BODY);
    assert.deepEqual(JSON.parse((await client.read()).body.toString()), { a: 1, b: "2" });
    assert.equal(
      fieldOf(origin.heads.at(-1) as string, "expect"),
      undefined,
      "the body is on its way already",
    );
  });

  it("in HTTP/1.0 it means nothing: no interim answer is sent", async () => {
    await using client = await openRaw(gateway.ports.proxy);
    client.write(head("/buffered", "1.0"));
    client.write(BODY);
    const answer = await client.read();
    assert.equal(answer.status, 200);
    assert.deepEqual(JSON.parse(answer.body.toString()), { a: 1, b: "2" });
  });
});
