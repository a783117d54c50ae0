/** Which plugins run for a request, in which order, and with which configuration: Kong's rules, by built-ins. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type SendOptions, send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";

/** Kong's eight scopes, the most specific first. */
const SCOPES = [
  ["route", "service", "consumer"],
  ["route", "consumer"],
  ["service", "consumer"],
  ["route", "service"],
  ["consumer"],
  ["route"],
  ["service"],
  [],
] as const;
type Scope = (typeof SCOPES)[number];

const title = (scope: Scope) => scope.join("+") || "global";
const asking = (key: string): SendOptions => ({ headers: { apikey: key } });

/** A request-transformer that tells by a header which of the configurations applied. */
const mark = (scope: Scope, entities: Record<string, string>) => ({
  name: "request-transformer",
  config: { add: { headers: [`X-Scope:${title(scope)}`] } },
  ...Object.fromEntries(scope.map((kind) => [kind, entities[kind]])),
});

describe("scope precedence", () => {
  let origin: Origin;
  let gateway: Gateway;
  const entities = { route: "route-0", service: "service-0", consumer: "alice" };

  const configWith = (scopes: readonly Scope[], disabled: readonly Scope[] = []) => ({
    _format_version: "3.0",
    services: [
      { name: "service-0", url: origin.url, routes: [{ name: "route-0", paths: ["/"] }] },
      { name: "other", url: origin.url, routes: [{ name: "other", paths: ["/other"] }] },
    ],
    consumers: [
      { username: "alice", keyauth_credentials: [{ key: "alice-key" }] },
      { username: "bob", keyauth_credentials: [{ key: "bob-key" }] },
    ],
    plugins: [
      { name: "key-auth", config: {} },
      ...scopes.map((scope) => ({ ...mark(scope, entities), enabled: !disabled.includes(scope) })),
    ],
  });

  before(async () => {
    origin = await startOrigin();
    gateway = await startGateway({ config: configWith([]) });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  async function scopeOf(path: string, key: string): Promise<string | undefined> {
    const { status } = await send(`${gateway.url}${path}`, asking(key));
    assert.equal(status, 200);
    return receivedHeader(origin.last, "x-scope");
  }

  for (let from = 0; from < SCOPES.length; from++) {
    const scopes = SCOPES.slice(from);
    const [first] = scopes as [Scope];
    it(`${title(first)} wins over ${scopes.slice(1).map(title).join(", ") || "nothing"}`, async () => {
      await gateway.reload(configWith(scopes));
      assert.equal(await scopeOf("/", "alice-key"), title(first));
      const others = scopes.filter((scope) => !(scope as readonly string[]).includes("consumer"));
      assert.equal(await scopeOf("/", "bob-key"), title(others[0] as Scope));
      const elsewhere = scopes.filter((scope) => scope.length === 0 || title(scope) === "consumer");
      assert.equal(await scopeOf("/other", "alice-key"), title(elsewhere[0] as Scope));
    });
  }

  it("a disabled configuration is as good as none: the next scope's applies", async () => {
    await gateway.reload(configWith(SCOPES, [SCOPES[0], SCOPES[1]]));
    assert.equal(await scopeOf("/", "alice-key"), "service+consumer");
  });
});

describe("chains", () => {
  let origin: Origin;
  let gateway: Gateway;

  before(async () => {
    origin = await startOrigin();
    const route = (name: string, plugins: object[]) => ({ name, paths: [`/${name}`], plugins });
    const terminate = (config: object, more: object = {}) => ({
      name: "request-termination",
      config,
      ...more,
    });
    const add = (header: string) => ({
      name: "response-transformer",
      config: { add: { headers: [header] } },
    });
    const auth = { name: "key-auth" };
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        consumers: [
          { username: "alice", keyauth_credentials: [{ key: "alice-key" }] },
          { username: "bob", keyauth_credentials: [{ key: "bob-key" }] },
        ],
        services: [
          {
            name: "origin",
            url: origin.url,
            plugins: [
              {
                name: "correlation-id",
                config: { header_name: "X-Corr", generator: "uuid", echo_downstream: true },
              },
            ],
            routes: [
              route("open", [add("X-Added:1")]),
              route("locked", [auth, add("X-Added:1")]),
              route("closed-for-bob", [
                auth,
                terminate({ status_code: 418, message: "not bob" }, { consumer: "bob" }),
              ]),
              route("limited", [
                auth,
                { name: "rate-limiting", config: { hour: 100, policy: "local", limit_by: "consumer" } },
                {
                  name: "rate-limiting",
                  consumer: "bob",
                  config: { hour: 2, policy: "local", limit_by: "consumer" },
                },
              ]),
              route("order", [terminate({ status_code: 503 }), auth, add("X-Added:1")]),
              route("json", [
                { name: "response-transformer", config: { add: { json: ["added:yes"] } } },
                { name: "cors", config: { origins: ["*"], exposed_headers: ["X-Exposed"] } },
              ]),
            ],
          },
        ],
        plugins: [add("X-Global:1")],
      },
      settings: { data_threads: "1" },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  it("an answer in access still passes the header filters of every plugin of the route", async () => {
    const answer = await send(`${gateway.url}/locked`);
    assert.equal(answer.status, 401);
    assert.equal(answer.header("x-added"), "1");
    assert.match(answer.header("x-corr") as string, /^[0-9a-f-]{36}$/);
    assert.equal(origin.requests.length, 0);
  });

  it("a more specific configuration replaces the global one, it does not run beside it", async () => {
    const answer = await send(`${gateway.url}/open`);
    assert.equal(answer.header("x-added"), "1");
    assert.equal(answer.header("x-global"), undefined);
  });

  it("a request without a route passes the global plugins' filters alone", async () => {
    const answer = await send(`${gateway.url}/nowhere`);
    assert.equal(answer.status, 404);
    assert.equal(answer.header("x-global"), "1");
    assert.equal(answer.header("x-corr"), undefined);
  });

  it("a plugin for one consumer acts on that one, once the key has told who it is", async () => {
    assert.equal((await send(`${gateway.url}/closed-for-bob`, asking("alice-key"))).status, 200);
    const bob = await send(`${gateway.url}/closed-for-bob`, asking("bob-key"));
    assert.deepEqual([bob.status, bob.json()], [418, { message: "not bob" }]);
    assert.equal((await send(`${gateway.url}/closed-for-bob`)).status, 401);
  });

  it("a consumer's own limit replaces the route's, and others keep theirs", async () => {
    const limit = async (key: string) => {
      const answer = await send(`${gateway.url}/limited`, asking(key));
      return [
        answer.status,
        answer.header("x-ratelimit-limit-hour"),
        answer.header("x-ratelimit-remaining-hour"),
      ];
    };
    assert.deepEqual(await limit("bob-key"), [200, "2", "1"]);
    assert.deepEqual(await limit("alice-key"), [200, "100", "99"]);
    assert.deepEqual(await limit("bob-key"), [200, "2", "0"]);
    assert.equal((await limit("bob-key"))[0], 429);
    assert.deepEqual(await limit("alice-key"), [200, "100", "98"]);
  });

  it("higher priorities run first whatever the order in the file: no key, no 503", async () => {
    assert.equal((await send(`${gateway.url}/order`)).status, 401);
    assert.equal((await send(`${gateway.url}/order`, asking("alice-key"))).status, 503);
  });

  it("a plugin that needs the whole response leaves the others their header filters", async () => {
    const answer = await send(`${gateway.url}/json`, { headers: { Origin: "https://app.test" } });
    assert.equal((answer.json() as { added: string }).added, "yes");
    assert.equal(answer.header("access-control-allow-origin"), "*");
    assert.equal(answer.header("access-control-expose-headers"), "X-Exposed");
    assert.equal(Number(answer.header("content-length")), answer.bytes.length);
    assert.match(answer.header("x-corr") as string, /^[0-9a-f-]{36}$/);
  });
});
