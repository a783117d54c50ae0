/** key-auth: where a key is found, what a client without one is told, and what the upstream may believe. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Origin, type Received, receivedHeader, startOrigin } from "../support/origin.ts";
import { PLACEMENTS, startPlaced } from "./placements.ts";

const JSON_TYPE = { "content-type": "application/json" };
const FORM_TYPE = { "content-type": "application/x-www-form-urlencoded" };

for (const placement of PLACEMENTS) {
  describe(`key-auth, ${placement.title}`, () => {
    let origin: Origin;
    let gateway: Gateway;

    before(async () => {
      origin = await startOrigin();
      const name = "key-auth";
      gateway = await startPlaced(placement, {
        origin,
        routes: {
          plain: [{ name }],
          realm: [{ name, config: { realm: 'the "house"' } }],
          hidden: [{ name, config: { hide_credentials: true } }],
          named: [{ name, config: { key_names: ["X-Key", "token"] } }],
          "query-only": [{ name, config: { key_in_header: false } }],
          "header-only": [{ name, config: { key_in_query: false } }],
          body: [{ name, config: { key_in_body: true, hide_credentials: true } }],
          preflight: [{ name, config: { run_on_preflight: false } }],
          anonymous: [{ name, config: { anonymous: "guest" } }],
          ghost: [{ name, config: { anonymous: "nobody-there" } }],
        },
        entities: {
          consumers: [
            { username: "alice", custom_id: "a-17", keyauth_credentials: [{ key: "alices-key" }] },
            { username: "bob", keyauth_credentials: [{ key: "bobs key+%" }] },
            { username: "guest" },
            { username: "zoë-Ċ", custom_id: "Ķ\u010a", keyauth_credentials: [{ key: "zoes-key" }] },
          ],
        },
      });
    });
    after(async () => {
      await gateway?.[Symbol.asyncDispose]();
      await origin?.close();
    });

    const refusals = [
      { title: "no key", path: "/plain", message: "No API key found in request" },
      { title: "an empty key", path: "/plain?apikey=", message: "No API key found in request" },
      { title: "an unknown key", path: "/plain?apikey=wrong", message: "Unauthorized" },
      {
        title: "a key twice in the query",
        path: "/plain?apikey=a&apikey=b",
        message: "Duplicate API key found",
      },
      {
        title: "a key only where it is not looked for",
        path: "/header-only?apikey=alices-key",
        message: "No API key found in request",
      },
    ];
    for (const { title, path, message } of refusals) {
      it(`${title} is refused with 401 "${message}"`, async () => {
        const before = origin.requests.length;
        const answer = await send(gateway.url + path);
        assert.equal(answer.status, 401);
        assert.equal(answer.header("www-authenticate"), "Key");
        assert.equal(answer.header("content-type"), "application/json; charset=utf-8");
        const { request_id, ...rest } = answer.json() as Record<string, unknown>;
        assert.deepEqual(rest, { message });
        assert.match(String(request_id), /^[0-9a-f]{32}$/);
        assert.equal(request_id, answer.header("x-kong-request-id"));
        assert.equal(origin.requests.length, before, "nothing goes upstream");
      });
    }

    it("a key sent in two headers is refused as a duplicate", async () => {
      const headers: [string, string][] = [
        ["apikey", "alices-key"],
        ["ApiKey", "alices-key"],
      ];
      const answer = await send(`${gateway.url}/plain`, { headers });
      assert.equal(answer.status, 401);
      assert.equal((answer.json() as { message: string }).message, "Duplicate API key found");
    });

    it("a refusal names the realm, quoted", async () => {
      const answer = await send(`${gateway.url}/realm`);
      assert.equal(answer.header("www-authenticate"), 'Key realm="the \\"house\\""');
    });

    it("a refusal is plain text for a client that accepts only that", async () => {
      const answer = await send(`${gateway.url}/plain`, { headers: { accept: "text/plain" } });
      assert.equal(answer.header("content-type"), "text/plain; charset=utf-8");
      assert.match(answer.body, /^No API key found in request\nrequest_id: [0-9a-f]{32}\n$/);
    });

    const accepted: { title: string; path: string; headers: Record<string, string> }[] = [
      { title: "in a header", path: "/plain", headers: { apikey: "alices-key" } },
      { title: "in a header, name in other case", path: "/plain", headers: { ApiKey: "alices-key" } },
      { title: "in the query", path: "/plain?x=1&apikey=alices-key", headers: {} },
      { title: "in the query under an escaped name", path: "/plain?api%6Bey=alices-key", headers: {} },
      { title: "under the first configured name", path: "/named", headers: { "x-key": "alices-key" } },
      { title: "under the second configured name", path: "/named?token=alices-key", headers: {} },
      {
        title: "in the query where headers are not searched",
        path: "/query-only?apikey=alices-key",
        headers: { apikey: "wrong" },
      },
    ];
    for (const { title, path, headers } of accepted) {
      it(`a key ${title} identifies its consumer to the upstream`, async () => {
        const answer = await send(gateway.url + path, { headers });
        assert.equal(answer.status, 200, answer.body);
        const got = answer.json() as Received;
        assert.equal(receivedHeader(got, "X-Consumer-Username"), "alice");
        assert.equal(receivedHeader(got, "X-Consumer-Custom-ID"), "a-17");
        assert.match(receivedHeader(got, "X-Consumer-ID") ?? "", /^[0-9a-f-]{36}$/);
        assert.match(receivedHeader(got, "X-Credential-Identifier") ?? "", /^[0-9a-f-]{36}$/);
      });
    }

    it("what a client claims about its consumer does not reach the upstream", async () => {
      const headers = {
        apikey: "bobs key+%",
        "X-Consumer-ID": "forged",
        "X-Consumer-Username": "forged",
        "X-Consumer-Custom-ID": "forged",
        "X-Credential-Identifier": "forged",
        "X-Anonymous-Consumer": "true",
      };
      const got = (await send(`${gateway.url}/plain`, { headers })).json() as Received;
      assert.equal(receivedHeader(got, "X-Consumer-Username"), "bob");
      assert.equal(receivedHeader(got, "X-Consumer-Custom-ID"), undefined);
      assert.equal(receivedHeader(got, "X-Anonymous-Consumer"), undefined);
      assert.ok(!JSON.stringify(got.headers).includes("forged"));
    });

    it("a consumer's name beyond ASCII reaches the upstream as UTF-8 and cannot begin another header", async () => {
      const got = (
        await send(`${gateway.url}/plain`, { headers: { apikey: "zoes-key" } })
      ).json() as Received;
      assert.equal(receivedHeader(got, "X-Consumer-Username"), Buffer.from("zoë-Ċ").toString("latin1"));
      assert.equal(receivedHeader(got, "X-Consumer-Custom-ID"), Buffer.from("Ķ\u010a").toString("latin1"));
    });

    it("a key is passed on unless hide_credentials is set", async () => {
      const got = (
        await send(`${gateway.url}/plain`, { headers: { apikey: "alices-key" } })
      ).json() as Received;
      assert.equal(receivedHeader(got, "apikey"), "alices-key");
    });

    it("key in header is removed when hide_credentials is set", async () => {
      const got = (
        await send(`${gateway.url}/hidden`, { headers: { apikey: "alices-key" } })
      ).json() as Received;
      assert.equal(receivedHeader(got, "apikey"), undefined);
    });

    it("key in query is removed when hide_credentials is set, and the rest of the query stays byte for byte", async () => {
      const answer = await send(`${gateway.url}/hidden/x?a=%7e&apikey=bobs+key%2b%25&b=1+2&c`);
      assert.equal(answer.status, 200, answer.body);
      assert.equal((answer.json() as Received).url, "/x?a=%7e&b=1+2&c");
    });

    const bodies = [
      {
        title: "a JSON body",
        type: JSON_TYPE,
        body: '{"apikey":"alices-key","n":12345678901234567890}',
        upstream: '{"n":12345678901234567890}',
      },
      {
        title: "an urlencoded body",
        type: FORM_TYPE,
        body: "a=1&apikey=alices-key&b=%20",
        upstream: "a=1&b=%20",
      },
    ];
    for (const { title, type, body, upstream } of bodies) {
      it(`key in ${title} is found and removed`, async () => {
        const answer = await send(`${gateway.url}/body`, { method: "POST", headers: type, body });
        assert.equal(answer.status, 200, answer.body);
        const got = answer.json() as Received;
        assert.equal(got.body, upstream);
        assert.equal(receivedHeader(got, "X-Consumer-Username"), "alice");
      });
    }

    it("a body that is not what it says has no key", async () => {
      const answer = await send(`${gateway.url}/body`, {
        method: "POST",
        headers: JSON_TYPE,
        body: '{"apikey":',
      });
      assert.equal(answer.status, 401);
    });

    it("OPTIONS passes without a key when run_on_preflight is off, other methods do not", async () => {
      assert.equal((await send(`${gateway.url}/preflight`, { method: "OPTIONS" })).status, 200);
      assert.equal((await send(`${gateway.url}/preflight`)).status, 401);
      assert.equal((await send(`${gateway.url}/plain`, { method: "OPTIONS" })).status, 401);
    });

    it("a request without a valid key becomes the anonymous consumer's", async () => {
      const got = (await send(`${gateway.url}/anonymous?apikey=wrong`)).json() as Received;
      assert.equal(receivedHeader(got, "X-Consumer-Username"), "guest");
      assert.equal(receivedHeader(got, "X-Anonymous-Consumer"), "true");
      assert.equal(receivedHeader(got, "X-Credential-Identifier"), undefined);
    });

    it("a valid key beats the anonymous consumer", async () => {
      const got = (await send(`${gateway.url}/anonymous?apikey=alices-key`)).json() as Received;
      assert.equal(receivedHeader(got, "X-Consumer-Username"), "alice");
      assert.equal(receivedHeader(got, "X-Anonymous-Consumer"), undefined);
    });

    it("an anonymous consumer that does not exist is a 500 that names it", async () => {
      const answer = await send(`${gateway.url}/ghost`);
      assert.equal(answer.status, 500);
      const { message } = answer.json() as { message: string };
      assert.equal(message, "anonymous consumer nobody-there is configured but doesn't exist");
    });
  });
}
