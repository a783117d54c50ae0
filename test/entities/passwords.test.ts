import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { test } from "node:test";
import {
  hashPassword,
  hashPasswordNow,
  isHashedPassword,
  verifyPassword,
} from "../../src/entities/passwords.ts";

test("a password opens what was made of it, and no other does", async () => {
  for (const stored of [await hashPassword("open sesame"), hashPasswordNow("open sesame")]) {
    assert.ok(isHashedPassword(stored));
    assert.equal(await verifyPassword(stored, "open sesame", "c"), true);
    for (const other of ["", "open", "open sesame ", "Open sesame"])
      assert.equal(await verifyPassword(stored, other, "c"), false, other);
  }
});

test("two hashes of one password have nothing in common", async () => {
  assert.notEqual(await hashPassword("a"), await hashPassword("a"));
});

test("Kong's hash of a password and its consumer is verified", async () => {
  const consumer = "0dc6f45b-8f8d-40d2-a504-473544ee190b";
  const stored = hash("sha1", `open sesame${consumer}`, "hex");
  assert.equal(await verifyPassword(stored, "open sesame", consumer), true);
  assert.equal(await verifyPassword(stored, "open sesame", "another consumer"), false);
  assert.equal(await verifyPassword(stored, stored, consumer), false);
});

const own = hashPasswordNow("a");
const FOREIGN: [title: string, stored: string][] = [
  ["the password itself", "a"],
  ["nothing", ""],
  ["a hash that asks for a gigabyte", own.replace("ln=14", "ln=20")],
  ["a hash that asks for nine times the work", own.replace("p=1", "p=9")],
  ["a hash that costs nothing", own.replace("ln=14", "ln=01")],
  ["half a hash", own.slice(0, -1)],
  ["upper-case SHA-1", "A".repeat(40)],
];

for (const [title, stored] of FOREIGN) {
  test(`${title} is no stored password and opens nothing`, async () => {
    assert.equal(isHashedPassword(stored), false);
    assert.equal(await verifyPassword(stored, "a", "c"), false);
  });
}
