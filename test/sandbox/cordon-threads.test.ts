/** What a cordon does when one of the data threads that it serves is gone. The test is the threads. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { guestCall, requestHeaderGrant, responseHeaderGrant } from "../../src/sandbox/calls/grants.ts";
import type { GuestCall } from "../../src/sandbox/protocol/engine.ts";
import {
  callFrame,
  configureFrame,
  FROM_CORDON,
  hostReplyFrame,
  loadFrame,
  MAX_FRAME_FROM_CORDON,
  unloadFrame,
} from "../../src/sandbox/protocol/frames.ts";
import { FrameSplitter } from "../../src/sandbox/protocol/wire.ts";
import { MemoryContext } from "./context.ts";
import { settings } from "./sandbox.ts";

const parts = settings(new Uint8Array(), { name: "waits" });
const config = { ...parts, asks: [] };
const sight = {
  grants: parts.grants,
  requestHeaders: requestHeaderGrant(parts.grants),
  responseHeaders: responseHeaderGrant(parts.grants),
};

function callTo(path: string): GuestCall {
  return guestCall(sight, new MemoryContext({ path }), "access", 0, null, null);
}

/** A thread's end of its socket. */
class Thread {
  readonly #socket: Duplex;
  readonly #waiters: (() => void)[] = [];
  #turns = 0;

  constructor(socket: Duplex) {
    this.#socket = socket;
    const splitter = new FrameSplitter(MAX_FRAME_FROM_CORDON, (_id, type) => {
      if (type === FROM_CORDON.turn) this.#turns++;
      for (const waiter of this.#waiters.splice(0)) waiter();
    });
    socket.on("data", (chunk: Buffer) => splitter.push(chunk));
  }

  say(frames: string): void {
    this.#socket.write(frames, "latin1");
  }

  /** Waits until it has heard of so many turns in all. */
  async turns(count: number): Promise<void> {
    while (this.#turns < count) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  leave(): void {
    this.#socket.destroy();
  }
}

test("a data thread that is gone takes its waiting calls, its instances and its artifacts with it; the others' go on", async () => {
  const cordon = spawn(process.execPath, [join(import.meta.dirname, "waiting-cordon.ts"), "2"], {
    stdio: ["ignore", "pipe", "inherit", "pipe", "pipe"],
  });
  const told: string[] = [];
  const lines = createInterface({ input: cordon.stdout as NodeJS.ReadableStream });
  const quiet = once(lines, "close");
  lines.on("line", (line) => told.push(line));
  const threads = [3, 4].map((fd) => new Thread(cordon.stdio[fd] as Duplex));
  const [leaving, staying] = threads as [Thread, Thread];
  for (const thread of threads) {
    thread.say(
      loadFrame("sha256:a", new Uint8Array()) +
        loadFrame("sha256:b", new Uint8Array()) +
        unloadFrame("sha256:b"),
    );
    thread.say(configureFrame(1, config) + configureFrame(2, config));
    thread.say(
      callFrame(1, 1, callTo("/wait")) + callFrame(2, 2, callTo("/wait")) + callFrame(3, 1, callTo("/")),
    );
    await thread.turns(3);
  }
  leaving.say(hostReplyFrame(2, 0, { value: null }));
  await leaving.turns(4);
  leaving.leave();
  while (told.length < 10) await once(lines, "line");
  staying.say(hostReplyFrame(1, 0, { value: null }) + callFrame(4, 2, callTo("/")));
  await staying.turns(5);
  const meanwhile = [...told];
  staying.leave();
  await quiet;
  const loads = ["load sha256:a", "load sha256:b", "unload sha256:b"];
  assert.deepEqual(meanwhile, [
    ...loads,
    ...loads,
    ...["abandon 0.1", "release 0.1", "release 0.2", "unload sha256:a"],
  ]);
});
