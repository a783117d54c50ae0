/** What data threads record on its way to the file: by real threads and ports, and bounded where nobody takes it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { MOST_ON_THE_WAY, MOST_ON_THE_WAY_OF_ONE, MOST_PER_SECOND } from "../../src/replay/limits.ts";
import { RecordingClient } from "../../src/replay/recording-client.ts";
import { Recordings } from "../../src/replay/recordings.ts";
import { NO_CREDENTIALS } from "../../src/sandbox/calls/credential-names.ts";
import { recordingOf } from "./recordings.ts";

const directory = mkdtempSync(join(tmpdir(), "gatehouse-recordings-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const KEEP = { most: 100, ttlMs: 60_000 };

/** What is there of a workspace once it is enough. */
async function listed(recordings: Recordings, workspace: string, enough: number): Promise<string[]> {
  for (;;) {
    const paths = (await recordings.list({ workspace })).map(({ path }) => path);
    if (paths.length >= enough) return paths;
    // Where no thread runs yet the answer takes no turn of the loop.
    await new Promise(setImmediate);
  }
}

/** A thread's client; `drops` are workspaces whose recordings were dropped. */
function clientOf(connect: (client: RecordingClient) => void) {
  const drops: string[] = [];
  const client: RecordingClient = new RecordingClient({
    ask: () => setImmediate(() => connect(client)),
    onDropped: (workspace) => drops.push(workspace),
  });
  after(() => client.close());
  const sinkOf = (id: string) =>
    client.sink({ id: `plugin of ${id}`, ws_id: id }, `name of ${id}`, NO_CREDENTIALS);
  return { sinkOf, drops };
}

test("what two threads record is there for the main thread, by workspace", async () => {
  const recordings = new Recordings({
    path: join(directory, "two", "r.sqlite"),
    maxBytes: 1 << 24,
    log() {},
  });
  const threads = [1, 2].map(() => clientOf((client) => client.connect(recordings.connect())));
  assert.deepEqual(await recordings.list({ workspace: "w" }), [], "no thread is started to learn that");
  for (const { sinkOf } of threads)
    for (const id of ["w", "v"]) sinkOf(id).add(recordingOf(`/of ${id}`), KEEP);
  assert.deepEqual(await listed(recordings, "w", 2), ["/of w", "/of w"]);
  assert.equal(await recordings.remove({ workspace: "w" }), 2);
  await recordings.close();
});

test("what arrives of a workspace after it was forgotten is not kept", async () => {
  const recordings = new Recordings({
    path: join(directory, "gone", "r.sqlite"),
    maxBytes: 1 << 24,
    log() {},
  });
  const { sinkOf } = clientOf((client) => client.connect(recordings.connect()));
  // Nothing was recorded before: the thread starts after that.
  assert.equal(await recordings.forget("w"), 0);
  sinkOf("w").add(recordingOf("/late"), KEEP);
  sinkOf("v").add(recordingOf("/other"), KEEP);
  await listed(recordings, "v", 1);
  assert.deepEqual(await recordings.list({ workspace: "w" }), []);
  assert.equal(await recordings.forget("v"), 1);
  sinkOf("v").add(recordingOf("/late"), KEEP);
  sinkOf("u").add(recordingOf("/other"), KEEP);
  await listed(recordings, "u", 1);
  assert.deepEqual(await recordings.list({ workspace: "v" }), []);
  await recordings.close();
});

test("what nobody takes is dropped beyond a workspace's share, which others do not lose", () => {
  const { sinkOf, drops } = clientOf(() => {});
  const bytes = 1 << 18;
  for (let i = 0; i < 20; i++) sinkOf("w").add(recordingOf("/", new Uint8Array(bytes)), KEEP);
  const taken = 20 - drops.length;
  assert.ok(taken > 0 && taken <= MOST_ON_THE_WAY_OF_ONE / bytes, String(taken));
  for (let i = 0; i < MOST_ON_THE_WAY / MOST_ON_THE_WAY_OF_ONE; i++)
    sinkOf(`other ${i}`).add(recordingOf("/"), KEEP);
  assert.ok(drops.every((workspace) => workspace === "name of w"));
});

test("a client whose port is lost begins anew with the next recording", async () => {
  const recordings = new Recordings({
    path: join(directory, "lost", "r.sqlite"),
    maxBytes: 1 << 24,
    log() {},
  });
  let asked = 0;
  const { sinkOf } = clientOf((client) => client.connect(++asked === 1 ? null : recordings.connect()));
  sinkOf("w").add(recordingOf("/lost"), KEEP);
  while (asked === 0) await new Promise(setImmediate);
  sinkOf("w").add(recordingOf("/kept"), KEEP);
  assert.deepEqual(await listed(recordings, "w", 1), ["/kept"]);
  await recordings.close();
});

test("an entity records so many requests in a second and no more", (t) => {
  t.mock.method(performance, "now", () => 1500);
  const sink = clientOf(() => {}).sinkOf("w");
  const allowed = Array.from({ length: MOST_PER_SECOND + 5 }, () => sink.mayRecord());
  assert.equal(allowed.filter((may) => may).length, MOST_PER_SECOND);
  t.mock.method(performance, "now", () => 2500);
  assert.ok(sink.mayRecord());
});
