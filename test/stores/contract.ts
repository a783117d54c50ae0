/** What every store does alike. Each store's test file runs these cases over stores of its own. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MAX_BODY_BYTES, MAX_NAME_BYTES } from "../../src/stores/packed.ts";
import { type Edit, type Row, StaleRevision, type Store, UnfitValue } from "../../src/stores/store.ts";

/** One database, which several stores have open. All are closed with it. */
export interface Database extends AsyncDisposable {
  open(): Promise<Store>;
}

export interface Options {
  /** Removed rows that the store remembers. */
  readonly maxRemoved?: number;
}

export const row = (
  id: string,
  body: Row["body"] = { name: id },
  kind = "services",
  workspace = "w",
): Row => ({
  kind,
  id,
  workspace,
  body,
});
export const put = (id: string, body?: Row["body"], kind?: string, workspace?: string): Edit => ({
  put: row(id, body, kind, workspace),
});
export const remove = (id: string, kind = "services"): Edit => ({ remove: { kind, id } });

/** Rows in the order of their kinds and ids. */
export const sorted = (rows: readonly Row[]) =>
  rows.toSorted((a, b) => (`${a.kind} ${a.id}` < `${b.kind} ${b.id}` ? -1 : 1));

/** Edits in the order of the rows they touch. */
const sortedEdits = (edits: readonly Edit[]) => {
  const name = (edit: Edit) => ("put" in edit ? edit.put.id : edit.remove.id);
  return edits.toSorted((a, b) => (name(a) < name(b) ? -1 : 1));
};

/** Resolves when the store says that there may be changes. */
export function change(store: Store): Promise<void> {
  return new Promise((resolve) => {
    const end = store.watch(() => {
      end();
      resolve();
    });
  });
}

const ODD_BODIES: readonly (readonly [string, Row["body"]])[] = [
  ["U+0000 in a value", { text: "a\0b" }],
  ["U+0000 in a name", { "a\0b": 1 }],
  ["a surrogate without its pair", { text: "\ud800 and \udfff" }],
  ["characters beyond the first plane", { text: "𝕲🚪\u{10ffff}" }],
  ["quotes, backslashes and what looks like escapes", { text: "\\u0000 \" ' \\ {a,b} NULL $1 %s\r\n\t" }],
  ["names in their order, numbers last", { z: 1, a: 2, m: { y: 1, b: 2 } }],
  ["names of JavaScript's own", JSON.parse('{"__proto__":{"a":1},"constructor":2,"toString":3}')],
  ["nothing", {}],
  ["nulls, empty lists and empty texts", { a: null, b: [], c: {}, d: "", e: [null, [], {}] }],
  [
    "numbers at the edges of doubles",
    { a: 2 ** 53 + 2, b: -(2 ** 63), c: 1.7976931348623157e308, d: 5e-324, e: 0.1 },
  ],
  ["right-to-left marks and line separators", { text: "\u202e\u2028\u2029\ufeff" }],
  ["a deep one", JSON.parse(`${'{"a":'.repeat(200)}1${"}".repeat(200)}`)],
];

const UNFIT: readonly (readonly [string, () => Edit, RegExp])[] = [
  ["a number that is not finite", () => put("a", { n: Number.NaN }), /field 'n' is NaN/],
  ["a number of arbitrary length", () => put("a", { n: [2n ** 64n] }), /is 18446744073709551616/],
  ["a body that is a list", () => put("a", [] as unknown as Row["body"]), /no JSON object/],
  [
    "a body that is too long",
    () => put("a", { t: "x".repeat(MAX_BODY_BYTES) }),
    /longer than 16777216 bytes/,
  ],
  ["a body too long in bytes alone", () => put("a", { t: "€".repeat(MAX_BODY_BYTES / 2) }), /longer than/],
  ["an id with U+0000", () => put("a\0b"), /its id is no text/],
  ["an id with half a surrogate pair", () => put("\ud800"), /its id is no text/],
  ["an id that is too long", () => put("€".repeat(MAX_NAME_BYTES / 3 + 1)), /its id is longer than 1024/],
  ["no id", () => put(""), /has a kind and an id/],
  ["no kind", () => put("a", {}, ""), /has a kind and an id/],
  ["a workspace with U+0000", () => put("a", {}, "services", "\0"), /its workspace is no text/],
  ["a removal without an id", () => remove(""), /has a kind and an id/],
];

