/** response-transformer: what the client receives for each kind of edit. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";
import { PLACEMENTS, type PluginEntry, startPlaced } from "./placements.ts";

const BODY = '{"id":12345678901234567890,"gone":1,"old":{"x":[1]},"r":1,"list":[1],"text":"t"}';

interface Case {
  readonly title: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** What the upstream answers with. */
  readonly upstream?: { readonly type?: string; readonly body?: string | Buffer; readonly encoding?: string };
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
}

const CASES: readonly Case[] = [
  {
    title: "removes, renames, replaces, adds and appends headers, in this order",
    config: {
      remove: { headers: ["X-Gone"] },
      rename: { headers: ["X-Old:X-New"] },
      replace: { headers: ["X-New:replaced", "X-Absent:no"] },
      add: { headers: ["X-Gone:again", "X-Two:no"] },
      append: { headers: ["X-Two:3", "X-Fresh:1"] },
    },
    headers: {
      "x-gone": "again",
      "x-old": undefined,
      "x-new": "replaced",
      "x-absent": undefined,
      "x-two": "1, 2, 3",
      "x-fresh": "1",
    },
    body: BODY,
  },
  {
    title: "edits the top level of a JSON body, typed, and keeps numbers exactly",
    config: {
      remove: { json: ["gone"] },
      rename: { json: ["old:new"] },
      replace: { json: ["r:2", "absent:no"], json_types: ["number"] },
      add: { json: ["yes:true", "n:1.5", "s:1", "id:no"], json_types: ["boolean", "number", "string"] },
      append: { json: ["list:3", "text:more", "fresh:1"], json_types: ["number"] },
    },
    body: '{"id":12345678901234567890,"r":2,"list":[1,3],"text":["t","more"],"new":{"x":[1]},"yes":true,"n":1.5,"s":"1","fresh":["1"]}',
  },
  {
    title: "edits headers and body together",
    config: { remove: { headers: ["X-Gone"], json: ["gone", "old", "r", "list", "text"] } },
    headers: { "x-gone": undefined },
    body: '{"id":12345678901234567890}',
  },
  {
    title: "edits a body of a +json type",
    config: { add: { json: ["a:1"] } },
    upstream: { type: "application/problem+json", body: "{}" },
    body: '{"a":"1"}',
  },
  {
    title: "leaves a body of another type alone",
    config: { add: { json: ["a:1"] } },
    upstream: { type: "text/plain", body: "{}" },
    body: "{}",
  },
  {
    title: "leaves a body alone that is not JSON after all",
    config: { add: { json: ["a:1"] } },
    upstream: { body: '{"broken":' },
    body: '{"broken":',
  },
  {
    title: "leaves a compressed body alone",
    config: { add: { json: ["a:1"] } },
    upstream: { body: gzipSync("{}"), encoding: "gzip" },
    body: gzipSync("{}").toString("utf8"),
  },
];

for (const placement of PLACEMENTS) {
  describe(`response-transformer, ${placement.title}`, () => {
    let origin: Origin;
    let gateway: Gateway;

    before(async () => {
      origin = await startOrigin((received, response) => {
        const {
          type = "application/json",
          body = BODY,
          encoding,
        } = CASES[Number(receivedHeader(received, "x-case"))]?.upstream ?? {};
        response.setHeader("Content-Type", type);
        if (encoding !== undefined) response.setHeader("Content-Encoding", encoding);
        response.setHeader("X-Gone", "1");
        response.setHeader("X-Old", "old");
        response.setHeader("X-Two", ["1", "2"]);
        response.end(body);
      });
      const routes: Record<string, PluginEntry[]> = {};
      for (const [i, { config }] of CASES.entries())
        routes[`case-${i}`] = [{ name: "response-transformer", config }];
      gateway = await startPlaced(placement, { origin, routes });
    });
    after(async () => {
      await gateway?.[Symbol.asyncDispose]();
      await origin?.close();
    });

    for (const [i, one] of CASES.entries()) {
      it(one.title, async () => {
        const answer = await send(`${gateway.url}/case-${i}`, { headers: { "X-Case": String(i) } });
        assert.equal(answer.status, 200, answer.body);
        if (one.body !== undefined) assert.equal(answer.body, one.body);
        const length = answer.header("content-length");
        if (length !== undefined) assert.equal(Number(length), answer.bytes.length);
        for (const [name, value] of Object.entries(one.headers ?? {}))
          assert.equal(answer.header(name), value, name);
      });
    }
  });
}
