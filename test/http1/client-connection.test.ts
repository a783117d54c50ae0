/** The upstream's side of the proxy over real sockets: reuse, ends of responses, and upstreams that misbehave. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { ErrorCode } from "../../src/errors.ts";
import {
  ClientConnection,
  type ConnectionPool,
  type Place,
  type UpstreamOwner,
} from "../../src/http1/client-connection.ts";
import { Deadlines } from "../../src/http1/deadlines.ts";
import type { ResponseHead } from "../../src/http1/head.ts";
import type { HeaderList } from "../../src/http1/headers.ts";
import { UpstreamTls } from "../../src/tls/upstream-tls.ts";
import { LIMITS } from "./harness.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LONG_MS = 60_000;

/** One request: what its upstream said. */
class Asking implements UpstreamOwner {
  readonly connected = Promise.withResolvers<void>();
  /** Resolves with the status, or with the error's code. */
  readonly answered = Promise.withResolvers<number | ErrorCode>();
  readonly informed: number[] = [];
  status = 0;
  body = "";
  trailers: [string, string][] = [];
  fresh = true;
  detail = "";

  onUpstreamConnected(): void {
    this.connected.resolve();
  }
  onUpstreamInformation(head: ResponseHead): void {
    this.informed.push(head.status);
  }
  onUpstreamHead(head: ResponseHead): void {
    this.status = head.status;
  }
  onUpstreamSwitch(): void {}
  onUpstreamBody(piece: Buffer): void {
    this.body += piece.toString("latin1");
  }
  onUpstreamEnd(trailers: HeaderList | null): void {
    this.trailers = trailers?.entries() ?? [];
    this.answered.resolve(this.status);
  }
  onUpstreamFlush(): void {}
  onUpstreamDrain(): void {}
  onUpstreamError(code: ErrorCode, detail: string, fresh: boolean): void {
    this.fresh = fresh;
    this.detail = detail;
    this.answered.resolve(code);
  }
}

class Pool implements ConnectionPool {
  readonly place: Place;
  readonly limits = LIMITS;
  readonly maxRequests = 100;
  idleTimeoutMs = LONG_MS;
  kept: ClientConnection[] = [];

  constructor(port: number) {
    this.place = { address: "127.0.0.1", port, tls: null };
  }
  keep(connection: ClientConnection): boolean {
    this.kept.push(connection);
    return true;
  }
  forget(connection: ClientConnection): void {
    this.kept = this.kept.filter((one) => one !== connection);
  }
}

interface Upstream extends AsyncDisposable {
  readonly pool: Pool;
  /** The upstream's end of the connection that was opened last. */
  readonly socket: Socket;
  /** Opens a connection and asks on it; `whole` is false if the request goes on. */
  ask(options?: { isHead?: boolean; whole?: boolean; readMs?: number }): Promise<Opened>;
}

interface Opened {
  readonly connection: ClientConnection;
  readonly asking: Asking;
}

const timeouts = (readMs = LONG_MS) => ({ connectMs: LONG_MS, readMs, writeMs: LONG_MS });

function begin(connection: ClientConnection, isHead = false, whole = true): void {
  connection.begin(isHead, false);
  connection.wire.writeText(REQUEST);
  if (whole) connection.endRequest();
}

