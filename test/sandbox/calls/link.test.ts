/** When a data thread finds that a cordon takes too long. The test is the cordon: it writes the frames. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";
import { acceptPlain, type PlainWire } from "../../../src/http1/plain-wire.ts";
import { requestHeaderGrant, responseHeaderGrant } from "../../../src/sandbox/calls/grants.ts";
import { type Call, Guest } from "../../../src/sandbox/calls/guest.ts";
import { CordonLink, LOADING_MS } from "../../../src/sandbox/calls/link.ts";
import { Ledger } from "../../../src/sandbox/ledger.ts";
import {
  batchFrame,
  MAX_FRAME_TO_CORDON,
  readyFrame,
  TO_CORDON,
  turnFrame,
} from "../../../src/sandbox/protocol/frames.ts";
import { Activity } from "../../../src/sandbox/protocol/messages.ts";
import { FrameSplitter } from "../../../src/sandbox/protocol/wire.ts";
import { MemoryContext } from "../context.ts";
import { RecordingHost, settings } from "../sandbox.ts";

const WALL_MS = 250;

const server = createServer();
let onWire: (wire: PlainWire) => void;
before(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  acceptPlain(server, (wire) => onWire(wire));
});
after(() => server.close());

/** A link, the cordon's end of its socket, and a way to wait for what the link makes of frames. */
async function linked(activity: Activity | null = null) {
  const accepted = new Promise<PlainWire>((resolve) => {
    onWire = resolve;
  });
  const cordon = connect((server.address() as AddressInfo).port);
  const wire = await accepted;
  let told = () => {};
  const nonsense: string[] = [];
  const link = new CordonLink(1, wire, activity, {
    onReady: () => told(),
    onTurn: () => told(),
    onNonsense: (_link, message) => {
      nonsense.push(message);
      told();
    },
    onClose: () => {},
  });
  wire.resume();
  const say = async (frames: string) => {
    const heard = new Promise<void>((resolve) => {
      told = resolve;
    });
    cordon.write(frames, "latin1");
    await heard;
  };
  await say(readyFrame());
  const close = () => {
    for (const end of [cordon, wire]) end.destroy();
  };
  return { link, cordon, say, nonsense, [Symbol.dispose]: close };
}

const parts = settings(new Uint8Array(), { name: "slow", limits: { wallMs: WALL_MS } });

function newGuest(given = parts): Guest {
  const { grants } = given;
  const sight = {
    grants,
    requestHeaders: requestHeaderGrant(grants),
    responseHeaders: responseHeaderGrant(grants),
  };
  return new Guest(given, sight, new RecordingHost(), new Ledger().enter("default", "slow", "1.0.0"));
}

function send(link: CordonLink, guest: Guest, now: number): Call {
  const call: Call = {
    guest,
    ctx: new MemoryContext(),
    phase: "access",
    body: null,
    chunk: null,
    resolve: () => {},
    reject: () => {},
    askedAt: now,
    id: 0,
    attempts: 0,
    sentAt: 0,
    othersMs: 0,
    began: false,
    hostCalls: 0,
    pending: null,
    found: null,
    tally: null,
    ended: false,
    seen: null,
  };
  link.send(call, () => new Uint8Array(), now, 0);
  return call;
}

function turnOf(call: Call, failed = false): string {
  const ending = { hostCalls: [], usage: { cpuMicros: 1, fuel: 0, memoryBytes: 1 } };
  return failed
    ? turnFrame(call.id, { kind: "failure", failure: "load", message: "no", ...ending })
    : turnFrame(call.id, { kind: "verdict", verdict: {}, ...ending });
}

for (const failed of [false, true])
  test(`a guest has time to load in its first call only, ${failed ? "even if that fails" : "if that is done"}`, async () => {
    using ends = await linked();
    const { link, say } = ends;
    const guest = newGuest();
    const first = send(link, guest, 1000);
    assert.equal(link.isOverdue(1000 + WALL_MS + LOADING_MS), false);
    assert.equal(link.isOverdue(1001 + WALL_MS + LOADING_MS), true);
    await say(turnOf(first, failed));
    for (const now of [5000, 9000]) {
      const call = send(link, guest, now);
      assert.equal(link.isOverdue(now + WALL_MS), false);
      assert.equal(link.isOverdue(now + 1 + WALL_MS), true);
      await say(turnOf(call));
    }
  });

