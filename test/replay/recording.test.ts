/** request-recording in a real gateway: what is kept of whose requests, for how long, and who gets to see it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { startWebSocketOrigin, type WebSocketOrigin } from "../support/web-socket-origin.ts";
import { admin, fieldOf, list, read, recorded, text } from "./gateway.ts";

let origin: Origin;
let sockets: WebSocketOrigin;
let gateway: Gateway;

const recording = (config: object = {}) => ({ name: "request-recording", config });

before(async () => {
  sockets = await startWebSocketOrigin();
  origin = await startOrigin(({ url }, response) => {
    const { pathname, searchParams } = new URL(url, "http://origin");
    response.setHeader("Set-Cookie", "sid=zebrasid");
    response.setHeader("Location", "/next?access_token=zebratoken&page=2#id_token=zebraid");
    const type = searchParams.get("type") ?? "text/plain";
    response.setHeader("Content-Type", type);
    const length = Number(searchParams.get("length") ?? 0);
    const body =
      pathname === "/json" ? JSON.stringify({ refresh_token: "zebrarefresh", id: 7 }) : "x".repeat(length);
    if (pathname === "/left/broken") {
      response.setHeader("Content-Length", 1000);
      response.write("part", () => response.destroy());
      return;
    }
    response.setHeader("Content-Length", Buffer.byteLength(body));
    response.end(body);
  });
  const route = (name: string, ...plugins: object[]) => ({
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
            route("whole", recording({ redact_headers: ["X-Named"], redact_query: ["named"] })),
            route("json", recording()),
            route("keyed", recording(), { name: "key-auth", config: { key_in_body: true } }),
            route("none", recording({ sample_rate: 0 })),
            route("half", recording({ sample_rate: 0.5 })),
            route("few", recording({ max_requests: 3 })),
            route("short", recording({ ttl_seconds: 1 })),
            route("bounded", recording({ max_body_bytes: 10 })),
            route("requests", recording({ response: false })),
            route("refused", recording(), { name: "request-termination", config: { status_code: 451 } }),
            route("left", recording()),
            route("unrecorded"),
          ],
        },
        { name: "sockets", url: sockets.url, routes: [route("socket", recording())] },
      ],
      consumers: [{ username: "ann", keyauth_credentials: [{ key: "zebrakey" }] }],
      workspaces: [
        {
          name: "acme",
          hosts: ["acme.example"],
          services: [
            {
              name: "theirs",
              url: origin.url,
              routes: [{ name: "theirs", hosts: ["acme.example"], plugins: [recording()] }],
            },
          ],
        },
      ],
    },
    settings: { data_threads: "2" },
  });
});
after(async () => {
  await gateway?.[Symbol.asyncDispose]();
  await origin?.close();
  await sockets?.close();
});

/** The only one of a route. */
async function only(route: string) {
  const [first] = await recorded(gateway, (all) => all.length > 0, `?route=${route}`);
  return read(gateway, first as { id: string });
}

test("a request and what the service answered are kept, without what would let anybody in", async () => {
  await send(
    `${gateway.url}/whole/a?id=1&named=zebranamed&api_key=zebraquery&to%6ben=zebraescaped&length=9`,
    {
      method: "POST",
      headers: {
        authorization: "Bearer zebrabearer",
        cookie: "sid=zebracookie",
        "X-Named": "zebraheader",
        "X-Api-Key": "zebraapi",
        "X-Plain": "seen",
        referer: "http://a.example/?token=zebrareferer&b=1",
        "content-type": "application/x-www-form-urlencoded",
      },
      body: "user=ann&password=zebrapassword",
    },
  );
  const { request, response, ...rest } = await only("whole");
  assert.equal(request.query, "id=1&named=REDACTED&api_key=REDACTED&to%6ben=REDACTED&length=9");
  for (const name of ["authorization", "cookie", "x-named", "x-api-key"])
    assert.equal(fieldOf(request.headers, name), "REDACTED", name);
  assert.equal(fieldOf(request.headers, "x-plain"), "seen");
  assert.equal(fieldOf(request.headers, "referer"), "http://a.example/?token=REDACTED&b=1");
  assert.equal(text(request.body), "user=ann&password=REDACTED");
  assert.equal(response?.status, 200);
  assert.equal(fieldOf(response?.headers ?? [], "set-cookie"), "REDACTED");
  assert.equal(
    fieldOf(response?.headers ?? [], "location"),
    "/next?access_token=REDACTED&page=2#id_token=REDACTED",
  );
  assert.equal(text(response?.body ?? null), "xxxxxxxxx");
  assert.equal(rest.route?.name, "whole");
  // A gateway's own error page or log would show them too.
  const folder = join(gateway.prefix, "recordings");
  for (const file of await readdir(folder)) {
    const bytes = await readFile(join(folder, file), "latin1");
    assert.doesNotMatch(bytes, /zebra/, file);
  }
  assert.doesNotMatch(gateway.output(), /zebra/);
});

