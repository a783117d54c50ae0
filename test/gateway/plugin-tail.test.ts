/** `GET /plugin-tail` and `gatehouse plugin tail`: what plugins do for requests, told while they come. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { after, before, describe, test } from "node:test";
import type { TailRequest } from "../../src/tail/events.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { ATTACK, THROWER } from "./hostile-guests.ts";
import { exampleGuest, packExample, publish } from "./packages.ts";

/** A tail that is read line by line. */
class Lines implements AsyncDisposable {
  readonly response: IncomingMessage;
  readonly #lines: AsyncGenerator<string>;

  constructor(response: IncomingMessage) {
    this.response = response;
    this.#lines = split(response);
  }

  async next(): Promise<Record<string, unknown> | null> {
    const { value, done } = await this.#lines.next();
    return done ? null : JSON.parse(value);
  }

  /** The next one that is about a request. */
  async request(): Promise<TailRequest> {
    for (;;) {
      const line = await this.next();
      assert.ok(line !== null, "the stream has ended");
      if (line.kind === "request") return line as unknown as TailRequest;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.response.destroy();
  }
}

async function* split(response: IncomingMessage): AsyncGenerator<string> {
  let rest = "";
  for await (const part of response.setEncoding("utf8")) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() as string;
    yield* lines.filter((line) => line !== "");
  }
  if (rest !== "") yield rest;
}

const held = new AsyncDisposableStack();
let origin: Origin;
let gateway: Gateway;

before(async () => {
  await exampleGuest("ts-hello");
  origin = held.use(await startOrigin());
  const settings = { data_threads: "2", unfenced_uploads: "acme,globex" };
  const service = (routes: object[]) => ({ name: "origin", url: origin.url, routes });
  const config = (guests: boolean) => ({
    _format_version: "3.0",
    workspaces: ["acme", "globex"].map((name) => {
      const route = (path: string, plugin: string) => ({
        name: `${name}-${path}`,
        hosts: [`${name}.test`],
        paths: [`/${path}`],
        plugins: guests ? [{ name: plugin }] : [],
      });
      const routes = [route("hello", "ts-hello@1.0.0"), route("bad", "js-throw@1.0.0")];
      return { name, hosts: [`${name}.test`], services: [service(routes)] };
    }),
  });
  gateway = held.use(await startGateway({ config: config(false), settings }));
  for (const workspace of ["acme", "globex"]) {
    await publish(gateway, await packExample("ts-hello"), workspace);
    await publish(gateway, await THROWER.pack(), workspace);
  }
  await gateway.reload(config(true));
});

after(() => held.disposeAsync());

async function tail(query = "", workspace = "acme"): Promise<Lines> {
  const asking = get(`${gateway.adminUrl}/${workspace}/plugin-tail${query}`, {
    headers: gateway.adminHeaders,
    agent: false,
  });
  const [response] = (await once(asking, "response")) as [IncomingMessage];
  const lines = new Lines(response);
  if (response.statusCode === 200) assert.equal((await lines.next())?.kind, "watching");
  return lines;
}

const ask = (path: string, workspace = "acme") =>
  send(`${gateway.url}${path}`, { headers: { host: `${workspace}.test`, ...ATTACK } });

describe("a tail of plugins", () => {
  test("tells of a request which phases ran, at what cost, and what the plugin logged", async () => {
    await using lines = await tail();
    assert.equal(lines.response.headers["content-type"], "application/x-ndjson");
    assert.equal((await ask("/hello?token=hush")).status, 200);
    const told = await lines.request();
    const { at, request_id, calls, logs, total_ms, ...rest } = told;
    assert.deepEqual(rest, {
      kind: "request",
      workspace: "acme",
      plugin: "ts-hello",
      version: "1.0.0",
      route: "acme-hello",
      method: "GET",
      path: "/hello",
      status: 200,
      logs_left_out: 0,
    });
    assert.match(request_id, /^[0-9a-f]{32}$/);
    assert.ok(Date.parse(at) > 0 && total_ms >= 0);
    assert.deepEqual(
      calls.map(({ phase, outcome, calls }) => [phase, outcome, calls]),
      [
        ["access", "continue", 1],
        ["header_filter", "continue", 1],
      ],
    );
    for (const call of calls) assert.ok(call.wall_ms > 0 && call.cpu_ms > 0 && call.memory_bytes > 0);
    assert.deepEqual(logs, [{ level: "debug", phase: "access", message: "greeted on /hello" }]);
    assert.doesNotMatch(JSON.stringify(told), /hush/);
  });

  test("tells of requests on every data thread", async () => {
    await using lines = await tail();
    await Promise.all(Array.from({ length: 40 }, () => ask("/hello")));
    const ids = new Set<string>();
    while (ids.size < 40) ids.add((await lines.request()).request_id);
  });

  test("tells why a call failed, and by which status its client learned of it", async () => {
    await using lines = await tail("?level=error");
    await ask("/hello");
    assert.equal((await ask("/bad")).status, 500);
    const { plugin, status, calls } = await lines.request();
    assert.deepEqual([plugin, status], ["js-throw", 500]);
    const [call] = calls;
    assert.deepEqual([call?.phase, call?.outcome, call?.failure], ["access", "failed", "throw"]);
    assert.match(String(call?.message), /on purpose/);
  });

  for (const [filter, wanted] of [
    ["plugin=ts-hello", "/hello"],
    ["status=5xx", "/bad"],
    ["status=500-599&plugin=js-throw", "/bad"],
    ["route=acme-bad", "/bad"],
  ])
    test(`is narrowed by ${filter}`, async () => {
      await using lines = await tail(`?${filter}`);
      for (const path of ["/bad", "/hello", "/bad", "/hello"]) await ask(path);
      for (let i = 0; i < 2; i++) assert.equal((await lines.request()).path, wanted);
    });

  test("hears nothing of another workspace", async () => {
    await using lines = await tail();
    await using others = await tail("", "globex");
    await ask("/hello", "globex");
    assert.equal((await others.request()).workspace, "globex");
    await ask("/hello");
    assert.equal((await lines.request()).workspace, "acme");
  });

  test("is refused with everything that is wrong about it", async () => {
    await using refused = await tail("?level=loud&status=9xx&since=now");
    assert.equal(refused.response.statusCode, 400);
    const { options } = (await refused.next()) as { options: Record<string, string> };
    assert.deepEqual(Object.keys(options).sort(), ["level", "since", "status"]);
    await using unknown = await tail("", "nobody");
    assert.equal(unknown.response.statusCode, 404);
  });
});
