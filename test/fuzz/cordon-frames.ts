/**
 * A cordon that a guest has taken over, which writes what it likes: turns in the right form that ask and edit at
 * random, for calls that run and for others, with bytes changed, cut off, in pieces, and hung up on. It meets a data
 * thread's own client over its own socket; this file stands for the supervisor.
 */
import { once } from "node:events";
import { connect } from "node:net";
import type { Hooks } from "@gatehouse/sdk";
import { SandboxClient } from "../../src/sandbox/calls/client.ts";
import type { HostCall } from "../../src/sandbox/protocol/engine.ts";
import { batchFrame, readyFrame, turnFrame } from "../../src/sandbox/protocol/frames.ts";
import {
  Activity,
  type LaneName,
  TOKEN_CHARACTERS,
  type ToSupervisor,
  type ToThread,
} from "../../src/sandbox/protocol/messages.ts";
import {
  failureTurn,
  type VerdictText,
  verdictTurn,
  waitingTurn,
} from "../../src/sandbox/protocol/turn-text.ts";
import { Random } from "../http1/random.ts";
import { MemoryContext } from "../sandbox/context.ts";
import { RecordingHost, settings } from "../sandbox/sandbox.ts";

const LANE: LaneName = { engine: "isolate", workspace: "default", plugin: null };
const EVERYTHING = {
  requestHeaders: ["*"],
  responseHeaders: ["*"],
  responseBodyBytes: 1000,
  consumer: true,
  log: true,
  metrics: true,
  kvBytes: 1000,
  httpHosts: ["a.test"],
  secrets: ["s"],
};
const METHODS = [
  "log",
  "count",
  "observe",
  "findCredential",
  "findConsumer",
  "takeFromWindows",
  "fetch",
  "kvGet",
];
const MORE_METHODS = ["kvSet", "kvDelete", "secret", "nothing", "__proto__", "constructor"];
const CALLS = ["access", "headerFilter", "bodyFilter", "log"] as const;
const MOST_CALLS = 6;
const FRAMES = 12;
const USAGE = { cpuMicros: 1, fuel: 1, memoryBytes: 1 };

/** What became of the calls that hostile cordons had. */
export interface Outcome {
  calls: number;
  good: number;
  failed: number;
  /** Cordons that broke the format, and whose death was asked for. */
  condemned: number;
}

export async function fuzzCordons(seed: number, cordons: number): Promise<Outcome> {
  const random = new Random(seed);
  const outcome: Outcome = { calls: 0, good: 0, failed: 0, condemned: 0 };
  const told: ToSupervisor[] = [];
  let tell = (_: ToThread): void => {};
  const onMessage = (listener: typeof tell) => {
    tell = listener;
  };
  const client = new SandboxClient({
    port: { post: (message) => told.push(message), onMessage },
    artifact: () => new Uint8Array(),
  });
  await client.listen();
  const listening = told.find((message) => message.type === "listening");
  tell({ type: "welcome", activity: Activity.allocate(), budgets: new SharedArrayBuffer(4096) });
  for (let cordon = 1; cordon <= cordons; cordon++) {
    const hooks = client.hooks(
      settings(new Uint8Array(), {
        name: "taken-over",
        phases: ["access", "header_filter", "body_filter", "log"],
        grants: EVERYTHING,
      }),
      new RecordingHost(),
    );
    const token = String(cordon).padStart(TOKEN_CHARACTERS, "0");
    tell({ type: "expect", cordon, token });
    tell({ type: "assigned", cordon, slot: 1, lane: LANE, threads: 1 });
    const socket = connect({ path: `\0${listening?.name}` });
    socket.on("error", () => {}); // it is hung up on
    await once(socket, "connect");
    const calls = Array.from({ length: 1 + random.below(MOST_CALLS) }, () => ending(hooks, random));
    outcome.calls += calls.length;
    // They leave once the cordon is ready; what it says before it has them is nonsense already.
    socket.write(token + readyFrame(), "latin1");
    if (random.below(10) > 0) await once(socket, "data");
    const said = garbled(frames(calls.length, random), random);
    for (let at = 0; at < said.length; ) {
      const end = at + 1 + random.below(said.length);
      socket.write(said.subarray(at, end));
      at = end;
    }
    if (random.below(6) === 0) socket.destroy();
    else await new Promise<void>((resolve) => socket.end(resolve));
    // The thread that reads it is this one.
    for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
    const isCondemned = told.splice(0).some((message) => message.type === "kill");
    if (isCondemned) outcome.condemned++;
    const failure = isCondemned ? "violation" : null;
    tell({ type: "gone", cordon, failure, message: "it is gone", blame: null });
    // What had not begun waits for another cordon now.
    tell({ type: "refused", lane: LANE, message: "there is no other" });
    client.release(hooks);
    for (const end of await Promise.all(calls)) outcome[end]++;
    socket.destroy();
  }
  client.close();
  return outcome;
}