test("members of JSON bodies with the names of secrets are not kept", async () => {
  await send(`${gateway.url}/json`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: '{"client_secret":"zebra","big":12345678901234567890}',
  });
  const { request, response } = await only("json");
  assert.equal(text(request.body), '{"client_secret":"REDACTED","big":12345678901234567890}');
  assert.equal(fieldOf(response?.headers ?? [], "content-type"), "text/plain");
});

for (const [place, query, headers, body] of [
  ["a header", "", { apikey: "zebrakey" }, "{}"],
  ["the query", "?apikey=zebrakey", {}, "{}"],
  ["the body", "", {}, '{"apikey":"zebrakey"}'],
] as const)
  test(`a key that clients send in ${place} is not kept, and the consumer is`, async () => {
    await admin(gateway, "DELETE", "/recordings?route=keyed");
    const answer = await send(`${gateway.url}/keyed${query}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
    assert.equal(answer.status, 200);
    const whole = await only("keyed");
    assert.doesNotMatch(JSON.stringify(whole) + text(whole.request.body), /zebrakey/);
    assert.match(JSON.stringify(whole) + text(whole.request.body), /apikey.{1,4}REDACTED/);
    assert.equal(whole.consumer?.username, "ann");
  });

test("a sample of 0 keeps nothing, one of a half some, and a route without the plugin nothing", async () => {
  for (let i = 0; i < 40; i++) {
    await send(`${gateway.url}/half`);
    await send(`${gateway.url}/none`);
    await send(`${gateway.url}/unrecorded`);
  }
  // What is kept later than all of these is there.
  await send(`${gateway.url}/left`);
  await recorded(gateway, (all) => all.length > 0, "?route=left");
  const half = await recorded(gateway, (all) => all.length > 0, "?route=half");
  assert.ok(half.length < 40);
  assert.deepEqual([await list(gateway, "?route=none"), await list(gateway, "?route=unrecorded")], [[], []]);
});

test("of more requests than may be kept the newest are", async () => {
  for (let i = 0; i < 8; i++) await send(`${gateway.url}/few/${i}`);
  const isLast = (path: string | undefined) => path === "/few/7";
  const kept = await recorded(gateway, (all) => all.some(({ path }) => isLast(path)), "?route=few");
  assert.deepEqual(
    kept.map(({ path }) => path),
    ["/few/5", "/few/6", "/few/7"],
  );
  const pages: string[] = [];
  for (let next: unknown = "/recordings?route=few&size=2"; typeof next === "string"; ) {
    const page = (await admin(gateway, "GET", next)).json() as { data: { path: string }[]; next: unknown };
    pages.push(page.data.map(({ path }) => path).join(" "));
    next = page.next;
  }
  assert.deepEqual(pages, ["/few/5 /few/6", "/few/7"], "the next page is of the same route");
});

test("what was kept for its time is gone", async () => {
  await send(`${gateway.url}/short`);
  const [kept] = await recorded(gateway, (all) => all.length > 0, "?route=short");
  await recorded(gateway, (all) => all.length === 0, "?route=short");
  assert.equal((await admin(gateway, "GET", `/recordings/${kept?.id}`)).status, 404);
});

for (const [what, path, method, body, expected] of [
  ["a short body of a request is kept", "/bounded/a", "POST", "0123456789", ["0123456789", 10, null, 0]],
  ["of a long one only its length is", "/bounded/b", "POST", "0123456789a", ["", 11, null, 0]],
  [
    "of a long text of a response what comes first is",
    "/bounded/c?length=20",
    "GET",
    undefined,
    [null, 0, "xxxxxxxxxx", 20],
  ],
  [
    "of long JSON nothing is, as nobody can look into a part of it",
    "/bounded/d?length=20&type=application/json",
    "GET",
    undefined,
    [null, 0, "", 20],
  ],
] as const)
  test(what, async () => {
    const answer = await send(`${gateway.url}${path}`, { method, ...(body === undefined ? {} : { body }) });
    assert.equal(answer.header("transfer-encoding"), undefined, "recording changes no framing");
    assert.notEqual(answer.header("content-length"), undefined);
    const isIt = ({ path: own }: { path: string }) => path.startsWith(own);
    const all = await recorded(gateway, (found) => found.some(isIt), "?route=bounded");
    const { request, response } = await read(gateway, all.find(isIt) as { id: string });
    assert.deepEqual(
      [text(request.body), request.body_bytes, text(response?.body ?? null), response?.body_bytes],
      expected,
    );
  });

test("without `response`, and where the service was not asked, there is no response", async () => {
  await send(`${gateway.url}/requests`);
  const answer = await send(`${gateway.url}/refused`);
  assert.equal(answer.status, 451);
  assert.equal((await only("requests")).response, null);
  assert.equal((await only("refused")).response, null);
});

test("a WebSocket is recorded by its handshake, and goes on as without", async () => {
  const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/socket?token=zebrasocket`);
  await once(socket, "open");
  socket.send("said");
  const [echoed] = await once(socket, "message");
  assert.equal(String(echoed), "said");
  socket.close();
  await once(socket, "close");
  const { request, response } = await only("socket");
  assert.deepEqual([request.query, response?.status, response?.body_bytes], ["token=REDACTED", 101, null]);
});