test("a call that waits behind another thread's calls is not overdue until it begins", async () => {
  using ends = await linked();
  const { link, say } = ends;
  const guest = newGuest();
  await say(turnOf(send(link, guest, 0)));
  // From here on the cordon serves another thread too.
  const call = send(link, guest, 1000);
  await say(batchFrame(0) + batchFrame(1) + turnOf(call));
  send(link, guest, 2000);
  assert.equal(link.isOverdue(2000 + 1e6), false);
  assert.deepEqual(ends.nonsense, []);
});

test("a cordon that keeps calls waiting for ever, as if others ran, is found out", async () => {
  using ends = await linked();
  const { link, say } = ends;
  const guest = newGuest();
  const call = send(link, guest, 0);
  await say(batchFrame(0) + batchFrame(1) + turnOf(call));
  const now = performance.now();
  send(link, guest, now);
  assert.equal(link.isOverdue(now + 1e9), false);
  assert.equal(link.isStalled(now + 10_000), false);
  assert.equal(link.isStalled(now + 30_000), true);
});

test("a cordon that answers one call now and then, as if others ran in between, is found out by the next one", async (t) => {
  using ends = await linked();
  const { link, say } = ends;
  const guest = newGuest();
  let now = 1_000_000;
  t.mock.method(performance, "now", () => now);
  const [first, second, third, fourth] = Array.from({ length: 4 }, () => send(link, guest, now));
  assert.ok(first && second && third && fourth);
  await new Promise((resolve) => setImmediate(resolve));
  await say(batchFrame(0) + batchFrame(1) + turnOf(first));
  now += 12_000;
  assert.equal(link.isStalled(now), false);
  await say(batchFrame(1) + turnOf(second));
  const young = send(link, guest, now);
  now += 7000;
  assert.equal(link.isStalled(now), false);
  now += 1001;
  assert.equal(link.isStalled(now), true, "both times together are too long");
  await say(batchFrame(2) + turnOf(third) + turnOf(fourth));
  assert.equal(
    link.isStalled(now + 11_000),
    false,
    "whoever was sent later has waited for the second time only",
  );
  assert.equal(link.isStalled(now + 12_000), true);
  assert.equal(link.order[0], young);
  await say(batchFrame(1) + turnOf(young));
  now += 100_000;
  send(link, guest, now);
  assert.equal(link.isStalled(now + 20_000), false, "nothing waits in a cordon that has nothing to do");
});

test("reading long host calls is charged, and reading a long verdict is not", async () => {
  const activity = new Activity(Activity.allocate());
  using end = await linked(activity);
  end.link.slot = 0;
  const guest = newGuest();
  const usage = { cpuMicros: 0, fuel: 0, memoryBytes: 0 };
  const long = "x".repeat(200_000);
  const charged: number[] = [];
  for (const hostCalls of [[], [{ seq: 1, method: "log", args: ["info", long], waits: false }]]) {
    const call = send(end.link, guest, 0);
    const reply = { status: 200, headers: [], body: Buffer.alloc(300_000) };
    const verdict = hostCalls.length === 0 ? { reply } : {};
    await end.say(turnFrame(call.id, { kind: "verdict", verdict, hostCalls, usage }));
    charged.push(activity.takeWork(0));
  }
  assert.equal(charged[0], 0);
  assert.ok((charged[1] as number) >= 1000);
  assert.deepEqual(end.nonsense, []);
});

test("writing long answers of host calls is charged", async () => {
  const buffer = Activity.allocate();
  const activity = new Activity(buffer);
  using ends = await linked(activity);
  const { link } = ends;
  link.slot = 3;
  const call = send(link, newGuest(), performance.now());
  activity.takeWork(3);
  link.reply(call, 0, { value: "short" }, performance.now());
  assert.equal(activity.takeWork(3), 0);
  link.reply(call, 1, { value: "A".repeat(1 << 20) }, performance.now());
  assert.equal(activity.takeWork(3), 4194);
});

