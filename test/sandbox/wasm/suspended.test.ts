/** WebAssembly guests that wait for the host, in real cordons: who waits for whom, and how long. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Hooks } from "@gatehouse/sdk";
import { MemoryContext } from "../context.ts";
import {
  type GuestParts,
  PATIENT,
  place,
  RecordingHost,
  type Sandbox,
  settings,
  startSandbox,
} from "../sandbox.ts";
import { forged, guest as textGuest } from "./guests.ts";

let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox({ ...(await place(["wasm"])) });
});
after(() => sandbox.close());

const KEY = `(import "extism:host/user" "kv_get" (func $kv_get (param i64) (result i64)))`;
/** Asks for the value of a key of one byte, and fails if it is there. */
const ASKS = textGuest(
  `(local $key i64) (local.set $key (call $alloc (i64.const 1))) (call $store_u8 (local.get $key) (i32.const 107))
   (i64.ne (call $kv_get (local.get $key)) (i64.const 0))`,
).replace("(module", `(module ${KEY}`);

async function guest(module: string, host: RecordingHost, parts: GuestParts = {}): Promise<Hooks> {
  const { emitted } = await forged(module);
  const more: GuestParts = { runtime: "extism", phases: ["access"], grants: { kvBytes: 1 } };
  return sandbox.client.hooks(
    settings(emitted, { ...more, ...parts, limits: { ...PATIENT, ...parts.limits } }),
    host,
  );
}

/** A host whose answers wait until somebody lets them go. */
class SlowHost extends RecordingHost {
  readonly waiting: (() => void)[] = [];
  #onAsked: () => void = () => {};

  constructor() {
    super();
    this.kv.get = () =>
      new Promise((resolve) => {
        this.waiting.push(() => resolve(null));
        this.#onAsked();
      });
  }

  /** Resolves once `count` questions wait for their answer; rejects if `call` ends before. */
  async asked(count: number, call?: Promise<string>): Promise<void> {
    const ended = call?.then((end) => assert.fail(`the call ended before it asked: ${end}`));
    while (this.waiting.length < count) {
      const asked = new Promise<void>((resolve) => {
        this.#onAsked = resolve;
      });
      await (ended === undefined ? asked : Promise.race([asked, ended]));
    }
    ended?.catch(() => {});
  }

  answerAll(): void {
    for (const answer of this.waiting.splice(0)) answer();
  }
}

async function call(hooks: Hooks): Promise<string> {
  try {
    await hooks.access?.(new MemoryContext());
    return "ok";
  } catch (error) {
    return (error as { failure: string }).failure;
  }
}

test("calls beyond a guest's instances wait for one, and all of them end well", async () => {
  const host = new SlowHost();
  const hooks = await guest(ASKS, host, { limits: { instances: 3 } });
  const calls = Array.from({ length: 8 }, () => call(hooks));
  const rounds: number[] = [];
  for (let left = 8; left > 0; left -= rounds.at(-1) as number) {
    await host.asked(Math.min(3, left));
    rounds.push(host.waiting.length);
    host.answerAll();
  }
  assert.deepEqual(rounds, [3, 3, 2]);
  assert.deepEqual(new Set(await Promise.all(calls)), new Set(["ok"]));
});

test("a neighbour in the same cordon is served while a guest's calls wait", async () => {
  const host = new SlowHost();
  const hooks = await guest(ASKS, host, { limits: { instances: 1 } });
  const calls = [call(hooks), call(hooks)];
  await host.asked(1);
  const neighbour = await guest(textGuest("(i32.const 0)"), new RecordingHost(), { name: "neighbour" });
  for (let i = 0; i < 10; i++) assert.equal(await call(neighbour), "ok");
  host.answerAll();
  await host.asked(1);
  host.answerAll();
  assert.deepEqual(await Promise.all(calls), ["ok", "ok"]);
});

test("a guest that is never answered is given up at its deadline, and what waited behind it goes on", async () => {
  const host = new SlowHost();
  const hooks = await guest(ASKS, host, { limits: { instances: 1, wallMs: 100 } });
  const first = call(hooks);
  await host.asked(1, first);
  const second = call(hooks);
  assert.equal(await first, "deadline");
  await host.asked(2, second);
  // An answer that comes too late is nobody's.
  host.answerAll();
  assert.equal(await second, "ok");
  const third = call(hooks);
  await host.asked(1, third);
  host.answerAll();
  assert.equal(await third, "ok");
});

test("a call that finds no instance within the time that calls wait for a cordon is unavailable", async () => {
  const host = new SlowHost();
  const hooks = await guest(ASKS, host, { limits: { instances: 1 } });
  const first = call(hooks);
  await host.asked(1, first);
  assert.equal(await call(hooks), "unavailable");
  host.answerAll();
  assert.equal(await first, "ok");
});

test("when a cordon dies, calls that wait for an instance go to its successor, and those inside fail", async () => {
  const host = new SlowHost();
  const hooks = await guest(ASKS, host, { limits: { instances: 1 }, workspace: "dying" });
  const inside = call(hooks);
  await host.asked(1, inside);
  const parked = call(hooks);
  const spinner = await guest(textGuest("(loop (br 0)) (i32.const 0)"), host, {
    workspace: "dying",
    name: "spinner",
    limits: { fuel: 2 ** 50, wallMs: 100 },
  });
  assert.equal(await call(spinner), "deadline");
  assert.equal(await inside, "crashed");
  await host.asked(2, parked);
  host.answerAll();
  assert.equal(await parked, "ok");
});

test("a guest given up again and again does not fill its cordon", async () => {
  const host = new SlowHost();
  const hooks = await guest(ASKS, host, { limits: { instances: 4, wallMs: 60 }, workspace: "leaky" });
  for (let i = 0; i < 3; i++) {
    const round = await Promise.all(Array.from({ length: 4 }, () => call(hooks)));
    assert.deepEqual(new Set(round), new Set(["deadline"]));
  }
  host.waiting.length = 0;
  const good = call(hooks);
  await host.asked(1, good);
  host.answerAll();
  assert.equal(await good, "ok");
  // Nothing of this is a reason to kill it.
  assert.deepEqual(
    sandbox.log.filter(({ fields }) => fields.workspace === "leaky" && /kill/.test(JSON.stringify(fields))),
    [],
  );
});
