/** Configuration that changes while traffic flows: nothing is dropped, and what is broken changes nothing. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import { type Gateway, type LogLine, startGateway } from "../support/gateway.ts";
import { freePort } from "../support/nginx.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { SteadyLoad } from "./steady-load.ts";

const BROKEN = `_format_version: "3.0"
services:
  - name: s
    url: http://127.0.0.1:1
    routes:
      - name: r
        paths: [no-slash]
        stripe_path: true
`;

describe("live configuration", () => {
  let origin: Origin;
  let gateway: Gateway;

  const version = (number: number) => ({
    _format_version: "3.0",
    services: [
      {
        name: "s",
        url: origin.url,
        routes: [
          {
            name: "r",
            paths: ["/"],
            plugins: [
              { name: "response-transformer", config: { add: { headers: [`X-Version:${number}`] } } },
            ],
          },
        ],
      },
    ],
  });

  before(async () => {
    origin = await startOrigin((_received, response) => void response.end("ok"));
    gateway = await startGateway({ config: version(0), settings: { data_threads: "2" } });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  async function versionsServed(): Promise<Set<string | undefined>> {
    // Fresh connections, so that both data threads are asked.
    const answers = await Promise.all(Array.from({ length: 40 }, () => send(gateway.url)));
    return new Set(answers.map((answer) => answer.header("x-version")));
  }

  /** Changes the file; it is live on every thread once this returns. */
  async function reloadFile(config: ReturnType<typeof version>): Promise<void> {
    const isLive = (line: LogLine) => /live on all threads/.test(String(line.msg));
    const { configuration_hash: before } = JSON.parse((await send(`${gateway.statusUrl}/status`)).body);
    // A change over the API may have answered before its line is here.
    await gateway.log((line) => isLive(line) && line.config_hash === before);
    const seen = gateway.logs.length;
    await gateway.rewriteConfigFile(config);
    await gateway.log((line) => gateway.logs.indexOf(line) >= seen && isLive(line));
  }

  it("once POST /config has answered, every data thread serves the new configuration", async () => {
    for (let number = 1; number <= 5; number++) {
      await gateway.reload(version(number));
      assert.deepEqual(await versionsServed(), new Set([String(number)]));
    }
  });

  it("a changed file goes live without a dropped request, and both versions are seen", async () => {
    await gateway.reload(version(10));
    const load = new SteadyLoad(gateway.url, 8);
    for (let number = 11; number <= 20; number++) {
      if (number % 2 === 0) await gateway.reload(version(number));
      else await reloadFile(version(number));
    }
    await load.stop();
    const outcomes = Object.keys(load.counts);
    assert.deepEqual(
      outcomes.filter((outcome) => !/^200 \d+ ok$/.test(outcome)),
      [],
      JSON.stringify(load.counts),
    );
    assert.ok(outcomes.length > 2, JSON.stringify(load.counts));
    assert.deepEqual(await versionsServed(), new Set(["20"]));
  });

  it("a request in flight ends by the configuration that it began with", async () => {
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await using slow = await startOrigin(async (_received, response) => {
      ask();
      await gate;
      response.end("slow");
    });
    const config = version(30);
    (config.services[0] as { url: string }).url = slow.url;
    await gateway.reload(config);
    const pending = send(gateway.url);
    await asked;
    await gateway.reload(version(31));
    open();
    const answer = await pending;
    assert.deepEqual([answer.status, answer.body, answer.header("x-version")], [200, "slow", "30"]);
    assert.deepEqual(await versionsServed(), new Set(["31"]));
  });

  it("a broken file is refused by line and column, and the old configuration goes on serving", async () => {
    await gateway.reload(version(40));
    await gateway.rewriteConfigFile(BROKEN);
    const line = await gateway.log((entry) => /refused; the old one keeps serving/.test(String(entry.msg)));
    const errors = (line.errors as string[]).join("\n");
    assert.match(errors, /:7:\d+/, errors);
    assert.match(errors, /:8:\d+/, errors);
    assert.match(errors, /stripe_path/);
    assert.deepEqual(await versionsServed(), new Set(["40"]));
  });

  it("a broken configuration over POST /config is a 400 that changes nothing", async () => {
    const answer = await send(`${gateway.adminUrl}/config`, {
      method: "POST",
      headers: { "content-type": "text/yaml" },
      body: BROKEN,
    });
    assert.equal(answer.status, 400);
    assert.equal((answer.json() as { code: number }).code, 14);
    assert.deepEqual(await versionsServed(), new Set(["40"]));
  });

  it("the file may be repaired after it was broken", async () => {
    await gateway.rewriteConfigFile(version(41));
    await gateway.log((line) => /live on all threads/.test(String(line.msg)) && gateway.logs.at(-1) === line);
    assert.deepEqual(await versionsServed(), new Set(["41"]));
  });

  it("a route that goes away is gone, one that moves elsewhere is served there", async () => {
    await gateway.reload({ _format_version: "3.0" });
    assert.equal((await send(gateway.url)).status, 404);
    const dead = version(50);
    (dead.services[0] as { url: string }).url = `http://127.0.0.1:${await freePort()}`;
    await gateway.reload(dead);
    assert.equal((await send(gateway.url)).status, 502);
    await gateway.reload(version(51));
    assert.equal((await send(gateway.url)).status, 200);
  });
});
