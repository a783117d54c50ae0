/** Web handlers as hooks: the same natively and in an isolate, whose engine has none of these classes. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Hooks, Host, Reply } from "@gatehouse/sdk";
import { Headers, Request, Response } from "@gatehouse/sdk/web";
import { MemoryContext } from "../../sandbox/context.ts";
import {
  bundleGuest,
  PATIENT,
  RecordingHost,
  type Sandbox,
  settings,
  startSandbox,
} from "../../sandbox/sandbox.ts";
import plugin from "./guest.ts";

let sandbox: Sandbox;
let bundle: Uint8Array;

before(async () => {
  bundle = await bundleGuest(join(import.meta.dirname, "guest.ts"));
  sandbox = await startSandbox();
});
after(() => sandbox.close());

const grants = {
  requestHeaders: ["accept"],
  responseHeaders: ["set-cookie"],
  requestBodyBytes: 100,
  httpHosts: ["api.test"],
};
const RUNTIMES: Record<string, (host: Host) => Hooks> = {
  natively: (host) => plugin.create({}, host),
  "in an isolate": (host) =>
    sandbox.client.hooks(settings(bundle, { phases: ["access"], grants, limits: PATIENT }), host),
};

for (const [where, make] of Object.entries(RUNTIMES))
  describe(`a web handler ${where}`, () => {
    const ask = async (path: string, query = ""): Promise<Reply | undefined> => {
      const ctx = new MemoryContext({
        path,
        query,
        headers: [
          ["Accept", "text/a"],
          ["accept", "text/b"],
        ],
        body: Buffer.from("wörds"),
      });
      return ((await make(new RecordingHost()).access?.(ctx)) ?? undefined) as Reply | undefined;
    };

    it("sees the request, and its Response is the reply", async () => {
      const { status, headers, body } = (await ask("/x", "q=a%20b")) as Reply;
      assert.equal(status, 200);
      assert.deepEqual(headers, [
        ["content-type", "application/json"],
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
        ["x-query", "a b"],
      ]);
      assert.deepEqual(JSON.parse(Buffer.from(body).toString()), {
        method: "GET",
        accept: "text/a, text/b",
        body: "wörds",
      });
    });

    it("without a Response lets the request go on", async () => {
      assert.equal(await ask("/through"), undefined);
    });

    it("fetches in the web's words", async () => {
      const { status, body } = (await ask("/fetch")) as Reply;
      assert.deepEqual([status, Buffer.from(body).toString()], [201, "wörd"]);
    });
  });

describe("messages", () => {
  it("read a body once, and only when they are asked to", async () => {
    let reads = 0;
    const body = () => {
      reads++;
      return Buffer.from('{"a":1}');
    };
    const request = new Request("https://example.org", { method: "post", body });
    assert.deepEqual(
      [request.method, request.url, request.bodyUsed, reads],
      ["POST", "https://example.org/", false, 0],
    );
    assert.deepEqual(await request.json(), { a: 1 });
    await assert.rejects(request.text(), /read already/);
    assert.equal(reads, 1);
  });

  it("refuse what no message may have", () => {
    assert.throws(() => new Headers({ "a b": "1" }), TypeError);
    assert.throws(() => new Headers([["a", "1\r\nb: 2"]]), TypeError);
    assert.throws(() => new Headers({ a: "\u0100" }), TypeError);
    assert.throws(() => new Response(null, { status: 101 }), RangeError);
    assert.throws(() => Response.redirect("https://a.example", 200), RangeError);
    assert.throws(() => new Request("/relative"), TypeError);
  });

  it("say what a text is, and where a redirect leads", () => {
    assert.equal(new Response("a").headers.get("content-type"), "text/plain;charset=UTF-8");
    assert.equal(
      new Response("a", { headers: { "Content-Type": "text/html" } }).headers.get("content-type"),
      "text/html",
    );
    const { status, headers, ok } = Response.redirect("https://a.example/b", 307);
    assert.deepEqual([status, headers.get("Location"), ok], [307, "https://a.example/b", false]);
  });
});
