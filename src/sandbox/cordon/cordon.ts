/**
 * The inside of a cordon: reads frames from its sockets (one for each data thread, from file descriptor 3
 * on), runs them through its engine in order, and writes the turns back.
 *
 * It runs one thing at a time. While a guest runs nothing here can act, which is why every deadline is kept
 * by the other side. Answers leave at the end of a batch, or as soon as a millisecond has passed since the
 * last ones left, so that a slow guest does not hold back answers that are ready.
 *
 * A guest that may be suspended ends its turn in a microtask. What is behind it waits, and since microtasks run
 * before anything is read from a socket, still nothing else happens in the meantime.
 */
import { Socket } from "node:net";
import type { MaybePromise } from "@gatehouse/sdk";
import type { Engine, EngineTurn, GuestConfig } from "../protocol/engine.ts";
import {
  batchFrame,
  type HostResult,
  MAX_FRAME_TO_CORDON,
  readConfigure,
  readHostReply,
  readLoad,
  readPrepare,
  readUnload,
  readyFrame,
  TO_CORDON,
  turnFrame,
} from "../protocol/frames.ts";
import { FrameSplitter, type Reader } from "../protocol/wire.ts";
import { performance } from "./clock.ts";
import { takeRandomFromKernel } from "./random.ts";
import { seal } from "./seal.ts";

const FIRST_FD = 3;
const READ_BYTES = 64 * 1024;
const FLUSH_AFTER_MS = 1;
/** Instances and calls are numbered by each data thread for itself; this tells threads apart. */
const PER_THREAD = 2 ** 32;

/** Frames are executed in their order; the first three kinds yield a turn. */
type Work<Call> =
  | { type: "call"; id: number; instance: number; call: Call }
  | { type: "prepare"; id: number; instance: number; now: number }
  | { type: "hostReply"; id: number; seq: number; result: HostResult }
  | { type: "abandon" | "release"; id: number }
  | { type: "configure"; id: number; config: GuestConfig }
  | { type: "load"; id: number; digest: string; artifact: Uint8Array }
  | { type: "unload"; id: number; digest: string };

let threadsSeen = 0;

/** The runtime's own handle of a socket; see http1/tcp-handle.ts, which a cordon has no right to load. */
interface Handle {
  writeLatin1String(request: null, text: string): number | { oncomplete: () => void };
}

/** One data thread's socket and what has arrived on it. */
class ThreadLink<Call> {
  readonly #links: readonly ThreadLink<Call>[];
  readonly #engine: Engine<Call, EngineTurn>;
  readonly #offset: number;
  readonly #handle: Handle;
  readonly #splitter: FrameSplitter;
  /** Its calls that wait for the host, and its instances, by the engine's numbers. */
  readonly #waiting = new Set<number>();
  readonly #instances = new Set<number>();
  /** Digests of what it has loaded. */
  readonly #artifacts = new Set<string>();
  #closed = false;
  #work: Work<Call>[] = [];
  /** How many of them yield a turn. */
  #expected = 0;
  /** Whether a turn ends in a microtask. */
  #busy = false;
  #heard = false;
  #out = "";
  #flushedAt = 0;

