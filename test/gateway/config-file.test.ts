/** The watch over the configuration file: whatever way it changes, and nothing else. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { fileStamp, watchFile } from "../../src/gateway/config-file.ts";

let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatehouse-watch-"));
});
after(() => rm(folder, { recursive: true }));

/** Watches until the file has changed once after `change`. */
async function noticed(file: string, change: () => Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const unwatch = watchFile(file, await fileStamp(file), resolve);
  await change();
  await promise;
  unwatch();
}

it("a file that is written anew is noticed", async () => {
  const file = join(folder, "a.yml");
  await writeFile(file, "one");
  await noticed(file, () => writeFile(file, "second"));
});

it("a file that an editor replaces is noticed", async () => {
  const file = join(folder, "b.yml");
  await writeFile(file, "one");
  await noticed(file, async () => {
    await writeFile(`${file}~`, "two");
    await rename(`${file}~`, file);
  });
});

it("a folder that is swapped behind a link is noticed", async () => {
  for (const name of ["v1", "v2"]) {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, "kong.yml"), name);
  }
  await symlink("v1", join(folder, "..data"));
  const file = join(folder, "kong.yml");
  await symlink("..data/kong.yml", file);
  await noticed(file, async () => {
    await symlink("v2", join(folder, "..next"));
    await rename(join(folder, "..next"), join(folder, "..data"));
  });
});

it("a change between the first read and the watch is noticed", async () => {
  const file = join(folder, "c.yml");
  await writeFile(file, "one");
  const stamp = await fileStamp(file);
  await writeFile(file, "second");
  const { promise, resolve } = Promise.withResolvers<void>();
  const unwatch = watchFile(file, stamp, resolve);
  await promise;
  unwatch();
});

it("another file in the folder is nobody's business", async () => {
  const file = join(folder, "d.yml");
  await writeFile(file, "one");
  let changes = 0;
  const unwatch = watchFile(file, await fileStamp(file), () => changes++);
  await writeFile(join(folder, "other.yml"), "x");
  // A change of the file itself comes after it, and is the only one that is told.
  await noticed(file, () => writeFile(file, "second"));
  assert.ok(changes <= 1);
  unwatch();
});
