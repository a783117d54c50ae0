/** The example guests build, and what is built is fit to be uploaded. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Phase } from "@gatehouse/sdk";
import { parse } from "yaml";
import { createForge } from "../../src/sandbox/forge/forge-client.ts";
import {
  type AbsentGuest,
  type BuiltGuest,
  buildGuest,
  buildGuests,
  guestNames,
} from "../../wasm-plugins/build.ts";

describe("the example guests", () => {
  const forge = createForge();
  const absent: AbsentGuest[] = [];
  let guests: BuiltGuest[];
  before(async () => {
    guests = await buildGuests(undefined, absent);
  });
  after(() => forge.close());

  it("are all built, or left out with a reason that names what is missing", async () => {
    const names = [...guests.map(({ name }) => name), ...absent.map(({ name }) => name)];
    assert.deepEqual(names.sort(), await guestNames());
    for (const { reason } of absent) assert.match(reason, /there is no '|has no target/);
    assert.deepEqual(new Set(guests.map(({ runtime }) => runtime)), new Set(["extism", "isolate"]));
  });

  it("that are asked for by name are the only ones that are built", async () => {
    assert.deepEqual(
      (await buildGuests(["ts-hello"])).map(({ name }) => name),
      ["ts-hello"],
    );
  });

  it("pass the forge with the phases of their manifests", async () => {
    for (const { name, runtime, folder, entry } of guests) {
      const manifest = parse(await readFile(join(folder, "plugin.yaml"), "utf8")) as { phases: Phase[] };
      const result = await forge.forge(await readFile(entry), runtime, manifest.phases);
      assert.ok(result.ok, `${name}: ${result.ok || result.reasons.join("; ")}`);
    }
  });

  it("are built again only when a source is newer", async () => {
    const folder = await mkdtemp(join(tmpdir(), "guest-"));
    try {
      const source = join(import.meta.dirname, "../../wasm-plugins/ts-hello");
      const { entry } = await buildGuest(source, folder);
      const first = (await stat(entry)).mtimeMs;
      await buildGuest(source, folder);
      assert.equal((await stat(entry)).mtimeMs, first);
      await utimes(entry, 0, 0);
      await buildGuest(source, folder);
      assert.ok((await stat(entry)).mtimeMs >= first);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
