/** The file of recordings: what it keeps, what makes room, and what is left of what it was told to forget. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { MOST_RECORDING_BYTES, MOST_RECORDINGS } from "../../src/replay/limits.ts";
import { type NewRecording, RecordingsFile } from "../../src/replay/recordings-file.ts";
import { recordingOf } from "./recordings.ts";

const MIB = 1 << 20;
const directory = mkdtempSync(join(tmpdir(), "gatehouse-recordings-"));
after(() => rmSync(directory, { recursive: true, force: true }));

function open(name: string, { maxBytes = 256 * MIB, damaged = [] as string[] } = {}) {
  const path = join(directory, name, "recordings.sqlite");
  const file = new RecordingsFile({ path, maxBytes, onDamaged: (aside) => damaged.push(aside) });
  after(() => file.close());
  return { path, file };
}

const kept = (path: string, more: Partial<NewRecording> = {}, body = ""): NewRecording => ({
  workspace: "w",
  plugin: "p",
  recording: recordingOf(path, new Uint8Array(Buffer.from(body))),
  most: 10_000,
  ttlMs: 60_000,
  ...more,
});

const paths = (file: RecordingsFile, workspace = "w", now = 0) =>
  file.list({ workspace }, now).map(({ path }) => path);

test("what was kept comes back as it was, in the order of time, also within a millisecond", () => {
  const { file } = open("order");
  for (let i = 0; i < 20; i++) file.add(kept(`/${i}`, {}, `body ${i}`), 5000);
  assert.deepEqual(
    paths(file),
    Array.from({ length: 20 }, (_, i) => `/${i}`),
  );
  const [first] = file.list({ workspace: "w" }, 0);
  assert.equal(first?.recorded_at, "1970-01-01T00:00:05.000Z");
  const { id, ...whole } = file.get({ workspace: "w", id: first?.id }, 0) ?? {};
  assert.equal(id, first?.id);
  const given = recordingOf("/0");
  assert.deepEqual(whole, {
    ...given,
    request: { ...given.request, body: { bytes: new Uint8Array(Buffer.from("body 0")), length: 6 } },
  });
  assert.deepEqual(
    file.newest({ workspace: "w" }, 2, 0).map(({ request }) => request.path),
    ["/18", "/19"],
  );
});

test("an entity keeps its newest, and no other entity's or workspace's goes for them", () => {
  const { file } = open("most");
  file.add(kept("/other entity", { plugin: "q" }), 1);
  file.add(kept("/other workspace", { workspace: "v" }), 1);
  for (let i = 0; i < 5; i++) file.add(kept(`/${i}`, { most: 2 }), 2 + i);
  assert.deepEqual(paths(file), ["/other entity", "/3", "/4"]);
  assert.deepEqual(paths(file, "v"), ["/other workspace"]);
});

test("a workspace keeps so many, and so many bytes, and another's stay", () => {
  const { file } = open("workspace");
  file.add(kept("/theirs", { workspace: "v" }), 1);
  for (let i = 0; i < MOST_RECORDINGS + 3; i++) file.add(kept(`/${i}`), 2);
  assert.deepEqual([paths(file).length, paths(file)[0]], [MOST_RECORDINGS, "/3"]);
  const big = "x".repeat(MOST_RECORDING_BYTES / 8);
  for (let i = 0; i < 8; i++) file.add(kept(`/big ${i}`, {}, big), 3);
  const all = file.list({ workspace: "w" }, 0);
  assert.ok(all.reduce((sum, { bytes }) => sum + bytes, 0) <= MOST_RECORDING_BYTES);
  assert.equal(all.at(-1)?.path, "/big 7");
  assert.deepEqual(paths(file, "v"), ["/theirs"]);
});

test("a full file takes room from whoever has most of it", () => {
  const { file } = open("full", { maxBytes: 4 * MIB });
  file.add(kept("/small", { workspace: "v" }), 1);
  for (let i = 0; i < 12; i++) file.add(kept(`/${i}`, {}, "x".repeat(MIB / 2)), 2);
  assert.equal(paths(file).at(-1), "/11");
  file.add(kept("/again", { workspace: "v" }, "x".repeat(MIB / 2)), 3);
  assert.deepEqual(paths(file, "v"), ["/small", "/again"]);
});

test("what is over is not shown, and leaves nothing on the disk", () => {
  const { file, path } = open("over");
  file.add(kept("/zebra", { ttlMs: 100 }, "zebrabody"), 1000);
  file.add(kept("/stays"), 1000);
  assert.deepEqual(paths(file, "w", 1099), ["/zebra", "/stays"]);
  const [over] = file.list({ workspace: "w" }, 1099);
  assert.deepEqual(paths(file, "w", 1100), ["/stays"]);
  assert.equal(file.get({ workspace: "w", id: over?.id }, 1100), null);
  assert.equal(file.newest({ workspace: "w" }, 10, 1100).length, 1);
  file.sweep(1100);
  const folder = join(path, "..");
  for (const name of readdirSync(folder))
    assert.doesNotMatch(readFileSync(join(folder, name), "latin1"), /zebra|emVicmFib2R5/, name);
});

test("what is deleted, by id, route or workspace, is counted and leaves nothing on the disk", () => {
  const { file, path } = open("removed");
  for (const workspace of ["w", "v"])
    for (const name of ["/zebra1", "/zebra2"]) file.add(kept(name, { workspace }), 1);
  const [first] = file.list({ workspace: "w" }, 0);
  assert.equal(file.remove({ workspace: "v", id: first?.id }), 0, "another's");
  assert.equal(file.remove({ workspace: "w", id: first?.id }), 1);
  assert.equal(file.remove({ workspace: "w", route: "none" }), 0);
  assert.equal(file.remove({ workspace: "w", route: "r" }), 1);
  assert.equal(file.remove({ workspace: "v" }), 2);
  const folder = join(path, "..");
  for (const name of readdirSync(folder))
    assert.doesNotMatch(readFileSync(join(folder, name), "latin1"), /zebra/, name);
});

test("a damaged file is put aside, and an empty one takes its place", () => {
  const { path, file } = open("damaged");
  file.add(kept("/before"), 1);
  file.remove({ workspace: "nobody" }); // what is in the log is in the file
  writeFileSync(path, "this is no database");
  const damaged: string[] = [];
  const again = open("damaged", { damaged });
  assert.equal(damaged.length, 1);
  assert.deepEqual(paths(again.file), []);
});
