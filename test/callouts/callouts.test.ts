/**
 * What plugins fetch, through the real connector, from real servers on loopback addresses: 127.0.0.2 stands for the
 * world outside, 127.0.0.1 for what no guest may reach.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { createServer as createPlainServer, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import type { FetchRequest } from "@gatehouse/sdk";
import { CALLOUT_LIMITS, type CalloutLimits, Callouts } from "../../src/callouts/callouts.ts";
import { Egress } from "../../src/egress/egress.ts";
import { Policies } from "../../src/egress/policies.ts";
import { HostCallError } from "../../src/sandbox/calls/host-call-error.ts";
import { Resolver } from "../../src/upstream/resolver.ts";
import { type NameServer, startNameServer } from "../support/name-server.ts";

interface Arrived {
  readonly at: string;
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly body: string;
}

const NAMES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "api.test": [["127.0.0.2"]],
  "other.test": [["127.0.0.2"]],
  "inside.test": [["127.0.0.1"]],
  "rebinds.test": [["127.0.0.2"], ["127.0.0.1"]],
};

describe("a plugin's requests", () => {
  let names: NameServer;
  let server: Server;
  let port: number;
  let arrived: Arrived[] = [];
  const opened: Callouts[] = [];
  /** What the server does at `/endless`: told when its client has gone. */
  let endlessClosed: Promise<unknown> = Promise.resolve();

  before(async () => {
    names = await startNameServer((name, before) => {
      const answers = NAMES[name] ?? (/^many\d+\.test$/.test(name) ? [["127.0.0.2"]] : []);
      return answers[Math.min(before, answers.length - 1)] ?? [];
    });
    server = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request.setEncoding("latin1")) body += chunk;
      const { localAddress: at = "" } = request.socket;
      const url = request.url as string;
      arrived.push({ at, method: request.method as string, url, headers: request.rawHeaders, body });
      const redirect = /^\/(30\d)\/(.+)$/.exec(url);
      if (redirect !== null)
        response
          .writeHead(Number(redirect[1]), { location: decodeURIComponent(redirect[2] as string) })
          .end(url.includes("large") ? Buffer.alloc(4 << 20) : "gone");
      else if (url === "/endless") {
        endlessClosed = once(response, "close");
        const more = () => {
          while (response.write("x".repeat(65_536)));
          response.once("drain", more);
        };
        more();
      } else if (url === "/silent") response.flushHeaders();
      else if (url.startsWith("/stalls/")) response.write("z".repeat(Number(url.slice(8))));
      else if (url === "/headers") response.writeHead(200, { "x-long": "y".repeat(40_000) }).end();
      else if (url.startsWith("/size/")) response.end("z".repeat(Number(url.slice(6))));
      else
        response
          .writeHead(201, [
            "Set-Cookie",
            "a=1",
            "Set-Cookie",
            "b=2",
            "X-Latin",
            "\u00e4",
            "Keep-Alive",
            "timeout=9",
          ])
          .end(Buffer.from([0, 255, 10]));
    });
    await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
    port = (server.address() as { port: number }).port;
  });
  after(async () => {
    for (const callouts of opened) callouts.close();
    server.closeAllConnections();
    server.close();
    await names[Symbol.asyncDispose]();
  });

  function egressOf(guestAllow = ["127.0.0.2"]): Egress {
    const settings = { egressAllow: [], egressDeny: [], egressGuestAllow: guestAllow };
    return new Egress({
      policies: Policies.of(settings),
      resolver: new Resolver({ servers: [names.address], hostsFile: "/etc/hosts" }),
      onRefused: () => {},
    });
  }

  function open(limits: Partial<CalloutLimits> = {}, egress = egressOf()): Callouts {
    arrived = [];
    const callouts = new Callouts(egress, null, { ...CALLOUT_LIMITS, ...limits });
    opened.push(callouts);
    return callouts;
  }

  /** `hosts` get the server's port. */
  const send = (
    request: FetchRequest,
    hosts: readonly string[] = ["api.test"],
    callouts = open(),
    caller = { workspace: "acme", plugin: "p", purpose: "guest" as const },
  ) => callouts.fetch({ ...caller, hosts: hosts.map((host) => `${host}:${port}`) }, request);
  const url = (host: string, path = "/") => `http://${host}:${port}${path}`;
  const says = (pattern: RegExp) => (error: Error) =>
    error instanceof HostCallError && pattern.test(error.message);
  const header = (name: string) => {
    const headers = arrived.at(-1)?.headers ?? [];
    return headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === name);
  };

  it("carry method, headers and body, and bring the answer back byte by byte", async () => {
    const body = Buffer.from([0, 200, 13, 10]);
    const headers = [
      ["X-Mine", "1"],
      ["x-mine", "2"],
    ] as const;
    const answer = await send({ url: url("api.test", "/a%20b?c=d"), method: "put", headers, body });
    assert.equal(answer.status, 201);
    assert.deepEqual([...answer.body], [0, 255, 10]);
    const shown = answer.headers.filter(
      ([name]) => !["date", "transfer-encoding"].includes(name.toLowerCase()),
    );
    assert.deepEqual(shown, [
      ["Set-Cookie", "a=1"],
      ["Set-Cookie", "b=2"],
      ["X-Latin", "\u00e4"],
    ]);
    const [got] = arrived;
    assert.deepEqual(
      [got?.method, got?.url, got?.body, got?.at],
      ["PUT", "/a%20b?c=d", body.toString("latin1"), "127.0.0.2"],
    );
    assert.deepEqual(header("x-mine"), ["1", "2"]);
    assert.deepEqual(header("host"), [`api.test:${port}`]);
    assert.deepEqual(header("content-length"), ["4"]);
  });

  it("carry nothing that the plugin did not write: no cookie, no credential, no name of the gateway", async () => {
    const callouts = open();
    for (let i = 0; i < 2; i++) await send({ url: url("api.test") }, ["api.test"], callouts);
    const names = arrived.flatMap(({ headers }) => headers.filter((_, i) => i % 2 === 0));
    assert.deepEqual([...new Set(names.map((name) => name.toLowerCase()))].sort(), ["connection", "host"]);
  });

  describe("are refused before anything is sent", () => {
    for (const [title, request, wrong] of [
      ["to a host that is not granted", { url: "http://evil.test/" }, /evil.test is not among the hosts/],
      ["to another port of a granted host", { url: "http://api.test:1/" }, /api.test:1 is not among/],
      ["by http where https is granted", { url: "http://plain.test/" }, /plain.test is not among/],
      ["with user and password", { url: "http://u:p@api.test/" }, /has a user or password/],
      ["by another scheme", { url: "file:///etc/passwd" }, /not an absolute one of http/],
      ["by no scheme", { url: "//api.test/" }, /not an absolute one of http/],
      ["with a line end in the URL", { url: "http://api.test/\r\nX: y" }, /not an absolute one of http/],
      ["with a tab in the host", { url: "http://ev\til.test/" }, /not an absolute one of http/],
      [
        "with a backslash in the host",
        { url: "http://evil.test\\@api.test/" },
        /not an absolute one of http/,
      ],
      [
        "with a URL of 4097 characters",
        { url: `http://api.test/${"a".repeat(4081)}` },
        /not an absolute one/,
      ],
      ["with a method that ends the line", { method: "GET / HTTP/1.1\r\nX: y" }, /the method is none of/],
      ["by CONNECT", { method: "CONNECT" }, /the method is none of/],
      ["by TRACE", { method: "TRACE" }, /the method is none of/],
      [
        "with a line end in a header's name",
        { headers: [["a\r\nb", "c"]] },
        /a header name that is no token/,
      ],
      [
        "with a line end in a header's value",
        { headers: [["a", "b\r\nc: d"]] },
        /control characters .* header a/,
      ],
      ["with a bare line feed in a value", { headers: [["a", "b\nc"]] }, /control characters/],
      ["with a NUL in a value", { headers: [["a", "b\0"]] }, /control characters/],
      [
        "with a character that would lose its upper byte",
        { headers: [["a", "\u010a"]] },
        /control characters/,
      ],
      ["with a length of its own", { headers: [["Content-Length", "1"]] }, /content-length is the gateway's/],
      ["with chunks of its own", { headers: [["Transfer-Encoding", "chunked"]] }, /transfer-encoding is the/],
      ["with another Host", { headers: [["Host", "evil.test"]] }, /host is the gateway's/],
      ["with an upgrade", { headers: [["Upgrade", "websocket"]] }, /upgrade is the gateway's/],
      ["with a hop-by-hop header", { headers: [["Connection", "close"]] }, /connection is the gateway's/],
      ["with 51 headers", { headers: Array.from({ length: 51 }, () => ["a", "b"]) }, /more than 50 headers/],
      [
        "with 16 KiB of headers",
        { headers: [["a", "b".repeat(16_384)]] },
        /headers of more than 16384 bytes/,
      ],
      [
        "with a body of 128 KiB and one",
        { method: "POST", body: "x".repeat(131_073) },
        /a body of more than 131072/,
      ],
      ["with a body where there is none", { body: "x" }, /a GET request has no body/],
    ] as const)
      it(title, async () => {
        const callouts = open();
        const asked = { url: "http://api.test/", ...request } as FetchRequest;
        const hosts = ["api.test:80", "plain.test"];
        await assert.rejects(
          callouts.fetch({ workspace: "acme", plugin: "p", purpose: "guest", hosts }, asked),
          says(wrong),
        );
        assert.deepEqual(arrived, []);
        assert.deepEqual(
          names.asked.filter((name) => name === "evil.test"),
          [],
        );
      });
  });

  describe("do not reach what the egress policy keeps from guests, though the grant names it", () => {
    for (const host of [
      "127.0.0.1",
      "localhost",
      "169.254.169.254",
      "10.0.0.1",
      "[::1]",
      "[::ffff:127.0.0.1]",
      "[fd00:ec2::254]",
      "0.0.0.0",
      "2130706433",
      "0x7f.1",
      "0177.0.0.1",
      "127.1",
      "inside.test",
    ])
      it(host, async () => {
        const named = new URL(`http://${host}/`).hostname;
        await assert.rejects(send({ url: url(host) }, [named]), says(/egress policy does not allow/));
        assert.deepEqual(arrived, []);
      });

    it("a name that leads inside the next time it is asked for", async () => {
      const callouts = open();
      const request = { url: url("rebinds.test", "/size/1") };
      assert.equal((await send(request, ["rebinds.test"], callouts)).status, 200);
      callouts.close();
      // The name's answer holds for a second: until it does not, requests go where it led.
      for (;;) {
        const again = open();
        const outcome = await send(request, ["rebinds.test"], again).then(
          () => null,
          (error: Error) => error.message,
        );
        assert.ok(arrived.every(({ at }) => at === "127.0.0.2"));
        if (outcome === null) continue;
        assert.match(outcome, /egress policy does not allow rebinds.test/);
        break;
      }
    });
  });

  describe("follow redirects", () => {
    const to = (target: string) => encodeURIComponent(target);

    it("up to three times, and no further", async () => {
      const hop = (target: string) => url("api.test", `/302/${to(target)}`);
      const three = hop(hop(hop(url("api.test", "/end"))));
      assert.equal((await send({ url: three })).status, 201);
      assert.equal(arrived.length, 4);
      await assert.rejects(send({ url: hop(three) }), says(/more than 3 redirects/));
      assert.equal(arrived.length, 4);
    });

    it("without what the answer itself says, however much that is", async () => {
      const large = url("api.test", `/302/${to(url("api.test", "/large"))}`);
      assert.equal((await send({ url: large }, ["api.test"], open({ answerBytes: 1000 }))).status, 201);
    });

    for (const [status, method, becomes] of [
      [301, "POST", "GET"],
      [302, "POST", "GET"],
      [303, "PUT", "GET"],
      [303, "HEAD", "HEAD"],
      [302, "PUT", "PUT"],
      [307, "POST", "POST"],
      [308, "POST", "POST"],
    ] as const)
      it(`${status} makes ${method} a ${becomes}`, async () => {
        const body = method === "HEAD" ? null : "body";
        const headers = [["Content-Type", "text/plain"]] as const;
        await send({ url: url("api.test", `/${status}/${to("/next")}`), method, body, headers });
        const keeps = becomes === method;
        assert.deepEqual(
          [arrived[1]?.method, arrived[1]?.body],
          [becomes, keeps && body !== null ? "body" : ""],
        );
        assert.deepEqual(header("content-type"), keeps ? ["text/plain"] : []);
      });

    it("to another origin without credentials, and to their own with them", async () => {
      const headers = [
        ["Authorization", "Bearer t"],
        ["Cookie", "a=1"],
        ["X-Mine", "1"],
      ] as const;
      const hosts = ["api.test", "other.test"];
      await send({ url: url("api.test", `/307/${to(url("other.test", "/x"))}`), headers }, hosts);
      assert.deepEqual([header("authorization"), header("cookie"), header("x-mine")], [[], [], ["1"]]);
      await send({ url: url("api.test", `/307/${to("/x")}`), headers }, hosts);
      assert.deepEqual([header("authorization"), header("cookie")], [["Bearer t"], ["a=1"]]);
    });

    for (const [title, target, wrong] of [
      ["a host that is not granted", () => url("other.test"), /other.test:\d+ is not among the hosts/],
      ["a granted host that is inside", () => url("inside.test"), /egress policy does not allow inside.test/],
      ["an address inside", () => url("127.0.0.1"), /127.0.0.1:\d+ is not among the hosts/],
      ["another scheme", () => "file:///etc/passwd", /not an absolute one of http/],
      ["user and password", () => `http://u:p@api.test:${port}/`, /has a user or password/],
      ["nothing that is a URL", () => "http://", /not an absolute one of http/],
    ] as const)
      it(`but not to ${title}`, async () => {
        const request = { url: url("api.test", `/302/${to(target())}`) };
        await assert.rejects(send(request, ["api.test", "inside.test"]), says(wrong));
        assert.deepEqual(
          arrived.map(({ at }) => at),
          ["127.0.0.2"],
        );
      });
  });

  it("are cut when the answer does not end", async () => {
    await assert.rejects(send({ url: url("api.test", "/endless") }), says(/more than 1048576 bytes/));
    await endlessClosed;
  });

  it("may be answered with as much as the bound, and no byte more", async () => {
    const callouts = open({ answerBytes: 1000 });
    assert.equal(
      (await send({ url: url("api.test", "/size/1000") }, ["api.test"], callouts)).body.length,
      1000,
    );
    await assert.rejects(
      send({ url: url("api.test", "/size/1001") }, ["api.test"], callouts),
      (error) => says(/more than 1000/)(error as Error) && (error as HostCallError).bytesRead === 1001,
      "it tells how much was read in vain",
    );
  });

  it("fail when the answer's headers are too long", async () => {
    await assert.rejects(
      send({ url: url("api.test", "/headers") }),
      says(/more than 32768 bytes of headers/),
    );
  });

  it("fail when there is no whole answer in time", async () => {
    const callouts = open({ totalMs: 50 });
    await assert.rejects(
      send({ url: url("api.test", "/silent") }, ["api.test"], callouts),
      says(/no whole answer from api.test:\d+ within 50 ms/),
    );
  });

  it("fail when a server does not speak HTTP, or closes", async () => {
    for (const [said, wrong] of [
      ["220 mail.test ESMTP\r\n", /did not answer in HTTP/],
      ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", /did not answer in HTTP/],
      ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", /could not be reached/],
      ["", /could not be reached/],
    ] as const) {
      const odd = createPlainServer((socket) =>
        socket
          .on("error", () => {})
          .resume()
          .end(said),
      );
      await new Promise<void>((resolve) => odd.listen(0, "127.0.0.2", resolve));
      odd.unref();
      const at = (odd.address() as { port: number }).port;
      const caller = { workspace: "acme", plugin: "p", purpose: "guest" as const, hosts: [`api.test:${at}`] };
      await assert.rejects(open().fetch(caller, { url: `http://api.test:${at}/` }), says(wrong), said);
      await new Promise((resolve) => odd.close(resolve));
    }
  });

  it("end with the call that they were sent in, and leave their place", async () => {
    const callouts = open({ perWorkspace: 1 });
    const caller = { workspace: "acme", plugin: "p", purpose: "guest" as const, hosts: [`api.test:${port}`] };
    const call = new AbortController();
    const sent = callouts.fetch(caller, { url: url("api.test", "/silent") }, call.signal);
    call.abort();
    await assert.rejects(sent, says(/the call that it was sent in has ended/));
    await assert.rejects(callouts.fetch(caller, { url: url("api.test") }, call.signal), says(/has ended/));
    assert.equal((await callouts.fetch(caller, { url: url("api.test") })).status, 201);
  });

  it("of one workspace are bounded in number, and others go on", async () => {
    const callouts = open({ perWorkspace: 2, totalMs: 300 });
    const slow = () => send({ url: url("api.test", "/silent") }, ["api.test"], callouts);
    const first = [slow(), slow()].map((one) => one.catch((error: Error) => error.message));
    await assert.rejects(slow(), says(/2 requests of the workspace are under way/));
    const other = { workspace: "other", plugin: "p", purpose: "guest" as const };
    assert.equal((await send({ url: url("api.test") }, ["api.test"], callouts, other)).status, 201);
    for (const outcome of await Promise.all(first)) assert.match(String(outcome), /no whole answer/);
    assert.equal((await send({ url: url("api.test") }, ["api.test"], callouts)).status, 201);
  });

  it("of many workspaces are bounded together, and one with few gets through", async () => {
    const callouts = open({ perWorkspace: 4, total: 4, totalMs: 300 });
    const of = (workspace: string, path: string) =>
      send({ url: url("api.test", path) }, ["api.test"], callouts, {
        workspace,
        plugin: "p",
        purpose: "guest",
      });
    const slow = [1, 2, 3, 4].map(() => of("greedy", "/silent").catch((error: Error) => error.message));
    assert.equal((await of("modest", "/")).status, 201);
    for (const outcome of await Promise.all(slow)) assert.match(String(outcome), /no whole answer/);
  });

  it("take no more memory than a workspace's part, though each answer is small enough", async () => {
    const callouts = open({ answerBytes: 100_000, heldPerWorkspace: 250_000, totalMs: 500 });
    const of = (path: string) => send({ url: url("api.test", path) }, ["api.test"], callouts);
    const outcomes = await Promise.all(
      [1, 2, 3, 4].map(() => of("/stalls/90000").catch((error: Error) => error.message)),
    );
    const refused = outcomes.filter((outcome) => /take too much memory/.test(String(outcome)));
    const late = outcomes.filter((outcome) => /no whole answer/.test(String(outcome)));
    assert.deepEqual([refused.length, late.length], [2, 2], outcomes.join("\n"));
    assert.equal((await of("/size/90000")).body.length, 90_000);
  });

  it("leave no more connections open than a workspace may have, whatever hosts it asks", async () => {
    const callouts = open({ connectionsPerWorkspace: 4 });
    const hosts = Array.from({ length: 12 }, (_, i) => `many${i}.test`);
    let openNow = 0;
    let most = 0;
    const count = (socket: Socket) => {
      most = Math.max(most, ++openNow);
      socket.once("close", () => openNow--);
    };
    server.on("connection", count);
    for (const host of hosts) assert.equal((await send({ url: url(host) }, [host], callouts)).status, 201);
    server.off("connection", count);
    // One that is opened in place of those that are closed is accepted before their ends are seen.
    assert.ok(most <= 6, `${most}`);
  });

  for (const [what, said, wrong] of [
    [
      "an answer that comes a byte at a time",
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${"1\r\nx\r\n".repeat(20_000)}0\r\n\r\n`,
      /in too many small pieces/,
    ],
    [
      "answers 1xx without end",
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(20_000),
      /does not come to an answer/,
    ],
  ] as const) {
    it(`give up on ${what}`, async () => {
      const odd = createPlainServer((socket) => void socket.on("error", () => {}).end(said));
      await new Promise<void>((resolve) => odd.listen(0, "127.0.0.2", resolve));
      const at = (odd.address() as { port: number }).port;
      const caller = { workspace: "acme", plugin: "p", purpose: "guest" as const, hosts: [`api.test:${at}`] };
      const callouts = open();
      await assert.rejects(callouts.fetch(caller, { url: `http://api.test:${at}/` }), says(wrong));
      await new Promise((resolve) => odd.close(resolve));
    });
  }

  it("go by the policy that is in force, also where a connection was kept", async () => {
    const egress = egressOf();
    const callouts = open({}, egress);
    await send({ url: url("api.test") }, ["api.test"], callouts);
    egress.policies = egressOf([]).policies;
    await assert.rejects(
      send({ url: url("api.test") }, ["api.test"], callouts),
      says(/egress policy does not allow/),
    );
    assert.equal(arrived.length, 1);
  });

  it("of one workspace never use a connection of another", async () => {
    const callouts = open();
    const sockets = new Set<number>();
    server.on("request", ({ socket }) => sockets.add(socket.remotePort as number));
    for (const workspace of ["one", "two", "one", "two"])
      await send({ url: url("api.test") }, ["api.test"], callouts, {
        workspace,
        plugin: "p",
        purpose: "guest",
      });
    assert.equal(sockets.size, 2);
  });
});
