/** `GET /plugin-tail` and `gatehouse plugin tail`: what plugins do for requests, told while they come. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { TailRequest } from "../../src/tail/events.ts";
import { run } from "../cli/run.ts";
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

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

describe("gatehouse plugin tail and usage", () => {
  const where = () => ["--admin", gateway.adminUrl, "--prefix", gateway.prefix, "--workspace", "acme"];

  test("tail prints a request with its calls and lines, and ends after as many as were asked for", async () => {
    const args = ["plugin", "tail", "ts-hello", ...where(), "-n", "1"];
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    const printed = text(child.stdout);
    await once(createInterface({ input: child.stderr }), "line");
    await ask("/hello");
    const [code] = await once(child, "exit");
    assert.equal(code, 0);
    const [head, access, filter, line] = (await printed).split("\n");
    assert.match(
      String(head),
      /^\d\d:\d\d:\d\d\.\d{3} {2}GET {2}\/hello {2}200 {2}\d+ ms {2}route acme-hello$/,
    );
    const cost = "cpu \\d+\\.\\d\\d ms +memory \\d+\\.\\d MiB +wall \\d+\\.\\d\\d ms";
    assert.match(String(access), new RegExp(`^    access +continue +${cost}`));
    assert.match(String(filter), new RegExp(`^    header_filter +continue +${cost}`));
    assert.equal(line, "    debug in access: greeted on /hello");
  });

  test("tail prints lines of JSON for programs, and stops without a word when it is told to", async () => {
    const args = ["plugin", "tail", ...where(), "--json"];
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    assert.equal(JSON.parse(String((await lines.next()).value)).kind, "watching");
    await ask("/hello");
    const told: TailRequest = JSON.parse(String((await lines.next()).value));
    assert.equal(told.plugin, "ts-hello");
    child.kill("SIGINT");
    assert.deepEqual(await once(child, "exit"), [0, null]);
  });

  test("tail says what is wrong with a filter, and that a gateway is not there", async () => {
    const wrong = await run(["plugin", "tail", ...where(), "--level", "loud"]);
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /level: one of debug, info, warn, error/);
    const absent = await run(["plugin", "tail", "--admin", "http://127.0.0.1:9"]);
    assert.equal(absent.code, 3);
    assert.match(absent.err, /cannot be reached/);
  });

  test("usage shows what plugins have cost for each call", async () => {
    const shown = await run(["plugin", "usage", "js-throw", ...where()]);
    assert.equal(shown.code, 0, shown.err);
    const [heads, row] = shown.out.split("\n");
    assert.match(String(heads), /^plugin +calls +failed +cpu\/call/);
    assert.match(String(row), /^acme\/js-throw@1\.0\.0 +\d+ +\d+ \(throw \d+\) +\d+\.\d+ ms/);
    const { data } = JSON.parse((await run(["plugin", "usage", ...where(), "--json"])).out);
    assert.deepEqual(data.map(({ plugin }: { plugin: string }) => plugin).sort(), ["js-throw", "ts-hello"]);
    const nobody = await run(["plugin", "usage", ...where().slice(0, 4), "--workspace", "nobody"]);
    assert.equal(nobody.code, 1);
  });
});
