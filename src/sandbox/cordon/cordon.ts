/**
 * The inside of a cordon: reads frames from its sockets (one for each data thread, from file descriptor 3
 * on), runs them through its engine in order, and writes the turns back.
 *
 * It runs one thing at a time. While a guest runs nothing here can act, which is why every deadline is kept
 * by the other side. Answers leave at the end of a batch, or as soon as a millisecond has passed since the
 * last ones left, so that a slow guest does not hold back answers that are ready.
 */
import { Socket } from "node:net";
import type { Engine, GuestCall, GuestConfig, Turn } from "../engine.ts";
import {
  batchFrame,
  type HostResult,
  MAX_FRAME_TO_CORDON,
  readCall,
  readConfigure,
  readHostReply,
  readLoad,
  readyFrame,
  TO_CORDON,
  turnFrame,
} from "../frames.ts";
import { FrameSplitter } from "../wire.ts";

const FIRST_FD = 3;
const READ_BYTES = 64 * 1024;
const FLUSH_AFTER_MS = 1;
/** Instances and calls are numbered by each data thread for itself; this tells threads apart. */
const PER_THREAD = 2 ** 32;

type Work =
  | { type: "call"; id: number; instance: number; call: GuestCall }
  | { type: "hostReply"; id: number; seq: number; result: HostResult };

let threadsSeen = 0;

/** One data thread's socket and what has arrived on it. */
class ThreadLink {
  readonly #engine: Engine;
  readonly #offset: number;
  readonly #socket: Socket;
  readonly #splitter: FrameSplitter;
  #work: Work[] = [];
  #heard = false;
  #out = "";
  #flushedAt = 0;

  constructor(index: number, engine: Engine, onClose: () => void) {
    this.#engine = engine;
    this.#offset = index * PER_THREAD;
    this.#splitter = new FrameSplitter(MAX_FRAME_TO_CORDON, (id, type, payload) => {
      switch (type) {
        case TO_CORDON.call:
          this.#work.push({ type: "call", id, ...readCall(payload) });
          break;
        case TO_CORDON.hostReply:
          this.#work.push({ type: "hostReply", id, ...readHostReply(payload) });
          break;
        case TO_CORDON.abandon:
          this.#engine.abandon(this.#offset + id);
          break;
        case TO_CORDON.load: {
          const { digest, artifact } = readLoad(payload);
          this.#engine.load(digest, artifact);
          break;
        }
        case TO_CORDON.configure:
          this.#configure(id, readConfigure(payload));
          break;
        case TO_CORDON.release:
          this.#engine.release(this.#offset + id);
          break;
      }
    });
    this.#socket = new Socket({
      fd: FIRST_FD + index,
      readable: true,
      writable: true,
      onread: {
        buffer: Buffer.allocUnsafe(READ_BYTES),
        callback: (length, buffer) => {
          this.#splitter.push(Buffer.from(buffer.buffer, buffer.byteOffset, length));
          this.#runAll();
          return true;
        },
      },
    });
    this.#socket.on("error", onClose);
    this.#socket.on("close", onClose);
    this.#socket.write(readyFrame(), "latin1");
    this.#socket.resume();
  }

  /** A configuration is in order behind the calls before it. */
  #configure(id: number, config: GuestConfig): void {
    this.#runAll();
    this.#engine.configure(this.#offset + id, config);
  }

  #runAll(): void {
    const work = this.#work;
    if (work.length === 0) return;
    this.#work = [];
    if (!this.#heard) {
      this.#heard = true;
      threadsSeen++;
    }
    if (threadsSeen > 1) this.#socket.write(batchFrame(work.length), "latin1");
    this.#flushedAt = performance.now();
    for (const one of work) {
      this.#out += turnFrame(one.id, this.#run(one));
      if (performance.now() - this.#flushedAt > FLUSH_AFTER_MS) this.#flush();
    }
    this.#flush();
  }

  #run(one: Work): Turn {
    const id = this.#offset + one.id;
    return one.type === "call"
      ? this.#engine.start(id, this.#offset + one.instance, one.call)
      : this.#engine.resume(id, one.seq, one.result);
  }

  #flush(): void {
    this.#flushedAt = performance.now();
    if (this.#out === "") return;
    this.#socket.write(this.#out, "latin1");
    this.#out = "";
  }
}

/** Serves until the last data thread hangs up. The first argument is the number of sockets. */
export function runCordon(engine: Engine): void {
  const count = Number(process.argv[2]);
  let open = count;
  for (let index = 0; index < count; index++) {
    let closed = false;
    new ThreadLink(index, engine, () => {
      if (closed) return;
      closed = true;
      if (--open === 0) process.exit(0);
    });
  }
}

/**
 * Gives up what only starting needed: from here on neither files nor addons can be reached, as far as Node's
 * permission model holds.
 */
export function dropStartRights(): void {
  for (const scope of ["addon", "fs.read"]) {
    const { permission } = process as unknown as { permission?: { drop?(scope: string): void } };
    permission?.drop?.(scope);
  }
}
