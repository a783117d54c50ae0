/** `gatehouse explain` as a person runs it: what is printed, to the letter, and how it ends. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { SqliteStore } from "../../src/stores/sqlite/sqlite-store.ts";
import { call, JSON_TYPE } from "../admin/gateway.ts";
import { admit, openRegistry, packageOf, scratch } from "../registry/packages.ts";
import { startGateway } from "../support/gateway.ts";

const PROGRAM = fileURLToPath(new URL("./program.ts", import.meta.url));

const CLASSIC = `
_format_version: "3.0"
services:
  - name: users
    url: http://users-pool/base
    routes:
      - name: users
        hosts: ["*.example.com"]
        paths: [/users, "~/users/(?<id>\\\\d+)"]
        methods: [GET, PUT]
        headers: { X-Version: ["2", "~*^3"] }
        plugins:
          - name: key-auth
          - name: rate-limiting
            config: { minute: 5 }
      - { name: fallback, paths: [/], methods: [GET] }
  - name: bare
    url: https://bare.internal:8443
    routes: [{ name: secure, paths: [/secure], protocols: [https], strip_path: false, preserve_host: true }]
  - { name: closed, url: "http://closed.internal", enabled: false, routes: [{ paths: [/closed] }] }
routes: [{ name: maintenance, paths: [/maintenance], plugins: [{ name: request-termination }] }]
plugins:
  - name: correlation-id
  - name: prometheus
  - { name: rate-limiting, consumer: alice, config: { minute: 50 } }
consumers: [{ username: alice }]
upstreams: [{ name: users-pool, targets: [{ target: "10.0.0.1:8080" }, { target: "10.0.0.2:80", weight: 50 }] }]
`;

const EXPRESSIONS = `
_format_version: "3.0"
services:
  - name: orders
    url: http://orders.internal
    routes:
      - name: by-version
        expression: http.path ^= "/orders" && (http.queries.v == "2" || http.headers.x_v == "2")
        priority: 10
        protocols: [http]
      - { name: orders, expression: http.path ^= "/orders", priority: 10, id: 00000000-0000-4000-8000-000000000001 }
      - { name: local, expression: net.src.ip in 10.0.0.0/8 && http.method == "GET", priority: 1 }
      - { name: classic, paths: [/orders/classic] }
`;

const SINGLE = `
_format_version: "3.0"
routes:
  - { name: c, hosts: [c.example] }
  - { name: b, hosts: [b.example] }
  - { name: far, hosts: [somewhere.else] }
`;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const { promise, resolve } = Promise.withResolvers<Ran>();
  const command = [PROGRAM, "explain", ...args];
  execFile(process.execPath, command, { env: { ...process.env, ...env } }, (error, out, err) =>
    resolve({ code: error ? Number(error.code) : 0, out, err }),
  );
  return promise;
}

function file(text: string): string {
  const path = join(scratch(), "kong.yml");
  writeFileSync(path, text);
  return path;
}

const lines = (text: string): string => text.replace(/^\n/, "");

for (const [title, config, args, code, expected] of [
  [
    "a match shows its conditions, what it is sent as, and its plugins by phase",
    CLASSIC,
    ["GET", "http://api.example.com/users/42/x?y=1", "-H", "X-Version: 2"],
    0,
    `
request   GET http://api.example.com/users/42/x  client 127.0.0.1

route     users
          ✓ host     *.example.com
          ✓ path     ~/users/(?<id>\\d+)
          ✓ method   GET
          ✓ header   X-Version: 2 or X-Version: ~*^3
priority  kinds of condition 4, header names 1, regex path 1  0x8018000000000000
later     fallback  fewer kinds of condition (2, the match has 4)

service   users  http
sends     GET /base/x?y=1  /users/42 stripped
          Host: the target's
to        10.0.0.1:8080  weight 100
          10.0.0.2:80    weight 50

access    correlation-id  1.0.0  100001  native  global
          key-auth        1.0.0  1250    native  route
          rate-limiting   1.0.0  910     native  route
headers   rate-limiting   1.0.0  910     native  route
consumer  rate-limiting   1.0.0  910     native  consumer  once the consumer is alice
idle      prometheus      1.0.0  13      native  global
`,
  ],
  [
    "without a match the nearest routes show what failed",
    CLASSIC,
    ["DELETE", "http://api.example.com/users"],
    1,
    `
request   DELETE http://api.example.com/users  client 127.0.0.1

no route  404 no Route matched with those values
nearest   fallback
          ✓ path     /
          ✗ method   GET  is DELETE
          users
          ✓ host     *.example.com
          ✓ path     /users
          ✗ method   GET or PUT  is DELETE
          ✗ header   X-Version: 2 or X-Version: ~*^3  not in the request

access    correlation-id  1.0.0  100001  native  global
idle      prometheus      1.0.0  13      native  global
`,
  ],
  [
    "a route for https alone tells what a request by http is answered",
    CLASSIC,
    ["POST", "http://a.com/secure"],
    0,
    `
request   POST http://a.com/secure  client 127.0.0.1

route     secure
          ✓ path     /secure
priority  kinds of condition 1, bytes of path 7  0x2000000000000007

answers   426 Please use HTTPS protocol

access    correlation-id  1.0.0  100001  native  global
consumer  rate-limiting   1.0.0  910     native  consumer  once the consumer is alice
idle      prometheus      1.0.0  13      native  global
`,
  ],
  [
    "by https it is sent with the client's host",
    CLASSIC,
    ["POST", "https://a.com/x/../secure//%7e", "--client-ip", "fd00::1"],
    0,
    `
request   POST https://a.com/secure/~  client fd00::1, sni a.com

route     secure
          ✓ path     /secure
priority  kinds of condition 1, bytes of path 7  0x2000000000000007

service   bare  https
sends     POST /secure/~
          Host: a.com
to        bare.internal:8443

access    correlation-id  1.0.0  100001  native  global
consumer  rate-limiting   1.0.0  910     native  consumer  once the consumer is alice
idle      prometheus      1.0.0  13      native  global
`,
  ],
  [
    "expressions are shown part by part, and what put others behind",
    EXPRESSIONS,
    ["GET", "http://a.com/orders/classic?v=2", "--client-ip", "10.1.2.3"],
    0,
    `
request   GET http://a.com/orders/classic  client 10.1.2.3

route     by-version
          ✓          net.protocol == "http"
          ✓          http.path ^= "/orders"
          ✓          http.queries.v == "2" || http.headers.x_v == "2"
priority  priority 10  0xff0000000000000a, before every classic route
later     orders  equal priority, smaller id
          local  lower priority (1, the match has 10)
          classic  expressions come before classic routes

service   orders  http
sends     GET /classic?v=2  /orders stripped
          Host: orders.internal
to        orders.internal:80

plugins   none
`,
  ],
  [
    "an expression that misses shows which part is not true",
    EXPRESSIONS,
    ["PUT", "http://a.com/x", "--client-ip", "10.1.2.3"],
    1,
    `
request   PUT http://a.com/x  client 10.1.2.3

no route  404 no Route matched with those values
nearest   local
          ✓          net.src.ip in 10.0.0.0/8
          ✗          http.method == "GET"

plugins   none
`,
  ],
  [
    "a name that is nearly a route's shows the route, though it asks for nothing else",
    SINGLE,
    ["GET", "http://b.exampl/x"],
    1,
    `
request   GET http://b.exampl/x  client 127.0.0.1

no route  404 no Route matched with those values
nearest   b
          ✗ host     b.example  is b.exampl
          c
          ✗ host     c.example  is b.exampl

plugins   none
`,
  ],
  [
    "a single comparison of an expression is near by its value",
    EXPRESSIONS,
    ["GET", "http://a.com/oders"],
    1,
    `
request   GET http://a.com/oders  client 127.0.0.1

no route  404 no Route matched with those values
nearest   orders
          ✗          http.path ^= "/orders"
          local
          ✗          net.src.ip in 10.0.0.0/8
          ✓          http.method == "GET"
          by-version
          ✓          net.protocol == "http"
          ✗          http.path ^= "/orders"
          ✗          http.queries.v == "2" || http.headers.x_v == "2"

plugins   none
`,
  ],
  [
    "CONNECT is answered before routing",
    CLASSIC,
    ["CONNECT", "http://a.com/"],
    1,
    `
request   CONNECT http://a.com/  client 127.0.0.1

answers   405 CONNECT is not served: answered before routing

plugins   none
`,
  ],
] as const) {
  test(title, async () => {
    const flavor = config === EXPRESSIONS ? "expressions" : "traditional_compatible";
    const ran = await run([...args, "--config", file(config), "--router-flavor", flavor]);
    assert.equal(ran.err, "");
    assert.equal(ran.out, lines(expected));
    assert.equal(ran.code, code);
  });
}

test("a running gateway gives the same explanation as its file", async () => {
  await using gateway = await startGateway({
    config: EXPRESSIONS,
    settings: { router_flavor: "expressions" },
  });
  const args = ["GET", "http://a.com/orders/1", "-H", "X-V: 2", "--json"];
  const asked = await run([...args, "--admin", gateway.adminUrl]);
  const read = await run([...args, "--config", file(EXPRESSIONS)], {
    GATEHOUSE_ROUTER_FLAVOR: "expressions",
  });
  assert.deepEqual(JSON.parse(asked.out), JSON.parse(read.out));
  assert.equal(asked.code, 0);
  const { match, upstream } = JSON.parse(asked.out) as {
    match: { name: string };
    upstream: { path: string };
  };
  assert.deepEqual([match.name, upstream.path], ["by-version", "/1"]);

  await gateway.reload('_format_version: "3.0"');
  assert.equal((await run([...args, "--admin", gateway.adminUrl])).code, 1);

  const { port } = new URL(gateway.adminUrl);
  const post = (body: string, headers: Record<string, string> = JSON_TYPE) =>
    call(Number(port), "POST", "/explain", { headers, body });
  assert.equal((await post('{"method":"GET"}')).json.message, "url: required field missing");
  assert.equal((await post("{")).status, 400);
  assert.equal((await post("{}", { "content-type": "text/plain" })).status, 415);
  assert.equal((await post("{}", { ...JSON_TYPE, origin: "http://evil.example" })).status, 403);
  assert.equal((await post(`{"url":"${"x".repeat(300_000)}"}`)).status, 413);
});

test("an uploaded plugin is shown as its package says, or by its name alone where no registry is looked in", async () => {
  const prefix = scratch();
  const store = await SqliteStore.open({ path: join(prefix, "registry.db") });
  const registry = await openRegistry(join(prefix, "artifacts"), admit, { store });
  const put = await registry.put("default", await packageOf());
  assert.equal(put.kind, "created");
  await registry.close();
  const config = file(
    '_format_version: "3.0"\nroutes: [{ paths: [/] }]\nplugins: [{ name: header-stamp@1.2.0 }]\n',
  );
  const args = ["GET", "http://a.com/", "--config", config];
  assert.match(
    (await run([...args, "--prefix", prefix])).out,
    /^access +header-stamp +1\.2\.0 +0 +isolate +global$/m,
  );
  assert.match(
    (await run(args)).out,
    /^idle +header-stamp +1\.2\.0 +\? +unknown +global +phases unknown; --prefix tells where to look$/m,
  );
  const elsewhere = await run([...args, "--prefix", scratch()]);
  assert.equal(elsewhere.code, 2);
  assert.match(
    elsewhere.err,
    /no plugin package 'header-stamp@1\.2\.0' in workspace 'default'; publish it first/,
  );
});

test("names with control characters do not reach the terminal", async () => {
  const route = { name: "a", paths: ["/a"], headers: { x: ["1\u001b[31m"] } };
  const config = file(JSON.stringify({ _format_version: "3.0", routes: [route] }));
  const { out } = await run(["GET", "http://a.com/a", "--config", config]);
  assert.match(out, /x: 1\ufffd\[31m/);
});

for (const [args, message] of [
  [["GET", "/path"], /'\/path' is no URL of a request; write http:\/\/host\/path/],
  [["GET", "http://a.com/a b"], /characters that no request line may have; percent-encode them/],
  [["G T", "http://a.com/"], /'G T' is no method/],
  [["GET", "http://a.com/", "-H", "nothing"], /-H 'nothing' is no header field; write -H 'Name: value'/],
  [["GET", "http://a.com/", "--client-ip", "x"], /client_ip: 'x' is no IP address/],
  [["GET", "http://a.com/", "--router-flavor", "x"], /--router-flavor: expected one of/],
  [["GET"], /missing required argument 'url'/],
  [["GET", "http://a.com/", "--what"], /unknown option '--what'/],
] as const) {
  test(`${args.join(" ")} ends with code 2 and a sentence`, async () => {
    const ran = await run([...args, "--config", file(CLASSIC)]);
    assert.match(ran.err, message);
    assert.equal(ran.code, 2);
    assert.equal(ran.out, "");
  });
}

test("flags that would not be listened to are refused, and so is a prefix that is not there", async () => {
  const config = file(CLASSIC);
  for (const [args, message] of [
    [["--router-flavor", "expressions"], /--router-flavor goes with --config FILE/],
    [["--config", config, "--token", "t"], /write one of them/],
    [["--config", config, "--admin", "http://127.0.0.1:1"], /write one of them/],
    [["--config", config, "--prefix", "/nonexistent"], /--prefix: \/nonexistent is no directory/],
  ] as const) {
    const ran = await run(["GET", "http://a.com/", ...args]);
    assert.match(ran.err, message);
    assert.equal(ran.code, 2);
  }
});

test("an answer that is no explanation ends with code 3 and a sentence", async () => {
  const server = createServer((_, answer) => answer.end('{"hello":"there"}')).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const ran = await run(["GET", "http://a.com/", "--admin", `http://127.0.0.1:${port}`]);
  server.close();
  assert.match(ran.err, /answered 200, but with no explanation; is this the Admin API of a gateway\?\n$/);
  assert.equal(ran.code, 3);
});

test("a configuration with a fault ends with code 2 and its place, no gateway with code 3", async () => {
  const faulty = await run(["GET", "http://a.com/", "--config", file('_format_version: "3.0"\nrutes: []\n')]);
  assert.match(faulty.err, /kong\.yml:2:1 rutes: unknown field; did you mean 'routes'\?/);
  assert.equal(faulty.code, 2);
  const absent = await run(["GET", "http://a.com/", "--admin", "http://127.0.0.1:1"]);
  assert.match(
    absent.err,
    /127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\).*With --config FILE no gateway is asked/,
  );
  assert.equal(absent.code, 3);
});