test("what a cordon has waited for a core counts against no call, up to four times its time", async () => {
  const activity = new Activity(Activity.allocate());
  using ends = await linked(activity);
  const { link, say } = ends;
  link.slot = 3;
  const guest = newGuest();
  await say(turnOf(send(link, guest, 1000)));
  activity.setWaited(3, 700);
  send(link, guest, 5000);
  assert.equal(link.isOverdue(5001), false);
  assert.equal(link.isOverdue(5001 + WALL_MS), true, "what it had waited before is of no account");
  activity.setWaited(3, 700 + 40);
  assert.equal(link.isOverdue(5000 + WALL_MS + 40), false);
  assert.equal(link.isOverdue(5001 + WALL_MS + 40), true);
  activity.setWaited(3, 700 + 1e6);
  assert.equal(link.isOverdue(5000 + WALL_MS * 5), false);
  assert.equal(link.isOverdue(5001 + WALL_MS * 5), true);
});

test("a call runs from when it has left, at the end of the turn of the loop; before that no turn may answer it", async () => {
  using ends = await linked();
  const { link, nonsense } = ends;
  const guest = newGuest();
  send(link, guest, 1);
  assert.equal(link.headRuns, false);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(link.headRuns, true);
  assert.equal(link.isOverdue(performance.now()), false, "what it waited here is not its own time");
  const [first] = link.order as [Call];
  const second = send(link, guest, performance.now());
  link.push(Buffer.from(turnOf(first), "latin1"));
  assert.deepEqual(nonsense, []);
  assert.equal(link.headRuns, false, "the next one has not left either");
  link.push(Buffer.from(turnOf(second), "latin1"));
  assert.deepEqual(nonsense, ["a turn of a call that is not running"]);
});

for (const [instances, threads, inside] of [
  [4, 1, 4],
  [4, 2, 2],
  [4, 3, 1],
  [4, 8, 1],
] as const)
  test(`of ${instances} instances in a cordon that serves ${threads} threads, each one's calls take ${inside}`, async () => {
    using ends = await linked();
    const { link } = ends;
    link.threads = threads;
    const waits = settings(new Uint8Array(), {
      runtime: "extism",
      limits: { instances },
      grants: { kvBytes: 1000 },
    });
    const guest = newGuest(waits);
    for (let i = 0; i < 16; i++) send(link, guest, performance.now());
    assert.deepEqual([link.open.size, link.order.length], [16, inside]);
  });

test("an artifact is unloaded with the last of its instances, and loaded again before the next one", async () => {
  using ends = await linked();
  const { link, cordon } = ends;
  const sent: string[] = [];
  const released = new Promise<void>((resolve) => {
    const splitter = new FrameSplitter(MAX_FRAME_TO_CORDON, (id, type) => {
      const name = Object.keys(TO_CORDON).find((key) => TO_CORDON[key as keyof typeof TO_CORDON] === type);
      sent.push(type === TO_CORDON.configure || type === TO_CORDON.release ? `${name} ${id}` : `${name}`);
      if (sent.filter((what) => what === "unload").length === 2) resolve();
    });
    cordon.on("data", (chunk: Buffer) => splitter.push(chunk));
  });
  const [one, two, three] = [newGuest(), newGuest(), newGuest()];
  for (const guest of [one, two]) send(link, guest, performance.now());
  for (const guest of [one, two]) link.release(guest);
  send(link, three, performance.now());
  link.release(three);
  await released;
  assert.deepEqual(sent, [
    ...["load", "configure 1", "call", "configure 2", "call"],
    ...["release 1", "release 2", "unload"],
    ...["load", "configure 3", "call", "release 3", "unload"],
  ]);
});

test("calls of one turn of the loop leave together, every eighth frame at once", async () => {
  using ends = await linked();
  const { link } = ends;
  const guest = newGuest();
  // The first brings the artifact and the configuration along.
  for (let i = 0; i < 5; i++) send(link, guest, performance.now());
  assert.equal(link.headRuns, false);
  send(link, guest, performance.now());
  assert.equal(link.headRuns, true);
});
