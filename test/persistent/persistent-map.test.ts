/** A persistent map against the engine's own, and maps that an edit came from against what they held. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PersistentMap } from "../../src/persistent/persistent-map.ts";

const key = fc.oneof(fc.nat(400).map(String), fc.string({ maxLength: 40 }));
const edits = fc.array(fc.array(fc.record({ key, value: fc.option(fc.nat()) }), { maxLength: 150 }), {
  maxLength: 5,
});

test("any edits leave what the same changes to a plain map leave, and the maps before untouched", () => {
  fc.assert(
    fc.property(edits, (changes) => {
      let map = PersistentMap.empty<number>();
      const plain = new Map<string, number>();
      const history: [PersistentMap<number>, Map<string, number>][] = [];
      for (const change of changes) {
        const edit = map.edit();
        for (const { key, value } of change) {
          if (value === null) assert.equal(edit.delete(key), plain.delete(key));
          else {
            edit.set(key, value);
            plain.set(key, value);
          }
          assert.equal(edit.get(key), plain.get(key));
        }
        map = edit.done();
        history.push([map, new Map(plain)]);
      }
      for (const [then, held] of history) {
        assert.equal(then.size, held.size);
        for (const [key, value] of held) assert.equal(then.get(key), value);
        assert.deepEqual([...then.values()].sort(), [...held.values()].sort());
      }
    }),
    { numRuns: 200 },
  );
});

test("a hundred thousand entries are found, and an edit of one of them changes that one", () => {
  const edit = PersistentMap.empty<number>().edit();
  for (let i = 0; i < 100_000; i++) edit.set(`host-${i}.example.com`, i);
  const map = edit.done();
  const one = map.edit();
  one.set("host-5.example.com", -1);
  one.delete("host-6.example.com");
  const next = one.done();
  assert.deepEqual([map.size, next.size], [100_000, 99_999]);
  for (let i = 0; i < 100_000; i++) {
    assert.equal(map.get(`host-${i}.example.com`), i);
    assert.equal(next.get(`host-${i}.example.com`), i === 5 ? -1 : i === 6 ? undefined : i);
  }
});