export function describeStore(name: string, make: (options?: Options) => Promise<Database>): void {
  describe(`${name}: what every store does`, () => {
    const withStore = async (work: (store: Store, other: Store) => Promise<void>, options?: Options) => {
      await using database = await make(options);
      await work(await database.open(), await database.open());
    };

    it("is empty at revision 0 before anything was written", () =>
      withStore(async (store) => {
        assert.deepEqual(await store.read(), { revision: 0, rows: [] });
        assert.deepEqual(await store.changesSince(0), { revision: 0, edits: [] });
      }));

    it("gives back what was written, in this and in another store", () =>
      withStore(async (store, other) => {
        const rows = [row("a"), row("b", { n: 1 }), row("a", { x: [] }, "routes", "")];
        assert.equal(
          await store.write(
            0,
            rows.map((one) => ({ put: one })),
            [],
          ),
          1,
        );
        for (const one of [store, other]) {
          const { revision, rows: found } = await one.read();
          assert.equal(revision, 1);
          assert.deepEqual(sorted(found), sorted(rows));
        }
      }));

    it("keeps a row apart from what becomes of the object that was written", () =>
      withStore(async (store) => {
        const body = { list: [1] };
        await store.write(0, [put("a", body)], []);
        body.list.push(2);
        assert.deepEqual((await store.read()).rows, [row("a", { list: [1] })]);
      }));

    it("replaces, moves to another workspace, and removes", () =>
      withStore(async (store) => {
        await store.write(0, [put("a"), put("b"), put("c")], []);
        await store.write(1, [put("a", { n: 2 }), put("b", { n: 3 }, "services", "v"), remove("c")], []);
        const { rows } = await store.read();
        assert.deepEqual(sorted(rows), [row("a", { n: 2 }), row("b", { n: 3 }, "services", "v")]);
      }));

    it("takes the removal of what is not there", () =>
      withStore(async (store) => {
        assert.equal(await store.write(0, [remove("a"), put("b")], []), 1);
        assert.deepEqual((await store.changesSince(0))?.edits, [put("b")]);
      }));

    it("lets the last edit of a row count", () =>
      withStore(async (store) => {
        await store.write(0, [put("a"), remove("a"), put("b"), put("a", { n: 9 }), remove("b")], []);
        assert.deepEqual((await store.read()).rows, [row("a", { n: 9 })]);
      }));

    it("refuses a write that was judged at an earlier revision, and writes nothing of it", () =>
      withStore(async (store, other) => {
        await store.write(0, [put("a")], []);
        const late = { at: 1, workspace: "w", body: {} };
        await assert.rejects(other.write(0, [put("b")], [late]), (error) => {
          assert.ok(error instanceof StaleRevision);
          assert.equal(error.expected, 0);
          return true;
        });
        await assert.rejects(other.write(2, [put("b")], []), StaleRevision);
        assert.deepEqual((await other.read()).rows, [row("a")]);
        assert.deepEqual((await other.audit(null, 10, null)).entries, []);
        assert.equal(await other.write(1, [put("b")], []), 2);
      }));

    it("takes one of many writes at the same revision", () =>
      withStore(async (store, other) => {
        const tries = Array.from({ length: 20 }, (_, i) =>
          (i % 2 === 0 ? store : other).write(0, [put(`a${i}`)], []),
        );
        const results = await Promise.allSettled(tries);
        assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
        for (const result of results)
          if (result.status === "rejected") assert.ok(result.reason instanceof StaleRevision);
        assert.equal((await store.read()).rows.length, 1);
      }));

    it("loses nothing of two stores that write and catch up in turns", () =>
      withStore(async (store, other) => {
        const count = async (one: Store, name: string) => {
          let { revision } = await one.read();
          for (let i = 0; i < 15; ) {
            try {
              revision = await one.write(revision, [put(`${name}${i}`)], []);
              i++;
            } catch (error) {
              if (!(error instanceof StaleRevision)) throw error;
              revision = (await one.changesSince(revision))?.revision ?? -1;
            }
          }
        };
        await Promise.all([count(store, "a"), count(other, "b")]);
        const { revision, rows } = await store.read();
        assert.deepEqual({ revision, rows: rows.length }, { revision: 30, rows: 30 });
      }));

    it("tells each row that was touched once, in its last state", () =>
      withStore(async (store, other) => {
        await store.write(0, [put("a"), put("b"), put("c"), put("d")], []);
        await store.write(1, [put("a", { n: 2 }), remove("b")], []);
        await store.write(2, [put("a", { n: 3 }), put("b", { n: 3 }), remove("c"), put("e")], []);
        await store.write(3, [remove("e")], []);
        const all = [put("a", { n: 3 }), put("b", { n: 3 }), remove("c"), remove("e")];
        const cases: readonly (readonly [number, readonly Edit[]])[] = [
          [1, all],
          [2, all],
          [3, [remove("e")]],
          [4, []],
        ];
        for (const [since, edits] of cases) {
          const found = await other.changesSince(since);
          assert.equal(found?.revision, 4);
          assert.deepEqual(sortedEdits(found.edits), edits, `since ${since}`);
        }
      }));

    it("tells what changed over hundreds of writes", () =>
      withStore(async (store, other) => {
        for (let i = 0; i < 300; i++) await store.write(i, [put(`a${i % 10}`, { i })], []);
        const found = await other.changesSince(150);
        assert.equal(found?.revision, 300);
        const expected = Array.from({ length: 10 }, (_, i) => put(`a${i}`, { i: 290 + i }));
        assert.deepEqual(sortedEdits(found.edits), expected);
      }));

    it("knows no changes since a revision that it never had, as after an older backup was put back", () =>
      withStore(async (store) => {
        await store.write(0, [put("a")], []);
        assert.equal(await store.changesSince(2), null);
      }));

    it("forgets the oldest removals beyond its bound, and says so instead of leaving them out", () =>
      withStore(
        async (store) => {
          await store.write(
            0,
            Array.from({ length: 10 }, (_, i) => put(`a${i}`)),
            [],
          );
          for (let i = 0; i < 5; i++) await store.write(1 + i, [remove(`a${i}`)], []);
          // Of revisions 2 to 6, the removals of 4, 5 and 6 are remembered.
          assert.equal(await store.changesSince(1), null);
          assert.equal(await store.changesSince(2), null);
          assert.deepEqual((await store.changesSince(3))?.edits.length, 3);
          // A write that removes more than are remembered is forgotten whole.
          await store.write(
            6,
            [5, 6, 7, 8].map((i) => remove(`a${i}`)),
            [],
          );
          assert.equal(await store.changesSince(6), null);
          assert.deepEqual(await store.changesSince(7), { revision: 7, edits: [] });
          assert.deepEqual((await store.read()).rows, [row("a9")]);
        },
        { maxRemoved: 3 },
      ));

    it("calls back after somebody else's write, and not after its own", () =>
      withStore(async (store, other) => {
        const own: string[] = [];
        store.watch(() => own.push("told"));
        await store.write(0, [put("a")], []);
        const told = change(store);
        const toldOther = change(other);
        await other.write(1, [put("b")], []);
        await told;
        assert.deepEqual((await store.changesSince(1))?.edits, [put("b")]);
        assert.equal(own.length, 1);
        // What the first write tells the other arrives before what the next one does.
        await store.write(2, [put("c")], []);
        await toldOther;
        assert.equal(own.length, 1);
      }));

    it("calls nobody back who has ended the watch, and the others still", () =>
      withStore(async (store, other) => {
        let calls = 0;
        const ends = [store.watch(() => calls++), store.watch(() => calls++)];
        ends[0]?.();
        ends[0]?.();
        const told = change(store);
        await other.write(0, [put("a")], []);
        await told;
        assert.equal(calls, 1);
      }));

    for (const [what, body] of ODD_BODIES)
      it(`gives back a body with ${what} as it was`, () =>
        withStore(async (store, other) => {
          await store.write(0, [put("a", body)], [{ at: 1, workspace: "w", body }]);
          const text = JSON.stringify(body);
          assert.equal(JSON.stringify((await other.read()).rows[0]?.body), text);
          assert.equal(
            JSON.stringify((await other.changesSince(0))?.edits),
            JSON.stringify([put("a", body)]),
          );
          assert.equal(JSON.stringify((await other.audit(null, 1, null)).entries[0]?.body), text);
        }));

    it("tells ids apart by every character, and quotes none", () =>
      withStore(async (store) => {
        const ids = [
          "a",
          "A",
          "ä",
          "a\u0308",
          " a",
          "a ",
          "'; DROP TABLE entity; --",
          '"',
          "{a,b}",
          "NULL",
          "\\",
          "𝕲",
        ];
        await store.write(
          0,
          ids.map((id) => put(id)),
          [],
        );
        await store.write(
          1,
          ids.slice(1).map((id) => remove(id)),
          [],
        );
        assert.deepEqual((await store.read()).rows, [row("a")]);
        assert.equal((await store.changesSince(0))?.edits.length, ids.length);
      }));

    for (const [what, edit, message] of UNFIT)
      it(`refuses ${what}, and writes nothing`, () =>
        withStore(async (store) => {
          await assert.rejects(store.write(0, [put("other"), edit()], []), (error) => {
            assert.ok(error instanceof UnfitValue);
            assert.match(error.message, message);
            return true;
          });
          assert.deepEqual(await store.read(), { revision: 0, rows: [] });
        }));

    it("takes rows of megabytes", () =>
      withStore(async (store, other) => {
        const rows = [row("a", { text: "x".repeat(5 << 20) }), row("b", { text: "€".repeat(1 << 20) })];
        await store.write(
          0,
          rows.map((one) => ({ put: one })),
          [],
        );
        const found = sorted((await other.read()).rows);
        assert.ok(JSON.stringify(found) === JSON.stringify(rows));
      }));

    it("takes ten thousand edits in one write, and tells them all", () =>
      withStore(async (store, other) => {
        const edits = Array.from({ length: 10_000 }, (_, i) => put(`a${i}`, { i, tags: ["x", "y"] }));
        assert.equal(await store.write(0, edits, []), 1);
        assert.equal((await other.read()).rows.length, 10_000);
        const next = edits.map((_, i) => (i % 2 === 0 ? put(`a${i}`, { i: -i }) : remove(`a${i}`)));
        assert.equal(await other.write(1, next, []), 2);
        const found = await store.changesSince(1);
        assert.equal(found?.edits.filter((edit) => "remove" in edit).length, 5000);
        assert.equal(found?.edits.filter((edit) => "put" in edit).length, 5000);
        assert.equal((await store.read()).rows.length, 5000);
      }));

    it("pages the audit log from the newest, of one workspace or of all", () =>
      withStore(async (store) => {
        const entry = (i: number) => ({ at: 1000 + i, workspace: i % 3 === 0 ? "x" : "y", body: { i } });
        for (let i = 0; i < 10; i++) await store.write(i, [put(`a${i}`)], [entry(i)]);
        const all: unknown[] = [];
        let mark: string | null = null;
        const sizes: number[] = [];
        do {
          const page = await store.audit(null, 4, mark);
          all.push(...page.entries);
          sizes.push(page.entries.length);
          mark = page.next;
        } while (mark !== null);
        assert.deepEqual(sizes, [4, 4, 2]);
        assert.deepEqual(
          all,
          Array.from({ length: 10 }, (_, i) => entry(9 - i)),
        );
        const first = await store.audit("x", 3, null);
        assert.deepEqual(first.entries, [entry(9), entry(6), entry(3)]);
        assert.deepEqual(await store.audit("x", 3, first.next), { entries: [entry(0)], next: null });
        assert.deepEqual(await store.audit("y", 6, null).then(({ next }) => next), null);
        assert.deepEqual(await store.audit("nobody", 6, null), { entries: [], next: null });
      }));

    it("writes audit entries alone at whatever revision, and stays at its own", () =>
      withStore(async (store, other) => {
        await store.write(0, [put("a")], []);
        assert.equal(await other.write(0, [], [{ at: 5, workspace: "", body: { denied: true } }]), 0);
        assert.equal((await store.read()).revision, 1);
        assert.equal((await store.audit("", 1, null)).entries.length, 1);
      }));

    it("forgets the audit entries of a workspace, or the old ones, and no others", () =>
      withStore(async (store) => {
        const audit = ["x", "y", "x", "y"].map((workspace, i) => ({ at: i, workspace, body: { i } }));
        await store.write(0, [put("a")], audit);
        await store.forgetWorkspace("x");
        const left = async () => (await store.audit(null, 10, null)).entries.map(({ at }) => at);
        assert.deepEqual(await left(), [3, 1]);
        await store.forgetAudit(3);
        assert.deepEqual(await left(), [3]);
        await store.write(1, [put("b")], [{ at: 9, workspace: "z", body: {} }]);
        assert.deepEqual(await left(), [9, 3]);
      }));

    it("forgets with a workspace which rows were removed: whoever has not heard of it reads everything", () =>
      withStore(async (store) => {
        await store.write(0, [put("a"), put("b")], []);
        await store.write(1, [{ remove: { kind: "services", id: "a" } }], []);
        assert.equal((await store.changesSince(1))?.edits.length, 1);
        await store.forgetWorkspace("x");
        assert.equal(await store.changesSince(1), null);
        assert.deepEqual(await store.changesSince(2), { revision: 2, edits: [] });
        await store.write(2, [{ remove: { kind: "services", id: "b" } }], []);
        assert.equal((await store.changesSince(2))?.edits.length, 1);
      }));

    for (const [size, before] of [
      [0, null],
      [1001, null],
      [1.5, null],
      [10, "x"],
      [10, "-1"],
      [10, "1; --"],
      [10, "99999999999999999999"],
    ] as const)
      it(`refuses a page of ${size} audit entries before ${before}`, () =>
        withStore(async (store) => {
          await assert.rejects(store.audit(null, size, before), UnfitValue);
        }));

    it("finishes what was asked before it closes, and refuses what is asked after", async () => {
      await using database = await make();
      const store = await database.open();
      const writes = Promise.all([store.write(0, [put("a")], []), store.write(1, [put("b")], [])]);
      const closed = store.close();
      assert.deepEqual(await writes, [1, 2]);
      await closed;
      await assert.rejects(store.write(2, [put("c")], []), { name: "StoreUnavailable" });
      await assert.rejects(store.read(), { name: "StoreUnavailable" });
      assert.equal((await store.health()).ok, false);
      await store.close();
      const again = await database.open();
      assert.equal((await again.read()).rows.length, 2);
    });

    it("is well while it answers", () =>
      withStore(async (store) => {
        assert.deepEqual(await store.health(), { ok: true });
      }));
  });
}