/** A call, and how it ends. */
async function ending(hooks: Hooks, random: Random): Promise<"good" | "failed"> {
  const ctx = new MemoryContext();
  const which = random.pick(CALLS);
  try {
    if (which === "bodyFilter") await hooks.bodyFilter?.(ctx, new Uint8Array(5), true);
    else await hooks[which]?.(ctx);
    return "good";
  } catch {
    return "failed";
  }
}

/** Frames as a cordon writes them, most for the calls that run, in their order. */
function frames(calls: number, random: Random): string {
  let out = "";
  for (let i = 1; i <= FRAMES; i++) {
    const kind = random.below(20);
    if (kind === 0) out += batchFrame(random.below(4));
    else if (kind === 1) out += readyFrame();
    else {
      const id = kind === 2 ? random.below(1e6) : Math.min(i, calls);
      out += turnFrame(id, { kind: "written", ...turn(random), usage: USAGE });
    }
  }
  return out;
}

function turn(random: Random): { readonly text: string; readonly waits: boolean } {
  const asks = Array.from({ length: random.below(3) === 0 ? random.below(4) : 0 }, () => hostCall(random));
  const kind = random.below(6);
  if (kind === 0) return { text: failureTurn("throw", "on purpose", asks), waits: false };
  if (kind === 1) return { text: waitingTurn(asks), waits: true };
  return { text: verdictTurn(verdict(random), asks), waits: false };
}

function hostCall(random: Random): HostCall {
  const args = Array.from({ length: 5 }, () => junk(random, 3));
  return {
    seq: random.below(4),
    method: random.pick([...METHODS, ...MORE_METHODS]),
    args,
    waits: random.below(2) === 0,
  };
}

function verdict(random: Random): VerdictText {
  const maybe = <T>(value: T): T | undefined => (random.below(5) === 0 ? value : undefined);
  return {
    request: maybe({
      headers: [["set", random.pick(["x-a", "Host", "a b", ""]), random.pick(["b", "a\r\nb", ""])]],
      method: maybe("PUT"),
      path: maybe(random.pick(["/x", "//evil", ""])),
      body: maybe("abc"),
    }),
    response: maybe({ status: random.below(700), headers: [["add", "x-b", "c"]], body: maybe("abc") }),
    chunk: maybe("abc"),
    reply: maybe({ status: random.below(700), headers: [["a", "b"]], body: "abc" }),
    vars: maybe({ a: junk(random, 3), constructor: junk(random, 3) }),
    authenticated: maybe({ consumer: random.pick(["c", null]), credential: null }),
  };
}

/** A JSON value, now and then one that a host call would take. */
function junk(random: Random, depth: number): unknown {
  const plain = [null, true, -1, 1e308, "", "info", "a_b", "aGk=", "x".repeat(300), {}, []];
  const kind = random.below(4);
  if (kind > 1 || depth === 0) return random.pick(plain);
  const inner = junk(random, depth - 1);
  if (kind === 0) return [inner, junk(random, depth - 1)];
  const endsAt = Date.now() + 1000;
  return JSON.parse(
    `{"__proto__":${JSON.stringify(inner)},"key":"k","limit":1,"endsAt":${endsAt},"url":"http://a.test/","method":"GET","headers":[]}`,
  );
}

function garbled(text: string, random: Random): Buffer {
  const bytes = Buffer.from(text, "latin1");
  if (random.below(2) === 0)
    for (let i = random.below(4); i > 0; i--) bytes[random.below(bytes.length)] = random.below(256);
  return random.below(4) === 0 ? bytes.subarray(0, 1 + random.below(bytes.length - 1)) : bytes;
}
