/** What the data plane counts of its own: refusals, failed handshakes, bodies on disk; under fixed labels, from 0 on. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { after, before, describe, it } from "node:test";
import { type ConnectionOptions, connect } from "node:tls";
import { ERRORS } from "../../src/errors.ts";
import { HANDSHAKE_FAILURES, type HandshakeFailure } from "../../src/tls/handshake-failure.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { openRaw } from "../support/raw-client.ts";
import { requireProgram } from "../support/services.ts";
import { capturedHello } from "../tls/client.ts";

const KIB = 1024;
const FORM = "application/x-www-form-urlencoded";

describe("metrics of the data plane", () => {
  let origin: Origin;
  let gateway: Gateway;
  let node: string;

  before(async () => {
    origin = await startOrigin();
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [
          {
            url: origin.url,
            routes: [
              {
                paths: ["/"],
                plugins: [{ name: "request-transformer", config: { remove: { body: ["secret"] } } }],
              },
            ],
          },
        ],
      },
      settings: {
        proxy_listen: "127.0.0.1:0, 127.0.0.1:0 ssl",
        data_threads: "1",
        client_head_timeout_ms: "500",
        client_max_body_size: "8m",
      },
    });
    const { node_id } = (await send(`${gateway.adminUrl}/`)).json() as { node_id: string };
    node = `node_id="${node_id}"`;
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
  });

  async function sample(name: string): Promise<number | undefined> {
    const { body } = await send(`${gateway.statusUrl}/metrics`);
    const line = body.split("\n").find((candidate) => candidate.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  async function until(name: string, value: number): Promise<void> {
    while ((await sample(name)) !== value) await new Promise((resolve) => setImmediate(resolve));
  }

  const refusals = (status: number, reason: string) =>
    `gatehouse_requests_refused_total{${node},status="${status}",reason="${reason}"}`;
  const failures = (reason: HandshakeFailure) =>
    `gatehouse_tls_handshake_failures_total{${node},reason="${reason}"}`;

  const REFUSED: readonly (readonly [code: keyof typeof ERRORS, request: string])[] = [
    ["bad_request_line", "GET /\r\n\r\n"],
    ["bad_framing", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["bad_host", "GET / HTTP/1.1\r\n\r\n"],
    ["request_timeout", "GET / HTTP/1.1\r\nHost: a\r\n"],
    ["body_too_large", `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${9 * KIB * KIB}\r\n\r\n`],
    ["url_too_long", `GET /${"a".repeat(20 * KIB)} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ["misdirected", "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["head_too_large", `GET / HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(40 * KIB)}\r\n\r\n`],
    ["transfer_coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"],
    ["http_version", "GET / HTTP/3.0\r\nHost: a\r\n\r\n"],
  ];

  for (const [code, request] of REFUSED) {
    const { status } = ERRORS[code];
    it(`a request that is answered with ${status} (${code}) is counted once, under both`, async () => {
      assert.equal(await sample(refusals(status, code)), 0);
      await using client = await openRaw(gateway.ports.proxy);
      client.write(request);
      assert.equal((await client.read()).status, status);
      assert.equal(await sample(refusals(status, code)), 1);
    });
  }

  const dial = (options: ConnectionOptions) => {
    const socket = connect({
      port: gateway.ports.proxy_ssl as number,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      ...options,
    });
    socket.on("error", () => {});
    return socket;
  };

  const FAILING: readonly (readonly [reason: HandshakeFailure, what: string, options: ConnectionOptions])[] =
    [
      [
        "protocol_version",
        "a client of an old version alone",
        { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
      ],
      [
        "no_shared_parameters",
        "a client of other ciphers alone",
        { maxVersion: "TLSv1.2", ciphers: "AES128-SHA" },
      ],
    ];
  for (const [reason, what, options] of FAILING)
    it(`${what} is a failed handshake (${reason})`, async () => {
      assert.equal(await sample(failures(reason)), 0);
      await new Promise((resolve) => dial(options).on("close", resolve));
      await until(failures(reason), 1);
    });

  it("a client that does not trust the certificate, and says so, is a failed handshake (client_alert)", async () => {
    const port = String(gateway.ports.proxy_ssl);
    const client = spawn(
      requireProgram("openssl"),
      ["s_client", "-connect", `127.0.0.1:${port}`, "-verify_return_error"],
      {
        stdio: "ignore",
      },
    );
    await once(client, "exit");
    await until(failures("client_alert"), 1);
  });

  it("plain HTTP, and a client that leaves or stops in the middle, are failed handshakes", async () => {
    const port = gateway.ports.proxy_ssl as number;
    await using plain = await openRaw(port);
    plain.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await plain.read();
    await plain[Symbol.asyncDispose]();
    await until(failures("plain_http"), 1);

    const hello = await capturedHello({});
    const leaving = connectTcp({ port, host: "127.0.0.1" });
    leaving.end(hello.subarray(0, 40));
    await until(failures("client_left"), 1);

    const stopping = connectTcp({ port, host: "127.0.0.1" }).on("error", () => {});
    stopping.write(hello.subarray(0, 40));
    await until(failures("timeout"), 1);
    stopping.destroy();
  });

  it("a connection that ends before it says anything is no failed handshake", async () => {
    const before = await Promise.all(HANDSHAKE_FAILURES.map((reason) => sample(failures(reason))));
    const silent = connectTcp({ port: gateway.ports.proxy_ssl as number, host: "127.0.0.1" });
    await once(silent, "connect");
    silent.end();
    await once(silent.resume(), "close");
    const after = await Promise.all(HANDSHAKE_FAILURES.map((reason) => sample(failures(reason))));
    assert.deepEqual(after, before);
  });

  it("a body that goes to disk is counted, and shows as long as it is there", async () => {
    const now = [`gatehouse_spilled_bodies{${node}}`, `gatehouse_spilled_bytes{${node}}`] as const;
    for (const gauge of now) assert.equal(await sample(gauge), 0);
    const client = connectTcp({ port: gateway.ports.proxy, host: "127.0.0.1" });
    client.write(
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ${FORM}\r\nContent-Length: ${KIB * KIB}\r\n\r\n` +
        "a".repeat(600 * KIB),
    );
    await until(now[0], 1);
    assert.ok(((await sample(now[1])) as number) > 0);
    client.destroy();
    for (const gauge of now) await until(gauge, 0);
    assert.equal(await sample(`gatehouse_spilled_bodies_total{${node}}`), 1);
    assert.ok(((await sample(`gatehouse_spilled_bytes_total{${node}}`)) as number) >= 256 * KIB);
  });

  it("what clients send makes no series", async () => {
    const { body } = await send(`${gateway.statusUrl}/metrics`);
    const lines = body.split("\n").filter((line) => /^gatehouse_(requests_refused|tls_handshake)/.test(line));
    const refusals = Object.entries(ERRORS).filter(
      ([code, { source }]) => source === "downstream" && code !== "client_closed",
    );
    assert.equal(lines.length, refusals.length + HANDSHAKE_FAILURES.length);
  });
});
