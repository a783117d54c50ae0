/** Words for errors of PostgreSQL that a test cannot bring about, and for those that nobody has foreseen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { postgresFailure } from "../../src/stores/postgres/postgres-failure.ts";

const failed = (fields: { readonly code?: string; readonly message?: string }) =>
  postgresFailure(Object.assign(new Error(fields.message ?? "as the server says"), fields), "PLACE").message;

const WORDS: readonly (readonly [string, string, RegExp])[] = [
  ["a full disk", "53100", /its disk is full; nothing was written.*no restart is needed/],
  ["a lack of memory", "53200", /it is out of resources/],
  ["damaged data", "XX001", /its data are damaged.*put a backup in their place/],
  ["a damaged index", "XX002", /reindex/],
  ["a disk that fails", "58030", /its disk fails; see its log/],
  ["a refused user", "28000", /pg_hba\.conf/],
  ["a missing column", "42703", /run 'gatehouse migrations status'/],
  ["a transaction that was given up", "25P03", /too slow in the middle of a transaction/],
  ["a name that cannot be looked up now", "EAI_AGAIN", /its name cannot be looked up now/],
  ["a host without a way to it", "EHOSTUNREACH", /there is no way to it/],
  ["an expired certificate", "CERT_HAS_EXPIRED", /its certificate has expired/],
];

for (const [what, code, words] of WORDS)
  test(`${what} is told in words, with the server's place`, () => {
    assert.match(failed({ code }), /^PLACE: /);
    assert.match(failed({ code }), words);
  });

test("what nobody has foreseen is told as the server says it, with its code", () => {
  assert.equal(failed({ code: "XX999" }), "PLACE: as the server says (XX999)");
  assert.equal(failed({ message: "odd" }), "PLACE: odd");
});

test("what led to it stays behind: statements and their values are nobody's to see", () => {
  const error = postgresFailure(
    Object.assign(new Error("x"), { code: "53100", detail: "Key (a)=(secret)" }),
    "P",
  );
  assert.equal(error.cause, undefined);
});
