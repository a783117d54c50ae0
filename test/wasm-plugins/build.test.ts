/** The example guests build, and what is built is fit to be uploaded. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Phase } from "@gatehouse/sdk";
import { parse } from "yaml";
import { createForge } from "../../src/sandbox/forge/forge-client.ts";
import { type BuiltGuest, buildGuest, buildGuests } from "../../wasm-plugins/build.ts";

describe("the example guests", () => {
  const forge = createForge();
  let guests: BuiltGuest[];
  before(async () => {
    guests = await buildGuests();
  });
  after(() => forge.close());

  it("are of both sandboxed runtimes", () => {
    assert.deepEqual(
      guests.map(({ name, runtime }) => `${name} ${runtime}`),
      ["header-stamp extism", "path-guard extism", "ts-hello isolate"],
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
