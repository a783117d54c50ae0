/** The operator's own token under the prefix: made once, and refused if others could have read or made it. */
import assert from "node:assert/strict";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "node:test";
import { openTokenFile, readTokenFile, tokenFile } from "../../src/access/token-file.ts";
import { freshToken } from "../../src/access/token-table.ts";
import { scratch } from "../registry/packages.ts";

test("it is made once, for its owner's eyes, and stays as it is", async () => {
  const prefix = scratch();
  const one = await openTokenFile(prefix);
  const other = await openTokenFile(prefix);
  assert.match(one, /^gh_[0-9a-f-]{36}_[A-Za-z0-9_-]{43}$/);
  assert.equal(other, one);
  assert.equal(statSync(tokenFile(prefix)).mode & 0o777, 0o600);
  assert.equal(readFileSync(tokenFile(prefix), "utf8"), `${one}\n`);
  assert.deepEqual(readdirSync(prefix), ["admin-token"]);
});

test("without a file there is no token to read", async () => {
  assert.equal(await readTokenFile(tokenFile(scratch())), null);
});

const WRONG: [title: string, make: (path: string) => void, message: RegExp][] = [
  [
    "a file that others may read",
    (path) => {
      writeFileSync(path, freshToken().text);
      chmodSync(path, 0o644);
    },
    /other users of the machine have rights to it; chmod 600/,
  ],
  ["a file without a token", (path) => writeFileSync(path, "secret", { mode: 0o600 }), /holds no token/],
  ["an empty file", (path) => writeFileSync(path, "", { mode: 0o600 }), /holds no token/],
  ["a directory", (path) => mkdirSync(path, { mode: 0o700 }), /is no file/],
  ["a symbolic link", (path) => symlinkSync("/etc/hostname", path), /is a symbolic link/],
];

for (const [title, make, message] of WRONG)
  test(`${title} in its place is refused`, async () => {
    const prefix = scratch();
    make(tokenFile(prefix));
    await assert.rejects(openTokenFile(prefix), message);
  });
