/** request-transformer: what the upstream receives for each kind of edit, and what is refused. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Answer, type SendOptions, send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Origin, type Received, receivedHeader, startOrigin } from "../support/origin.ts";
import { PLACEMENTS, type PluginEntry, startPlaced } from "./placements.ts";

const JSON_TYPE = { "content-type": "application/json" };
const FORM_TYPE = { "content-type": "application/x-www-form-urlencoded" };

interface Case {
  readonly title: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Appended to the route's path. */
  readonly target?: string;
  readonly send?: SendOptions;
  /** What the upstream must have received; headers as joined values, undefined for absent. */
  readonly url?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  readonly body?: string;
}

const CASES: readonly Case[] = [
  {
    title: "removes headers whatever their case",
    config: { remove: { headers: ["X-Gone"] } },
    send: {
      headers: [
        ["x-gone", "1"],
        ["X-GONE", "2"],
        ["X-Kept", "3"],
      ],
    },
    headers: { "x-gone": undefined, "x-kept": "3" },
  },
  {
    title: "renames a header with all its values, in place of the new name's",
    config: { rename: { headers: ["X-Old:X-New"] } },
    send: {
      headers: [
        ["X-Old", "1"],
        ["X-Old", "2"],
        ["X-New", "before"],
      ],
    },
    headers: { "x-old": undefined, "x-new": "1, 2" },
  },
  {
    title: "renames nothing if the header is not there",
    config: { rename: { headers: ["X-Old:X-New"] } },
    send: { headers: { "X-New": "stays" } },
    headers: { "x-new": "stays" },
  },
  {
    title: "replaces only headers that are there",
    config: { replace: { headers: ["X-A:new", "X-B:new"] } },
    send: { headers: { "X-A": "old" } },
    headers: { "x-a": "new", "x-b": undefined },
  },
  {
    title: "adds only headers that are not there",
    config: { add: { headers: ["X-A:new", "X-B:with:colons"] } },
    send: { headers: { "X-A": "old" } },
    headers: { "x-a": "old", "x-b": "with:colons" },
  },
  {
    title: "appends beside the values that are there",
    config: { append: { headers: ["X-A:2", "X-B:1"] } },
    send: { headers: { "X-A": "1" } },
    headers: { "x-a": "1, 2", "x-b": "1" },
  },
  {
    title: "works in the order remove, rename, replace, add, append",
    config: {
      remove: { headers: ["X-A"] },
      rename: { headers: ["X-B:X-C"] },
      replace: { headers: ["X-C:c"] },
      add: { headers: ["X-A:again"] },
      append: { headers: ["X-A:more"] },
    },
    send: { headers: { "X-A": "old", "X-B": "b" } },
    headers: { "x-a": "again, more", "x-b": undefined, "x-c": "c" },
  },
  {
    title: "replaces the Host that the upstream sees",
    config: { replace: { headers: ["Host:other.test"] } },
    headers: { host: "other.test" },
  },
  {
    title: "edits the query and leaves the rest of it byte for byte",
    config: {
      remove: { querystring: ["gone"] },
      rename: { querystring: ["old:new name"] },
      replace: { querystring: ["r:2", "absent:x"] },
      add: { querystring: ["a:1 & 2", "kept:no"] },
      append: { querystring: ["kept:more"] },
    },
    target: "/p?kept=%7E+x&gone=1&old=o%20o&gone=2&r=1&flag",
    url: "/p?kept=%7E+x&new%20name=o%20o&r=2&flag&a=1%20%26%202&kept=more",
  },
  {
    title: "an emptied query leaves no question mark",
    config: { remove: { querystring: ["only"] } },
    target: "/p?only=1",
    url: "/p",
  },
  {
    title: "replaces the path and keeps the query",
    config: { replace: { uri: "/fixed/path" } },
    target: "/ignored?q=1",
    url: "/fixed/path?q=1",
  },
  {
    title: "fills templates from headers, query, shared values and text",
    config: {
      add: {
        headers: [
          "X-One:$(headers.x_user)-$(headers['X-User'])",
          "X-Two:$(query_params.page or '1')/$(query_params[\"page size\"] or 'none')",
          "X-Three:[$(headers.missing)]",
        ],
      },
    },
    target: "/?page%20size=20",
    send: { headers: { "X-User": "alice" } },
    headers: { "x-one": "alice-alice", "x-two": "1/20", "x-three": "[]" },
  },
  {
    title: "fills a path template and escapes what a path cannot hold",
    config: { replace: { uri: "/users/$(query_params.id)/x" } },
    target: "/?id=a%20b%3Fc%23d",
    url: "/users/a%20b%3Fc%23d/x?id=a%20b%3Fc%23d",
  },
  {
    title: "a value from the request cannot begin a second header",
    config: { add: { headers: ["X-Value:$(query_params.v)"] } },
    target: "/?v=a%0d%0aX-Evil:%201",
    headers: { "x-value": "a%0D%0AX-Evil: 1", "x-evil": undefined },
  },
  {
    title: "passes text beyond ASCII on as UTF-8, from query and header alike",
    config: {
      add: { headers: ["X-Value:$(query_params.v) $(headers.x_v) ö"], querystring: ["w:$(headers.x_v)"] },
    },
    target: "/?v=%C3%A9%C4%8A",
    send: { headers: { "X-V": Buffer.from("ż").toString("latin1") } },
    headers: { "x-value": Buffer.from("éĊ ż ö").toString("latin1") },
    url: "/?v=%C3%A9%C4%8A&w=%C5%BC",
  },
  {
    title: "changes the method",
    config: { http_method: "PUT" },
    send: { method: "POST", body: "x" },
    method: "PUT",
    body: "x",
  },
  {
    title: "a method without a body moves an urlencoded body into the query",
    config: { http_method: "GET" },
    target: "/?a=1",
    send: { method: "POST", headers: FORM_TYPE, body: "b=2&c=%20" },
    method: "GET",
    url: "/?a=1&b=2&c=%20",
    body: "",
  },
  {
    title: "edits the top level of a JSON body and keeps numbers exactly",
    config: {
      remove: { body: ["gone"] },
      rename: { body: ["old:new"] },
      replace: { body: ["r:2"] },
      add: { body: ["a:1", "id:no"] },
      append: { body: ["list:3", "text:more", "fresh:1"] },
    },
    send: {
      method: "POST",
      headers: JSON_TYPE,
      body: '{"id":12345678901234567890,"gone":1,"old":{"x":[1]},"r":1,"list":[1],"text":"t"}',
    },
    body: '{"id":12345678901234567890,"r":"2","list":[1,"3"],"text":["t","more"],"new":{"x":[1]},"a":"1","fresh":["1"]}',
  },
  {
    title: "edits an urlencoded body",
    config: { remove: { body: ["gone"] }, add: { body: ["a:x y"] }, replace: { body: ["k:$(headers.x_k)"] } },
    send: { method: "POST", headers: { ...FORM_TYPE, "x-k": "v" }, body: "k=1&gone=1&z=%7e" },
    body: "k=v&z=%7e&a=x%20y",
  },
  {
    title: "leaves a body alone that is not what it says",
    config: { add: { body: ["a:1"] } },
    send: { method: "POST", headers: JSON_TYPE, body: '{"broken":' },
    body: '{"broken":',
  },
  {
    title: "leaves a JSON list alone",
    config: { add: { body: ["a:1"] } },
    send: { method: "POST", headers: JSON_TYPE, body: "[1, 2]" },
    body: "[1, 2]",
  },
  {
    title: "leaves a body of another type alone",
    config: { add: { body: ["a:1"] } },
    send: { method: "POST", headers: { "content-type": "text/plain" }, body: "k=1" },
    body: "k=1",
  },
];

