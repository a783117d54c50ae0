/** Which cordon goes when memory is short. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Evictable, heaviest, idlest } from "../../../src/sandbox/supervisor/eviction.ts";

interface Case {
  readonly what: string;
  /** Workspace, bytes, when it was used last, and whether it is busy. */
  readonly cordons: readonly (readonly [string, number, number, "busy"?])[];
  /** Workspace and last use of the one that goes. */
  readonly goes: readonly [string, number] | null;
}

const CASES: Case[] = [
  { what: "nobody where all are busy", cordons: [["a", 50, 1, "busy"]], goes: null },
  {
    what: "who was idle for longest where all hold about the same",
    cordons: [
      ["a", 50, 3],
      ["b", 55, 1],
      ["c", 60, 2],
    ],
    goes: ["b", 1],
  },
  {
    what: "the workspace that holds most, though it was used last",
    cordons: [
      ["a", 20, 1],
      ["b", 100, 3],
      ["c", 20, 2],
    ],
    goes: ["b", 3],
  },
  {
    what: "of a workspace with many small ones that which was idle for longest",
    cordons: [
      ["a", 30, 1],
      ["b", 30, 4],
      ["b", 30, 2],
      ["b", 30, 5, "busy"],
      ["c", 30, 3],
    ],
    goes: ["b", 2],
  },
  {
    what: "one of the others while all of those of the largest are busy",
    cordons: [
      ["a", 20, 2],
      ["b", 200, 3, "busy"],
      ["c", 20, 1],
    ],
    goes: ["c", 1],
  },
];

for (const { what, cordons, goes } of CASES)
  test(`where memory is short goes ${what}`, () => {
    const all = cordons.map(([workspace, ownBytes, lastUsedAt, busy]) => ({
      ...{ workspace, ownBytes, lastUsedAt, busy },
    }));
    const victim = heaviest(
      all,
      all.filter(({ busy }) => busy === undefined),
    );
    assert.deepEqual(victim && [victim.workspace, victim.lastUsedAt], goes);
  });

test("where places are short goes who was idle for longest, whatever it holds", () => {
  const idle: Evictable[] = [
    { workspace: "a", ownBytes: 200, lastUsedAt: 2 },
    { workspace: "b", ownBytes: 1, lastUsedAt: 1 },
  ];
  assert.equal(idlest(idle)?.workspace, "b");
  assert.equal(idlest([]), null);
});
