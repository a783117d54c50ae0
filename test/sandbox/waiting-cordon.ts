/**
 * A cordon whose engine tells on its standard output what is asked of it. A call that names the path `/wait` waits
 * for the host; every other one ends at once. Started by cordon-threads.test.ts with sockets from descriptor 3 on.
 */
import { runCordon } from "../../src/sandbox/cordon/cordon.ts";
import type { Engine, GuestCall, Turn } from "../../src/sandbox/protocol/engine.ts";
import { readCall } from "../../src/sandbox/protocol/frames.ts";

const tell = (what: string) => void process.stdout.write(`${what}\n`);
const usage = { cpuMicros: 0, fuel: 0, memoryBytes: 0 };
const ended: Turn = { kind: "verdict", verdict: {}, hostCalls: [], usage };
const waiting: Turn = {
  kind: "waiting",
  hostCalls: [{ seq: 0, method: "kvGet", args: ["k"], waits: true }],
  usage,
};
const THREAD = 2 ** 32;
const named = (number: number) => `${Math.floor(number / THREAD)}.${number % THREAD}`;

const engine: Engine = {
  load: (digest) => tell(`load ${digest}`),
  unload: (digest) => tell(`unload ${digest}`),
  configure() {},
  release: (instance) => tell(`release ${named(instance)}`),
  start: (_call, _instance, { request }: GuestCall) => (request.path === "/wait" ? waiting : ended),
  prepare: () => ended,
  resume: () => ended,
  abandon: (call) => tell(`abandon ${named(call)}`),
};
runCordon(engine, readCall);
