/**
 * A data thread's end of its socket to one cordon: sends calls, matches turns, and knows at every moment
 * which call is running. Hot: the guest cases of `bench/cases.ts` watch it.
 *
 * A cordon that breaks the format, answers for a call that is not its turn, or writes more than it may is
 * not spoken to again.
 */
import type { Wire } from "../../http1/wire.ts";
import type { Turn } from "../protocol/engine.ts";
import {
  abandonFrame,
  callFrame,
  configureFrame,
  FROM_CORDON,
  type HostResult,
  hostReplyFrame,
  loadFrame,
  MAX_FRAME_FROM_CORDON,
  readBatch,
  readTurn,
  releaseFrame,
  unloadFrame,
} from "../protocol/frames.ts";
import type { Activity } from "../protocol/messages.ts";
import { FrameError, FrameSplitter, type Reader } from "../protocol/wire.ts";
import { guestCall } from "./grants.ts";
import type { Call, Guest } from "./guest.ts";
import { BYTES_MOVED_IN_1_US } from "./host-calls.ts";
import type { Lane } from "./lane.ts";

/** A call that is starved may take this many times its own time more. */
const STARVED_FACTOR = 4;
/**
 * The first call of an instance in a cordon loads it: compiling and `create()` have this long on top, once,
 * whether that call ends well or not.
 */
export const LOADING_MS = 400;
/**
 * A cordon that serves several threads says whose calls it begins. One that has others' calls come first for this long
 * while one waits in it, all the times together in which it said so, is not to be believed.
 */
export const STALLED_MS = 20_000;
/**
 * A cordon's socket closes when it dies, which is told within a moment. One that is not dead by then has closed it
 * itself, and what is open in it would wait for ever.
 */
const CUT_OFF_MS = 3000;
/** So many frames leave at once, so that the cordon has something to do; fewer wait for the end of the turn. */
const FRAMES_AT_ONCE = 8;
/** About what a data thread reads of host calls in a microsecond, where they are written to be slow to read. */
const BYTES_READ_IN_1_US = 200;

export interface LinkEvents {
  onReady(link: CordonLink): void;
  onTurn(link: CordonLink, call: Call, turn: Turn): void;
  /** The cordon broke the protocol. It must be killed. */
  onNonsense(link: CordonLink, message: string): void;
  onClose(link: CordonLink): void;
}

/** A guest as the cordon knows it. */
interface Instance {
  readonly id: number;
  /** Whether it has been loaded. */
  warm: boolean;
  /** Its calls in the cordon, and how many may be. */
  inside: number;
  readonly most: number;
}

/** A call that waits until another one of its guest has ended. */
interface Parked {
  readonly call: Call;
  readonly frame: string;
  readonly since: number;
}

export class CordonLink {
  readonly id: number;
  /** Known once it is assigned. */
  slot = -1;
  lane: Lane | null = null;
  /** Data threads that send it calls. */
  threads = 1;
  ready = false;
  /** Gets no new calls. */
  retired = false;
  /** The socket is closed or its peer is not to be believed: what is open waits for the supervisor's word. */
  broken = false;
  /** Whether this thread has asked for the cordon's death. */
  condemned = false;
  /** When the socket was closed (`performance.now()`); 0 while it is not. */
  #closedAt = 0;
  readonly open = new Map<number, Call>();
  /** Calls whose turn is awaited, in the order in which the cordon runs them. */
  readonly order: Call[] = [];
  /** When the first of `order` began to run (`performance.now()`); 0 while another thread's batch may run. */
  #headSince = 0;
  /** For how long calls have waited here behind others', without the present time, and when that began; 0 if none do. */
  #othersMs = 0;
  #othersSince = 0;
  /** What its thread had waited when the running call was first looked at, by when it began. */
  #watched = { since: 0, waitedMs: 0 };
  /** Whose turn has ended last. */
  last: Guest | null = null;
  /** How many turns have arrived. */
  turns = 0;
  readonly #wire: Wire;
  readonly #activity: Activity | null;
  readonly #events: LinkEvents;
  readonly #splitter: FrameSplitter;
  readonly #loaded = new Set<string>();
  readonly #instances = new Map<Guest, Instance>();
  #parked: Parked[] = [];
  #nextInstance = 1;
  #nextCall = 1;
  /** Frames that have not left yet, and how many. */
  #out = "";
  #outFrames = 0;
  /** How many at the end of `order` are among them: they cannot run before they have left. */
  #unsent = 0;
  #marked = false;
  #batchLeft = 0;

