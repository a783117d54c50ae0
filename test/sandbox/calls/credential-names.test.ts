/** What clients identify themselves by, and what guests see of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WorkspaceCredentials } from "../../../src/sandbox/calls/credential-names.ts";
import {
  type GuestGrants,
  guestCall,
  NO_GRANTS,
  requestHeaderGrant,
  responseHeaderGrant,
} from "../../../src/sandbox/calls/grants.ts";
import { applyVerdict, checkVerdict, Violation } from "../../../src/sandbox/calls/verdict.ts";
import { MemoryContext } from "../context.ts";
import { LIMITS } from "../sandbox.ts";

function sightOf(granted: Partial<GuestGrants>, names: readonly string[] = ["apikey"]) {
  const credentials = new WorkspaceCredentials();
  credentials.add("w", names);
  const grants = { ...NO_GRANTS, ...granted };
  return {
    grants,
    requestHeaders: requestHeaderGrant(grants, credentials.of("w")),
    responseHeaders: responseHeaderGrant(grants),
  };
}

for (const [title, query, shown, granted] of [
  ["a key", "a=1&apikey=s3cret&b=2", "a=1&b=2", {}],
  ["a key in other letters", "ApiKey=s3cret", "", {}],
  ["a key whose name is written with escapes", "%61pi%6Bey=s3cret&b", "b", {}],
  ["a key twice", "apikey=one&a&apikey=two", "a", {}],
  ["a name without a value", "apikey&a", "a", {}],
  ["a name that merely begins like it", "apikeys=1", "apikeys=1", {}],
  ["a value that is its name", "a=apikey", "a=apikey", {}],
  ["an escape that is none", "%zz=1&apikey=s3cret", "%zz=1", {}],
  ["a key that the manifest names", "apikey=s3cret", "apikey=s3cret", { requestHeaders: ["apikey"] }],
  ["a key beside all headers", "apikey=s3cret&a", "a", { requestHeaders: ["*"] }],
] as const)
  test(`of a query with ${title}, a guest sees ${JSON.stringify(shown)}`, () => {
    const call = guestCall(sightOf(granted), new MemoryContext({ query }), "access", 0, null, null);
    assert.equal(call.request.query, shown);
  });

for (const [title, before, written, after] of [
  ["replaces the query", "a=1&apikey=s3cret", "b=2", "b=2&apikey=s3cret"],
  ["empties the query", "apikey=s3cret&a=1", "", "apikey=s3cret"],
  ["writes a query where only a key was", "apikey=s3cret", "a=1", "a=1&apikey=s3cret"],
  ["changes a query without a key", "a=1", "a=2", "a=2"],
] as const)
  test(`a guest that ${title} takes no key away that it did not see`, () => {
    const ctx = new MemoryContext({ query: before });
    applyVerdict({ request: { query: written } }, ctx, sightOf({}));
    assert.equal(ctx.request.query, after);
  });

test("headers with a client's key are seen and written by guests that name them, and by no others", () => {
  const headers: [string, string][] = [
    ["ApiKey", "s3cret"],
    ["X-Other", "1"],
  ];
  const seenBy = (granted: Partial<GuestGrants>) =>
    guestCall(sightOf(granted), new MemoryContext({ headers }), "access", 0, null, null).request.headers;
  assert.deepEqual(seenBy({ requestHeaders: ["*"] }), [["X-Other", "1"]]);
  assert.deepEqual(seenBy({ requestHeaders: ["*", "apikey"] }), headers);
  const edit = { request: { headers: [["set", "APIKEY", "other"] as const] } };
  assert.throws(() => checkVerdict(edit, "access", sightOf({ requestHeaders: ["*"] }), LIMITS), Violation);
  checkVerdict(edit, "access", sightOf({ requestHeaders: ["apikey"] }), LIMITS);
});

test("who the consumer is shows in headers to guests with that grant, or that name the header", () => {
  const headers: [string, string][] = [
    ["X-Consumer-Username", "ada"],
    ["X-Credential-Identifier", "k"],
    ["X-Anonymous-Consumer", "true"],
    ["X-Consumers", "3"],
  ];
  const seenBy = (granted: Partial<GuestGrants>) =>
    guestCall(sightOf(granted), new MemoryContext({ headers }), "access", 0, null, null).request.headers
      .length;
  assert.equal(seenBy({ requestHeaders: ["*"] }), 1);
  assert.equal(seenBy({ requestHeaders: ["*"], consumer: true }), 4);
  assert.equal(seenBy({ requestHeaders: ["x-consumer-username"] }), 1);
});

test("names go when the last plugin that looks for them goes", () => {
  const credentials = new WorkspaceCredentials();
  const names = credentials.of("w");
  const removals = [credentials.add("w", ["ApiKey", "apikey", "k"]), credentials.add("w", ["apikey"])];
  assert.ok(names.has("apikey") && names.has("k") && !credentials.of("other").has("apikey"));
  removals[0]?.();
  assert.ok(names.has("apikey") && !names.has("k"));
  removals[1]?.();
  assert.equal(names.size, 0);
});