test("of a response that broke off nobody knows how long it was", async () => {
  await assert.rejects(send(`${gateway.url}/left/broken`));
  const isIt = ({ path }: { path: string }) => path === "/left/broken";
  const all = await recorded(gateway, (found) => found.some(isIt), "?route=left");
  const { response } = await read(gateway, all.find(isIt) as { id: string });
  assert.deepEqual([text(response?.body ?? null), response?.body_bytes], ["part", null]);
});

test("recordings belong to their workspace: others see none of them, and delete none", async () => {
  await send(`${gateway.url}/`, { headers: { host: "acme.example" } });
  const [theirs] = await recorded(gateway, (all) => all.length > 0, "", "/acme");
  assert.ok((await list(gateway)).every(({ id }) => id !== theirs?.id));
  assert.equal((await admin(gateway, "GET", `/recordings/${theirs?.id}`)).status, 404);
  assert.equal((await admin(gateway, "DELETE", `/recordings/${theirs?.id}`)).status, 204);
  assert.equal((await admin(gateway, "DELETE", "/recordings")).status, 204);
  assert.deepEqual(await list(gateway), []);
  assert.equal((await admin(gateway, "GET", `/acme/recordings/${theirs?.id}`)).status, 200);
  assert.equal((await admin(gateway, "DELETE", `/acme/recordings/${theirs?.id}`)).status, 204);
  assert.deepEqual(await list(gateway, "", "/acme"), []);
});

for (const [path, status] of [
  ["/recordings?route=nobody", 400],
  ["/recordings?size=0", 400],
  ["/recordings/nobody", 404],
  ["/nobody/recordings", 404],
] as const)
  test(`GET ${path} is answered ${status}`, async () => {
    assert.equal((await admin(gateway, "GET", path)).status, status);
  });