  /** Open calls are counted in `activity`. */
  constructor(id: number, wire: Wire, activity: Activity | null, events: LinkEvents) {
    this.id = id;
    this.#wire = wire;
    this.#activity = activity;
    this.#events = events;
    this.#splitter = new FrameSplitter(MAX_FRAME_FROM_CORDON, (call, type, payload) =>
      this.#onFrame(call, type, payload),
    );
    wire.own({
      onRead: (chunk) => this.push(chunk),
      onDrain() {},
      onEnd() {},
      onBroken: () => this.#closed(),
      onClosed: () => this.#closed(),
    });
  }

  #closed(): void {
    this.broken = true;
    this.#closedAt ||= performance.now();
    this.#events.onClose(this);
  }

  /** Bytes from the cordon. */
  push(chunk: Buffer): void {
    if (this.broken) return;
    try {
      this.#splitter.push(chunk);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.broken = true;
      this.#wire.pause();
      this.#events.onNonsense(this, error.message);
    }
  }

  /** Sends a call. The artifact and the configuration go ahead of it if they have not yet. */
  send(call: Call, artifact: (digest: string) => Uint8Array, now: number, epochNow: number): void {
    const { guest } = call;
    let instance = this.#instances.get(guest);
    if (instance === undefined) {
      const { digest } = guest.config;
      if (!this.#loaded.has(digest)) {
        this.#write(loadFrame(digest, artifact(digest)));
        this.#loaded.add(digest);
      }
      instance = { id: this.#nextInstance++, warm: false, inside: 0, most: mostInside(guest, this.threads) };
      this.#instances.set(guest, instance);
      this.#write(configureFrame(instance.id, guest.config));
    }
    const id = this.#nextCall;
    this.#nextCall = (id + 1) >>> 0 || 1;
    const frame = callFrame(
      id,
      instance.id,
      guestCall(guest, call.ctx, call.phase, epochNow, call.body, call.chunk),
    );
    call.id = id;
    this.open.set(id, call);
    this.#activity?.begin(this.slot);
    if (instance.inside < instance.most) this.#transmit(call, frame, instance, now);
    else this.#parked.push({ call, frame, since: now });
  }

  /** Host calls of its guests take this thread so many microseconds. */
  work(us: number): void {
    this.#activity?.work(this.slot, us);
  }

  #transmit(call: Call, frame: string, instance: Instance, now: number): void {
    call.guest.row.bytesIn += frame.length;
    call.attempts++;
    call.sentAt = now;
    call.othersMs = this.#othersUntil(now);
    instance.inside++;
    this.#expect(call, now);
    this.#write(frame);
  }

  /** A call has left the cordon: the oldest of its guest that was parked takes its place. */
  #leave(guest: Guest, now: number): void {
    const instance = this.#instances.get(guest);
    if (instance === undefined) return;
    instance.inside--;
    if (this.#parked.length === 0) return;
    const at = this.#parked.findIndex(({ call }) => call.guest === guest);
    if (at < 0) return;
    const [next] = this.#parked.splice(at, 1) as [Parked];
    this.#transmit(next.call, next.frame, instance, now);
  }

  /** Gives up the calls that have been parked since before `before` (`performance.now()`). */
  takeParked(before: number): Call[] {
    if (this.#parked.length === 0) return [];
    const late = this.#parked.filter(({ since }) => since < before).map(({ call }) => call);
    this.#parked = this.#parked.filter(({ since }) => since >= before);
    for (const call of late) {
      this.open.delete(call.id);
      this.#activity?.end(this.slot);
    }
    return late;
  }

  reply(call: Call, seq: number, result: HostResult, now: number): void {
    this.#expect(call, now);
    const frame = hostReplyFrame(call.id, seq, result);
    call.guest.row.bytesIn += frame.length;
    this.work(Math.floor(frame.length / BYTES_MOVED_IN_1_US));
    this.#write(frame);
  }

  /** Forgets a call that waits for the gateway, not for the cordon. */
  abandon(call: Call): void {
    this.open.delete(call.id);
    this.#activity?.end(this.slot);
    this.#write(abandonFrame(call.id));
    this.#leave(call.guest, performance.now());
  }

  release(guest: Guest): void {
    const instance = this.#instances.get(guest);
    if (instance === undefined || this.broken) return;
    this.#instances.delete(guest);
    this.#write(releaseFrame(instance.id));
    const { digest } = guest.config;
    for (const other of this.#instances.keys()) if (other.config.digest === digest) return;
    this.#loaded.delete(digest);
    this.#write(unloadFrame(digest));
  }

  /** Forgets those instances that have no open call here. */
  releaseIdle(isMeant: (guest: Guest) => boolean): void {
    for (const guest of [...this.#instances.keys()]) {
      if (!isMeant(guest)) continue;
      let open = false;
      for (const call of this.open.values()) open ||= call.guest === guest;
      if (!open) this.release(guest);
    }
  }

  /**
   * Whether the running call has used up its time. What its thread has waited for a core does not count, up to a
   * bound: on a machine that is busy with others a good guest is not killed for that. Asked every few
   * milliseconds, which is how exactly the wait is known.
   */
  isOverdue(now: number): boolean {
    const [head] = this.order;
    if (head === undefined || this.#headSince === 0 || this.broken) return false;
    const waitedMs = this.slot < 0 ? 0 : (this.#activity?.waited(this.slot) ?? 0);
    if (this.#headSince !== this.#watched.since) this.#watched = { since: this.#headSince, waitedMs };
    const { wallMs } = head.guest.config.limits;
    const warm = this.#instances.get(head.guest)?.warm ?? true;
    const limit = warm ? wallMs : wallMs + LOADING_MS;
    const starved = Math.min(Math.max((waitedMs - this.#watched.waitedMs) | 0, 0), limit * STARVED_FACTOR);
    return now - this.#headSince > limit + starved;
  }

  /**
   * Whether a call waits here for longer than all other threads' calls may take. Its own thread's, which come before it,
   * have their deadlines; so every call comes to its end, however slowly a cordon trickles its answers.
   */
  isStalled(now: number): boolean {
    const [head] = this.order;
    if (head === undefined || this.broken) return false;
    return this.#othersUntil(now) - head.othersMs > STALLED_MS;
  }

  #othersUntil(now: number): number {
    return this.#othersMs + (this.#othersSince === 0 ? 0 : now - this.#othersSince);
  }

  /** The first of `order` begins to run, or (0) does not run. */
  #setHead(since: number, now: number): void {
    this.#othersMs = this.#othersUntil(now);
    this.#othersSince = since === 0 && this.order.length > 0 ? now : 0;
    this.#headSince = since;
  }

  /** Whether the socket was closed by a cordon that lives on. */
  isCutOff(now: number): boolean {
    return this.#closedAt > 0 && now - this.#closedAt > CUT_OFF_MS;
  }

  close(): void {
    this.#wire.destroy();
  }

  #expect(call: Call, now: number): void {
    this.#unsent++;
    if (this.order.push(call) === 1) this.#setHead(this.#marked ? 0 : now, now);
  }

  /** Whether the first of `order` has reached the cordon and nobody else's call is known to run. */
  get headRuns(): boolean {
    return this.#headSince > 0 && this.order.length > this.#unsent;
  }

  /**
   * One write for each turn of the event loop: its requests come one after the other, and a write for each call would
   * cost as much as the rest of its way.
   */
  #write(frame: string): void {
    if (this.#outFrames++ === 0) setImmediate(this.#endTurn);
    this.#out += frame;
    if (this.#outFrames % FRAMES_AT_ONCE === 0) this.#flush();
  }

  readonly #endTurn = (): void => {
    this.#outFrames = 0;
    this.#flush();
  };

  #flush(): void {
    const out = this.#out;
    if (out === "") return;
    this.#out = "";
    // What waited here for its turn to end has not used up time of its own.
    if (this.#headSince > 0 && this.order.length === this.#unsent) this.#headSince = performance.now();
    this.#unsent = 0;
    this.#wire.writeText(out);
  }

  #onFrame(id: number, type: number, payload: Reader): void {
    if (type === FROM_CORDON.turn) this.#onTurn(id, payload);
    else if (type === FROM_CORDON.batch) {
      const count = readBatch(payload);
      if (count > this.order.length - this.#unsent || this.#batchLeft > 0 || (count === 0 && this.#marked))
        throw new FrameError("a batch of frames that were not sent");
      this.#marked = true;
      const now = performance.now();
      this.#batchLeft = count;
      // Where there are none, another thread's first calls come before those that wait here.
      this.#setHead(count > 0 ? now : 0, now);
    } else if (type === FROM_CORDON.ready && !this.ready) {
      payload.end();
      this.ready = true;
      this.#events.onReady(this);
    } else throw new FrameError("a frame of an unknown type");
  }

  #onTurn(id: number, payload: Reader): void {
    const [call] = this.order;
    if (call === undefined || call.id !== id || this.order.length === this.#unsent)
      throw new FrameError("a turn of a call that is not running");
    const bytes = payload.left;
    call.guest.row.bytesOut += bytes;
    const turn = readTurn(payload);
    if (turn.hostCalls.length > 0) this.work(Math.ceil(bytes / BYTES_READ_IN_1_US));
    this.order.shift();
    this.turns++;
    const now = performance.now();
    this.last = call.guest;
    const instance = this.#instances.get(call.guest);
    if (instance !== undefined) instance.warm = true;
    if (this.#marked) {
      if (this.#batchLeft === 0) throw new FrameError("a turn outside of a batch");
      this.#setHead(--this.#batchLeft > 0 ? now : 0, now);
    } else this.#setHead(this.order.length > 0 ? now : 0, now);
    call.began = true;
    // An answer that crossed with the call's end yields a turn of its own, for a call that is closed already.
    if (turn.kind !== "waiting" && this.open.delete(id)) {
      this.#activity?.end(this.slot);
      this.#leave(call.guest, now);
    }
    this.#events.onTurn(this, call, turn);
  }
}

/**
 * A WASM guest that waits needs an instance for each of its calls, and a cordon has so many of them: each data thread has
 * an equal part, and one at least. Every other guest takes as many calls as come.
 */
function mostInside({ engine, config }: Guest, threads: number): number {
  if (engine !== "wasm" || config.asks.length === 0) return Number.POSITIVE_INFINITY;
  return Math.max(1, Math.floor(config.limits.instances / threads));
}
