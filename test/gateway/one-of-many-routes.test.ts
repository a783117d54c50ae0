/** One route among ten thousand is replaced while traffic flows, by a whole configuration and by a broken one. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { SteadyLoad } from "./steady-load.ts";

const ROUTES = 10_000;
const REPLACEMENTS = 10;

describe("one route among ten thousand", () => {
  let origin: Origin;
  let gateway: Gateway;

  const config = (version: number, broken = false) => ({
    _format_version: "3.0",
    services: [
      {
        name: "s",
        url: origin.url,
        routes: Array.from({ length: ROUTES }, (_, i) => ({
          name: `r${i}`,
          paths: [`/route-${i}/`],
          ...(i === 5000 && {
            paths: ["/changing/"],
            plugins: [
              { name: "response-transformer", config: { add: { headers: [`X-Version:${version}`] } } },
            ],
          }),
          ...(i === 6000 && broken && { paths: ["~/a(?=b)"] }),
        })),
      },
    ],
  });

  before(async () => {
    origin = await startOrigin((_received, response) => void response.end("ok"));
    gateway = await startGateway({ config: config(0), settings: { data_threads: "2" } });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.close();
  });

  it("is replaced again and again without a failed request, and others never notice", async () => {
    const changing = new SteadyLoad(`${gateway.url}/changing/`, 4);
    const others = new SteadyLoad(`${gateway.url}/route-9999/`, 4);
    for (let version = 1; version <= REPLACEMENTS; version++) {
      await gateway.reload(config(version));
      // Answered means live on every thread: no new request sees an older version.
      const answers = await Promise.all(Array.from({ length: 8 }, () => send(`${gateway.url}/changing/`)));
      assert.deepEqual([...new Set(answers.map((answer) => answer.header("x-version")))], [String(version)]);
    }
    await Promise.all([changing.stop(), others.stop()]);
    const outcomes = Object.keys(changing.counts);
    assert.deepEqual(
      outcomes.filter((outcome) => !/^200 ([0-9]|10) ok$/.test(outcome)),
      [],
    );
    assert.deepEqual(Object.keys(others.counts), ["200 undefined ok"]);
  });

  it("stays as it is when another route of the same change is broken", async () => {
    await gateway.reload(config(1));
    const answer = await send(`${gateway.adminUrl}/config`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(config(2, true)),
    });
    assert.equal(answer.status, 400);
    assert.match(answer.body, /look-ahead/);
    const answers = await Promise.all(Array.from({ length: 8 }, () => send(`${gateway.url}/changing/`)));
    assert.deepEqual([...new Set(answers.map((each) => each.header("x-version")))], ["1"]);
  });
});
