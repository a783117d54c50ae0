/** Good guests with random bytes changed: the forge always reaches a verdict, and never a wrong one. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before, describe, it } from "node:test";
import { forgeArtifact } from "../../../src/sandbox/forge/forge.ts";
import { DEFAULT_FORGE_LIMITS } from "../../../src/sandbox/forge/limits.ts";
import { buildGuests } from "../../../wasm-plugins/build.ts";
import { answering, assemble } from "../wasm/guests.ts";

/** A small repeatable source of numbers (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function mutate(original: Uint8Array, next: (below: number) => number): Uint8Array {
  const bytes = original.slice(0, next(20) === 0 ? next(original.length) : original.length);
  for (let changes = 1 + next(4); changes > 0 && bytes.length > 0; changes--) {
    const at = next(bytes.length);
    // Small changes of numbers stay valid more often than random bytes do.
    bytes[at] = next(2) === 0 ? next(256) : ((bytes[at] as number) + next(3) - 1) & 255;
  }
  return bytes;
}

describe("mutated guests", () => {
  const corpus: Uint8Array[] = [];
  before(async () => {
    for (const { runtime, entry } of await buildGuests())
      if (runtime === "extism") corpus.push(new Uint8Array(await readFile(entry)));
    corpus.push(assemble(answering('{"vars":{"a":1}}')));
  });

  it("get a verdict each, and what is admitted is valid, metered and clamped", async () => {
    const next = random(20260704);
    let admitted = 0;
    for (let i = 0; i < 600; i++) {
      const bytes = mutate(corpus[i % corpus.length] as Uint8Array, next);
      const result = await forgeArtifact(bytes, "extism", ["access"], DEFAULT_FORGE_LIMITS);
      if (!result.ok) {
        assert.ok(result.reasons.length > 0 && result.reasons.every((reason) => reason.length > 0));
        continue;
      }
      admitted++;
      assert.ok(WebAssembly.validate(bytes), "V8 refuses what the forge admitted");
      const exports = WebAssembly.Module.exports(new WebAssembly.Module(result.emitted));
      assert.ok(exports.some(({ name, kind }) => name === "gatehouse:fuel" && kind === "global"));
    }
    assert.ok(admitted > 0, "some mutations are harmless and must pass");
    // The forge is as good as new afterwards.
    const good = await forgeArtifact(corpus[0] as Uint8Array, "extism", ["access"], DEFAULT_FORGE_LIMITS);
    assert.ok(good.ok);
  });
});