/** Edits that a body cannot pass by, and bodies labelled JSON in which nothing can be edited. */
const DEMANDS: Readonly<Record<string, object>> = {
  remove: { remove: { body: ["is_admin"] } },
  rename: { rename: { body: ["is_admin:asked"] } },
  replace: { replace: { body: ["is_admin:no"] } },
};
const DEEP = "[".repeat(100_000) + "]".repeat(100_000);
const UNREADABLE: Readonly<Record<string, string | Buffer>> = {
  "that is cut off": '{"is_admin":true',
  "with a comment": '{"is_admin":true}//',
  "that is a list": '[{"is_admin":true}]',
  "that is no UTF-8": Buffer.from('{"is_admin":true,"a":"\xff"}', "latin1"),
  "that is nested very deeply": `{"is_admin":true,"a":${DEEP}}`,
  "that is nested very deeply beside a long number": `{"is_admin":true,"id":12345678901234567890,"a":${DEEP}}`,
};

for (const placement of PLACEMENTS) {
  describe(`request-transformer, ${placement.title}`, () => {
    let origin: Origin;
    let gateway: Gateway;

    before(async () => {
      origin = await startOrigin();
      const name = "request-transformer";
      const routes: Record<string, PluginEntry[]> = {
        multipart: [{ name, config: { remove: { body: ["is_admin"] } } }],
        unread: [{ name, config: { add: { body: ["a:1"] } } }],
        ...Object.fromEntries(Object.entries(DEMANDS).map(([kind, config]) => [kind, [{ name, config }]])),
        climb: [{ name, config: { replace: { uri: "/public/$(query_params.file)" } } }],
        captures: [{ name, config: { replace: { uri: "/items/$(uri_captures['id'])/$(uri_captures[1])" } } }],
        shared: [
          { name: "correlation-id", config: { header_name: "X-Id" } },
          { name, config: { add: { headers: ["X-Copy:$(shared.correlation_id)"] } } },
        ],
      };
      for (const [i, { config }] of CASES.entries()) routes[`case-${i}`] = [{ name, config }];
      gateway = await startPlaced(placement, {
        origin,
        routes,
        routeFields: { captures: { paths: ["~/captures/(?<id>\\d+)$"] } },
      });
    });
    after(async () => {
      await gateway?.[Symbol.asyncDispose]();
      await origin?.close();
    });

    const ask = (path: string, options?: SendOptions): Promise<Answer> => send(gateway.url + path, options);

    for (const [i, one] of CASES.entries()) {
      it(one.title, async () => {
        const answer = await ask(`/case-${i}${one.target ?? ""}`, one.send);
        assert.equal(answer.status, 200, answer.body);
        const got = answer.json() as Received;
        if (one.url !== undefined) assert.equal(got.url, one.url);
        if (one.method !== undefined) assert.equal(got.method, one.method);
        if (one.body !== undefined) assert.equal(got.body, one.body);
        for (const [name, value] of Object.entries(one.headers ?? {}))
          assert.equal(receivedHeader(got, name), value, name);
      });
    }

    it("fills a path template from what the route's expression captured", async () => {
      const got = (await ask("/captures/42")).json() as Received;
      assert.equal(got.url, "/items/42/42");
    });

    it("fills a template from what an earlier plugin shared", async () => {
      const got = (await ask("/shared", { headers: { "X-Id": "seven" } })).json() as Received;
      assert.equal(receivedHeader(got, "X-Copy"), "seven");
    });

    for (const file of ["..%2fsecret", "%252e%252e/secret", "a/../../secret", "..%5csecret"]) {
      it(`a path template is not climbed out of with ${file}`, async () => {
        const before = origin.requests.length;
        assert.equal((await ask(`/climb?file=${file}`)).status, 400);
        assert.equal(origin.requests.length, before);
      });
    }

    for (const [title, body] of Object.entries(UNREADABLE)) {
      it(`a JSON body ${title} is refused where a member has to be removed, renamed or replaced`, async () => {
        const before = origin.requests.length;
        for (const kind of Object.keys(DEMANDS)) {
          const answer = await ask(`/${kind}`, { method: "POST", headers: JSON_TYPE, body });
          assert.equal(answer.status, 400, kind);
          const { message } = answer.json() as { message: string };
          assert.equal(message, "The body is not a JSON object that can be read");
        }
        assert.equal(origin.requests.length, before, "nothing goes upstream");
      });

      it(`a JSON body ${title} goes on as it came where members are only added`, async () => {
        assert.equal((await ask("/unread", { method: "POST", headers: JSON_TYPE, body })).status, 200);
        assert.equal(origin.last.bodyLength, Buffer.byteLength(body));
      });
    }

    it("a JSON body that is nested deeply, but not too deeply, is edited", async () => {
      const deep = "[".repeat(900) + "]".repeat(900);
      const body = `{"is_admin":true,"text":"[[\\"{","id":12345678901234567890,"a":${deep}}`;
      const answer = await ask("/remove", { method: "POST", headers: JSON_TYPE, body });
      assert.equal((answer.json() as Received).body, body.replace('"is_admin":true,', ""));
    });

    it("a multipart body that should be edited is refused, not passed on unedited", async () => {
      const headers = { "content-type": "multipart/form-data; boundary=b" };
      const body = '--b\r\ncontent-disposition: form-data; name="is_admin"\r\n\r\n1\r\n--b--\r\n';
      const answer = await ask("/multipart", { method: "POST", headers, body });
      assert.equal(answer.status, 415);
      assert.equal(
        (answer.json() as { message: string }).message,
        "Multipart bodies cannot be transformed yet",
      );
    });
  });
}
