/** What a token costs to verify, and when it stops to count. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type MadeToken,
  makeToken,
  rowOfToken,
  TOKEN_KIND,
  TokenTable,
} from "../../src/access/token-table.ts";
import { Verifier, VerifierBusy } from "../../src/access/verifier.ts";

const GIVEN = { name: "ci", role: "admin", workspace: "", expiresAt: null } as const;

async function tableOf(...given: Partial<typeof GIVEN | { expiresAt: number }>[]) {
  const table = new TokenTable();
  const made: MadeToken[] = [];
  for (const each of given) made.push(await makeToken({ ...GIVEN, ...each }, Date.now()));
  table.apply(made.map(({ token }) => ({ put: rowOfToken(token) })));
  return { table, texts: made.map(({ text }) => text), made };
}

const remove = (id: string) => [{ remove: { kind: TOKEN_KIND, id } }];

test("a token that was found right is not worked out again for a while, and many at once are one", async () => {
  const { table, texts } = await tableOf({});
  const [text = ""] = texts;
  const verifier = new Verifier(table);
  const found = await Promise.all(Array.from({ length: 200 }, () => verifier.verify(text)));
  assert.ok(found.every((token) => token?.name === "ci"));
  for (let i = 0; i < 1000; i++) assert.equal(verifier.known(text)?.name, "ci");
  assert.equal(verifier.hashes, 1);
});

test("what was found right is looked at anew after a minute", async () => {
  const { table, texts } = await tableOf({});
  let now = Date.now();
  const verifier = new Verifier(table, () => now);
  await verifier.verify(texts[0] ?? "");
  now += 60_001;
  assert.equal(verifier.known(texts[0] ?? ""), null);
});

test("a token that is revoked is good for nothing at once, whether it was found right or not", async () => {
  const { table, texts, made } = await tableOf({});
  const [text = ""] = texts;
  const verifier = new Verifier(table);
  await verifier.verify(text);
  const pending = verifier.verify(text);
  table.apply(remove(made[0]?.token.id ?? ""));
  assert.equal(verifier.known(text), null);
  assert.equal(await pending, null);
  assert.equal(await verifier.verify(text), null);
});

test("a token counts until its end and not a moment longer, remembered or not", async () => {
  const end = 4_000_000_000;
  const { table, texts } = await tableOf({ expiresAt: end });
  const [text = ""] = texts;
  let now = end * 1000 - 1;
  const verifier = new Verifier(table, () => now);
  assert.equal((await verifier.verify(text))?.name, "ci");
  now += 1;
  assert.equal(verifier.known(text), null);
  assert.equal(await verifier.verify(text), null);
});

test("whatever is wrong with a token costs the same work", async () => {
  const { table, texts, made } = await tableOf({}, { expiresAt: 1 }, {});
  const [right = "", expired = "", revoked = ""] = texts;
  table.apply(remove(made[2]?.token.id ?? ""));
  const verifier = new Verifier(table);
  const wrong = [
    `${right.slice(0, -1)}${right.endsWith("A") ? "B" : "A"}`,
    expired,
    revoked,
    right.replace(/^gh_[^_]*/, "gh_00000000-0000-4000-8000-000000000000"),
    "no token at all",
    "",
  ];
  for (const [i, text] of wrong.entries()) {
    assert.equal(await verifier.verify(text), null);
    assert.equal(verifier.hashes, i + 1);
  }
});

test("beyond so many that wait nothing is worked out, and those that wait get their answer", async () => {
  const { table } = await tableOf({});
  const verifier = new Verifier(table);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 60 }, (_, i) => verifier.verify(`guess ${i}`)),
  );
  const busy = outcomes.filter((one) => one.status === "rejected" && one.reason instanceof VerifierBusy);
  assert.equal(busy.length, 60 - 34);
  assert.equal(verifier.hashes, 34);
  assert.equal(await verifier.verify("later"), null);
});

test("of those that were found right it remembers so many, the last ones", async () => {
  const { table, texts } = await tableOf({}, {}, {});
  const verifier = new Verifier(table, Date.now, 2);
  for (const text of texts) await verifier.verify(text);
  assert.deepEqual(
    texts.map((text) => verifier.known(text) !== null),
    [false, true, true],
  );
});

test("a row that is no token in every field lets nobody in, and is told of", async () => {
  const { made } = await tableOf({});
  const row = rowOfToken((made[0] as MadeToken).token);
  const wrong: Record<string, unknown>[] = [
    { role: "king" },
    { role: "__proto__" },
    { hash: "plain" },
    { hash: "0".repeat(40) },
    { hash: null },
    { name: 1 },
    { created_at: "now" },
    { expires_at: "never" },
    { id: "another" },
  ];
  for (const change of wrong) {
    const unsound: string[] = [];
    const table = new TokenTable((id) => unsound.push(id));
    table.apply([{ put: row }]);
    table.apply([{ put: { ...row, body: { ...row.body, ...change } } }]);
    assert.deepEqual(unsound, [row.id], JSON.stringify(change));
    assert.equal(table.find(row.id), undefined);
  }
});