/** An upstream that answers every read with the same bytes, and closes then if `close` is set. */
async function upstream(says: string | ((socket: Socket) => void), close = false): Promise<Upstream> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", () => {
      if (typeof says === "function") return says(socket);
      if (close) socket.end(says, "latin1");
      else socket.write(says, "latin1");
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const pool = new Pool((server.address() as AddressInfo).port);
  const deadlines = new Deadlines();
  const connections: ClientConnection[] = [];
  return {
    pool,
    get socket() {
      return sockets.at(-1) as Socket;
    },
    async ask({ isHead, whole, readMs } = {}) {
      const asking = new Asking();
      const connection = new ClientConnection(pool, deadlines, asking, timeouts(readMs));
      connections.push(connection);
      await asking.connected.promise;
      begin(connection, isHead, whole);
      return { connection, asking };
    },
    async [Symbol.asyncDispose]() {
      for (const { wire } of connections) wire.destroy();
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

const isClosed = async (connection: ClientConnection) => {
  while (!connection.closed) await setImmediate();
};

describe("a connection to an upstream", () => {
  it("serves one request after the other", async () => {
    await using there = await upstream(OK);
    const { connection, asking } = await there.ask();
    assert.equal(await asking.answered.promise, 200);
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(there.pool.kept, [connection]);
      there.pool.forget(connection);
      const next = new Asking();
      connection.reuse(next, timeouts());
      begin(connection);
      assert.equal(await next.answered.promise, 200);
      assert.equal(next.body, "ok");
    }
  });

  const ENDS: [what: string, says: string, kept: boolean, body: string, close?: boolean, isHead?: boolean][] =
    [
      ["a length", OK, true, "ok"],
      [
        "chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n",
        true,
        "ok",
      ],
      ["no body", "HTTP/1.1 204 No Content\r\n\r\n", true, ""],
      ["a length after 103", `HTTP/1.1 103 Early Hints\r\n\r\n${OK}`, true, "ok"],
      ["HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, "", false, true],
      [
        "Connection: close",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        false,
        "ok",
      ],
      ["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "ok"],
      ["the end of the connection", "HTTP/1.1 200 OK\r\n\r\nok", false, "ok", true],
      ["an empty body and the end of the connection", "HTTP/1.1 200 OK\r\n\r\n", false, "", true],
      ["a length, and bytes follow", `${OK}HTTP/1.1 200 OK\r\n\r\n`, false, "ok"],
      ["a length, and a line end follows", `${OK}\r\n`, false, "ok"],
      [
        "chunks, and bytes follow",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n!",
        false,
        "",
      ],
      ["no body, and bytes follow", "HTTP/1.1 204 No Content\r\n\r\nbody", false, ""],
      ["304 with a length, and a body follows", "HTTP/1.1 304 X\r\nContent-Length: 2\r\n\r\nok", false, ""],
      ["HEAD, and a body follows", OK, false, "", false, true],
    ];
  for (const [what, says, kept, body, close, isHead] of ENDS)
    it(`is ${kept ? "kept" : "closed"} after a response that ends with ${what}`, async () => {
      await using there = await upstream(says, close);
      const { connection, asking } = await there.ask({ isHead });
      assert.ok(Number(await asking.answered.promise) >= 200);
      assert.equal(asking.body, body);
      assert.deepEqual(there.pool.kept, kept ? [connection] : []);
      if (!kept) await isClosed(connection);
    });

  it("is never offered again before it is known whether bytes follow the response", async () => {
    await using there = await upstream(`${OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison`);
    const { asking } = await there.ask();
    let offered = -1;
    const { onUpstreamEnd } = asking;
    asking.onUpstreamEnd = function (trailers) {
      offered = there.pool.kept.length;
      onUpstreamEnd.call(this, trailers);
    };
    await asking.answered.promise;
    assert.equal(offered, 0);
  });

  it("is closed when the upstream speaks unasked", async () => {
    await using there = await upstream(OK);
    const { connection, asking } = await there.ask();
    await asking.answered.promise;
    there.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    await isClosed(connection);
    assert.deepEqual(there.pool.kept, []);
  });

  it("is closed when the upstream closes it while idle, or when it idles too long", async () => {
    await using there = await upstream(OK);
    const first = await there.ask();
    await first.asking.answered.promise;
    there.socket.end();
    await isClosed(first.connection);
    there.pool.idleTimeoutMs = 1;
    const second = await there.ask();
    await second.asking.answered.promise;
    await isClosed(second.connection);
    assert.deepEqual(there.pool.kept, []);
  });

  it("is closed after an answer that came before the request had ended", async () => {
    await using there = await upstream(OK);
    const { connection, asking } = await there.ask({ whole: false });
    assert.equal(await asking.answered.promise, 200);
    await isClosed(connection);
    assert.deepEqual(there.pool.kept, []);
  });

  it("cuts off an upstream that answers 1xx without end", async () => {
    await using there = await upstream("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100) + OK);
    const { asking } = await there.ask();
    assert.equal(await asking.answered.promise, "upstream_invalid");
    assert.equal(asking.informed.length, 32);
  });

  it("passes trailers and 1xx answers on", async () => {
    await using there = await upstream(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" +
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nDigest: x\r\n\r\n",
    );
    const { asking } = await there.ask();
    await asking.answered.promise;
    assert.deepEqual(asking.informed, [100, 103]);
    assert.deepEqual(asking.trailers, [["Digest", "x"]]);
  });

  it("reads a response that arrives byte by byte", async () => {
    const says = `HTTP/1.1 103 X\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`;
    await using there = await upstream((socket) => {
      socket.setNoDelay(true);
      void (async () => {
        for (const byte of says) {
          socket.write(byte, "latin1");
          await setImmediate();
        }
      })();
    });
    const { connection, asking } = await there.ask();
    assert.equal(await asking.answered.promise, 200);
    assert.equal(asking.body, "ok");
    assert.deepEqual(there.pool.kept, [connection]);
  });
});

describe("the time of an upstream", () => {
  const HALF = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok";
  const never = Number.POSITIVE_INFINITY;

  it("does not run while its answer is paused for the client, whatever the request does", async () => {
    await using there = await upstream(HALF);
    const { connection, asking } = await there.ask({ whole: false });
    while (asking.body === "") await setImmediate();
    connection.pause();
    connection.endRequest();
    assert.equal(connection.deadline, never, "the request ends");
    connection.onDrain();
    assert.equal(connection.deadline, never, "the request is taken");
    connection.wroteInPart();
    assert.equal(connection.deadline, never, "the request waits");
    connection.resume();
    assert.notEqual(connection.deadline, never, "the answer is read again");
    there.socket.write("!!");
    assert.equal(await asking.answered.promise, 200);
  });

  it("does not run while the client sends", async () => {
    await using there = await upstream(HALF);
    const { connection, asking } = await there.ask({ whole: false });
    while (asking.body === "") await setImmediate();
    connection.pause();
    connection.resume();
    assert.equal(connection.deadline, never);
    connection.endRequest();
    assert.notEqual(connection.deadline, never);
  });
});

describe("an upstream that is not connected yet", () => {
  it("is read once it is, although somebody wanted to read it before", async () => {
    await using there = await upstream(OK);
    const asking = new Asking();
    const connection = new ClientConnection(there.pool, new Deadlines(), asking, timeouts());
    connection.resume();
    assert.ok(connection.wire.paused);
    await asking.connected.promise;
    begin(connection);
    assert.equal(await asking.answered.promise, 200);
    connection.wire.destroy();
    await isClosed(connection);
  });

  it("is an error of its request alone if its TLS cannot be set up", async () => {
    await using there = await upstream(OK);
    const nonsense = { cert: "nonsense", key: "nonsense" };
    const tls = new UpstreamTls({ servername: "a", verify: true, depth: null, ca: null, client: nonsense });
    const pool = Object.assign(new Pool(there.pool.place.port), { place: { ...there.pool.place, tls } });
    const asking = new Asking();
    const deadlines = new Deadlines();
    new ClientConnection(pool, deadlines, asking, timeouts());
    assert.equal(await asking.answered.promise, "upstream_connect");
    assert.match(asking.detail, /^127\.0\.0\.1:\d+: TLS: /);
    while (deadlines.size > 0) await setImmediate();
  });
});

describe("an upstream that fails", () => {
  const FAULTS: [what: string, says: string, code: ErrorCode, close?: boolean][] = [
    ["closes without an answer", "", "upstream_closed", true],
    ["closes in the middle of its head", "HTTP/1.1 200 OK\r\nA: b", "upstream_closed", true],
    [
      "closes in the middle of its body",
      "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
      "upstream_closed",
      true,
    ],
    [
      "closes in the middle of its chunks",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
      "upstream_closed",
      true,
    ],
    ["closes after 100", "HTTP/1.1 100 Continue\r\n\r\n", "upstream_closed", true],
    ["answers nonsense", "hello\r\n\r\n", "upstream_invalid"],
    [
      "sends two lengths",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
      "upstream_invalid",
    ],
    ["sends a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "upstream_invalid"],
    [
      "switches protocols unasked",
      "HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
      "upstream_invalid",
    ],
    [
      "sends a head without end",
      `HTTP/1.1 200 OK\r\nA: ${"b".repeat(LIMITS.maxHeadBytes)}`,
      "upstream_invalid",
    ],
  ];
  for (const [what, says, code, close] of FAULTS)
    it(`is reported when it ${what}`, async () => {
      await using there = await upstream(says, close);
      const { connection, asking } = await there.ask();
      assert.equal(await asking.answered.promise, code);
      await isClosed(connection);
      assert.deepEqual(there.pool.kept, []);
    });

  it("is reported when it does not answer in time", async () => {
    await using there = await upstream(() => {});
    const { asking } = await there.ask({ readMs: 50 });
    assert.equal(await asking.answered.promise, "upstream_timeout");
  });

  it("has no time limit while the client still sends its request", async () => {
    await using there = await upstream(() => {});
    const { connection } = await there.ask({ whole: false, readMs: 50 });
    assert.equal(connection.deadline, Number.POSITIVE_INFINITY);
    connection.endRequest();
    assert.ok(Number.isFinite(connection.deadline));
  });

  it("on a kept connection that it closes before a byte of the answer may only have been stale", async () => {
    let requests = 0;
    await using there = await upstream((socket) => {
      if (++requests === 1) socket.write(OK);
      else socket.destroy();
    });
    const { connection, asking } = await there.ask();
    await asking.answered.promise;
    assert.equal(asking.fresh, true);
    const next = new Asking();
    connection.reuse(next, timeouts());
    begin(connection);
    assert.equal(await next.answered.promise, "upstream_closed");
    assert.equal(next.fresh, false);
  });

  it("by refusing connections is reported as that", async () => {
    const there = await upstream(OK);
    await there[Symbol.asyncDispose]();
    const asking = new Asking();
    new ClientConnection(there.pool, new Deadlines(), asking, timeouts());
    assert.equal(await asking.answered.promise, "upstream_connect");
  });
});