  /** `links` are those of all threads, this one's among them once it is made. */
  constructor(
    index: number,
    engine: Engine<Call, EngineTurn>,
    read: (payload: Reader) => Call,
    links: readonly ThreadLink<Call>[],
    onClose: () => void,
  ) {
    this.#links = links;
    this.#engine = engine;
    this.#offset = index * PER_THREAD;
    this.#splitter = new FrameSplitter(MAX_FRAME_TO_CORDON, (id, type, payload) => {
      switch (type) {
        case TO_CORDON.call:
          this.#expected++;
          this.#work.push({ type: "call", id, instance: payload.u32(), call: read(payload) });
          break;
        case TO_CORDON.prepare:
          this.#expected++;
          this.#work.push({ type: "prepare", id, ...readPrepare(payload) });
          break;
        case TO_CORDON.hostReply:
          this.#expected++;
          this.#work.push({ type: "hostReply", id, ...readHostReply(payload) });
          break;
        case TO_CORDON.abandon:
          this.#work.push({ type: "abandon", id });
          break;
        case TO_CORDON.load:
          this.#work.push({ type: "load", id, ...readLoad(payload) });
          break;
        case TO_CORDON.configure:
          this.#work.push({ type: "configure", id, config: readConfigure(payload) });
          break;
        case TO_CORDON.release:
          this.#work.push({ type: "release", id });
          break;
        case TO_CORDON.unload:
          this.#work.push({ type: "unload", id, digest: readUnload(payload) });
          break;
      }
    });
    const socket = new Socket({
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
    const onEnd = () => {
      if (this.#closed) return;
      this.#close();
      onClose();
    };
    socket.on("error", onEnd);
    socket.on("close", onEnd);
    this.#handle = (socket as unknown as { _handle: Handle })._handle;
    this.#write(readyFrame());
    socket.resume();
  }

  /** Past the socket's stream, whose queues and ticks would cost as much as a call. */
  #write(text: string): void {
    if (this.#closed) return;
    const request = this.#handle.writeLatin1String(null, text);
    if (typeof request === "object") request.oncomplete = () => {};
  }

  /** The thread is gone, and nobody answers or releases any more what was its own. */
  #close(): void {
    this.#closed = true;
    this.#work = [];
    for (const call of this.#waiting) this.#engine.abandon(call);
    this.#waiting.clear();
    if (this.#busy) return;
    for (const instance of this.#instances) this.#engine.release(instance);
    this.#instances.clear();
    for (const digest of this.#artifacts) this.#engine.unload(digest);
    this.#artifacts.clear();
  }

  #runAll(): void {
    if (this.#busy || this.#work.length === 0) return;
    const work = this.#work;
    this.#work = [];
    if (!this.#heard) {
      this.#heard = true;
      // Whose calls wait behind this batch must know that they do not run yet.
      if (++threadsSeen === 2)
        for (const other of this.#links) if (other !== this) other.#write(batchFrame(0));
    }
    if (threadsSeen > 1 && this.#expected > 0) this.#write(batchFrame(this.#expected));
    this.#expected = 0;
    this.#flushedAt = performance.now();
    this.#runFrom(work, 0);
  }

  #runFrom(work: readonly Work<Call>[], from: number): void {
    for (let i = from; i < work.length && !this.#closed; i++) {
      const one = work[i] as Work<Call>;
      const turn = this.#run(one);
      if (turn instanceof Promise) {
        this.#busy = true;
        void turn.then((ended) => {
          this.#busy = false;
          this.#answer(one.id, ended);
          if (this.#closed) return this.#close();
          this.#runFrom(work, i + 1);
        });
        return;
      }
      if (turn !== null) this.#answer(one.id, turn);
    }
    this.#flush();
    this.#runAll();
  }

  #run(one: Work<Call>): MaybePromise<EngineTurn> | null {
    const id = this.#offset + one.id;
    switch (one.type) {
      case "call":
        return this.#engine.start(id, this.#offset + one.instance, one.call);
      case "prepare":
        return this.#engine.prepare(this.#offset + one.instance, one.now);
      case "hostReply":
        return this.#engine.resume(id, one.seq, one.result);
      case "abandon":
        this.#waiting.delete(id);
        this.#engine.abandon(id);
        return null;
      case "configure":
        this.#instances.add(id);
        this.#engine.configure(id, one.config);
        return null;
      case "release":
        this.#instances.delete(id);
        this.#engine.release(id);
        return null;
      case "load":
        this.#artifacts.add(one.digest);
        this.#engine.load(one.digest, one.artifact);
        return null;
      case "unload":
        this.#artifacts.delete(one.digest);
        this.#engine.unload(one.digest);
        return null;
    }
  }

  #answer(id: number, turn: EngineTurn): void {
    const waits = turn.kind === "written" ? turn.waits : turn.kind === "waiting";
    if (waits) this.#waiting.add(this.#offset + id);
    else this.#waiting.delete(this.#offset + id);
    this.#out += turnFrame(id, turn);
    if (performance.now() - this.#flushedAt > FLUSH_AFTER_MS) this.#flush();
  }

  #flush(): void {
    this.#flushedAt = performance.now();
    if (this.#out === "") return;
    this.#write(this.#out);
    this.#out = "";
  }
}

/**
 * Serves until the last data thread hangs up. The first argument is the number of sockets. `read` makes of a
 * call's bytes what the engine takes; it copies, since they are overwritten.
 */
export function runCordon<Call>(engine: Engine<Call, EngineTurn>, read: (payload: Reader) => Call): void {
  const count = Number(process.argv[2]);
  let open = count;
  const links: ThreadLink<Call>[] = [];
  for (let index = 0; index < count; index++) {
    let closed = false;
    const onClose = () => {
      if (closed) return;
      closed = true;
      if (--open === 0) process.exit(0);
    };
    links.push(new ThreadLink(index, engine, read, links, onClose));
  }
}

/**
 * Gives up what only starting needed: from here on neither files nor addons can be reached, as far as Node's
 * permission model holds; and where the fence says so, the kernel refuses them as well.
 */
export function dropStartRights(): void {
  if (process.argv[3] === "sealed") {
    takeRandomFromKernel();
    seal();
  }
  for (const scope of ["addon", "fs.read", "ffi"]) {
    const { permission } = process as unknown as { permission?: { drop?(scope: string): void } };
    permission?.drop?.(scope);
  }
}
