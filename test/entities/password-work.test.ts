/** What is known of a document's passwords, and what is left to be worked out. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PasswordWork } from "../../src/entities/password-work.ts";
import { hashPassword, verifyPassword } from "../../src/entities/passwords.ts";

test("a password stays as it is kept, and another one gets a new hash", async () => {
  const kept = await hashPassword("open sesame");
  const passwords = new PasswordWork({ makesHashes: true });
  const same = { password: "open sesame", kept, consumer: "c" };
  const other = { password: "close sesame", kept, consumer: "c" };
  const fresh = { password: "new", kept: null, consumer: "" };
  assert.deepEqual(
    [same, other, fresh].map((one) => passwords.find(one)),
    [undefined, undefined, undefined],
  );
  assert.equal(passwords.isDue, true);
  await passwords.work();
  assert.equal(passwords.find(same), kept);
  for (const one of [other, fresh])
    assert.equal(await verifyPassword(passwords.find(one) ?? "", one.password, ""), true, one.password);
  assert.equal(passwords.isDue, false);
});

test("where nothing will be kept, a new password costs nothing", async () => {
  const passwords = new PasswordWork({ makesHashes: false });
  assert.equal(passwords.find({ password: "new", kept: null, consumer: "" }), "");
  assert.equal(passwords.isDue, false);
  const kept = await hashPassword("a");
  passwords.find({ password: "b", kept, consumer: "c" });
  await passwords.work();
  assert.equal(passwords.find({ password: "b", kept, consumer: "c" }), "");
});

test("what was compared once is known from then on, for the same hash and consumer alone", async () => {
  const kept = await hashPassword("once");
  const first = new PasswordWork({ makesHashes: false });
  first.find({ password: "once", kept, consumer: "c" });
  await first.work();
  const second = new PasswordWork({ makesHashes: false });
  assert.equal(second.find({ password: "once", kept, consumer: "c" }), kept);
  assert.equal(second.find({ password: "once", kept, consumer: "another" }), undefined);
  assert.equal(second.find({ password: "twice", kept, consumer: "c" }), undefined);
  assert.equal(second.isDue, true);
});
