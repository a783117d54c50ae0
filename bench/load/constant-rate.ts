/**
 * Open-loop load: requests are due at a constant rate whether or not earlier ones are answered, and latency
 * counts from the moment a request was due. Closed-loop load hides a stall, because it stops asking during it.
 *
 * Run as its own process (`openLoop` at the end starts it). It shares a core with the upstream, so it is cheap:
 * the request is one prepared buffer, all sockets are read into another, of an answer only the status and the
 * end are looked for, latencies go into a histogram. It polls instead of using timers, whose 1 ms grain would
 * drown what is measured. How late it sent is measured as well: a run in which the client was the one that made
 * requests wait does not count.
 */
import { execFile } from "node:child_process";
import { connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { aboveAll, sessionFirst } from "../processes.ts";
import { type ChangePlan, type ChangeReport, makeChanges } from "./changes.ts";
import { Histogram } from "./histogram.ts";
import type { LoadResult, Target } from "./target.ts";

export interface OpenLoopResult extends LoadResult {
  /** How late the client itself came to send a request that was due, 99th percentile. */
  sentLateP99Us: number;
  /** Requests sent in all, those of its own warming included. */
  sent: number;
  /** Latency at each of `QUANTILES`. */
  quantilesUs: number[];
  /** Requests whose connection ended before the answer did. */
  lost: number;
  /** Connections that the other side closed while they were idle, and that were opened again. */
  reopened: number;
  changes?: ChangeReport;
}

export interface Job extends Target {
  perSecond: number;
  connections: number;
  warmSeconds: number;
  seconds: number;
  /** Whether lost requests are a finding of the case; otherwise they are an error of the run. */
  mayLose?: boolean;
  /** What is changed while it measures. */
  changes?: ChangePlan;
}

/** What the latency charts draw: from the median to one in ten thousand. */
export const QUANTILES = [0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999];

/**
 * The client's own lateness is part of every latency. Above this share of the p99 the client measures its own
 * core, not the proxy; below the floor it does not matter beside what a network adds.
 */
const MAX_LATE_SHARE = 0.33;
const LATE_FLOOR_US = 200;
/** A client that is not back by then has lost its server. */
const STUCK_AFTER_SECONDS = 30;
const HEAD_END = Buffer.from("\r\n\r\n");
/** "HTTP/1.1 2": where the first digit of the status is. */
const STATUS_AT = 9;
const TWO = 0x32;

interface Lane {
  socket: Socket;
  /** When the request under way was due; -1 while idle. */
  due: number;
  /** Bytes of the answer still to come; -1 until its head is whole. */
  missing: number;
  /** The beginning of a head that came in pieces. */
  part: Buffer | undefined;
}

/** Plays the job against the target and resolves once its last answer is in, or 5 s after the last was due. */
async function play(job: Job): Promise<OpenLoopResult> {
  const fields = Object.entries({ host: `127.0.0.1:${job.port}`, ...job.headers });
  const request = Buffer.from(
    `GET ${job.path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
  );
  const bodyLength = await lengthOfAnswer(job);
  const interval = 1000 / job.perSecond;
  const latency = new Histogram();
  const lateness = new Histogram();
  const errors = new Map<string, number>();
  const fail = (what: string) => errors.set(what, (errors.get(what) ?? 0) + 1);
  // Both queues are rings of fixed size, first in first out: every connection is used in turn.
  const free = new Ring<Lane>(job.connections + 1);
  const waiting = new Ring<number>(1 << 20);
  const shared = Buffer.allocUnsafe(1 << 18);
  let outstanding = 0;
  let sent = 0;
  let lost = 0;
  let reopened = 0;
  let finished = false;
  let measureFrom = Number.POSITIVE_INFINITY;

  const send = (lane: Lane, due: number) => {
    lane.due = due;
    lane.missing = -1;
    outstanding++;
    sent++;
    lane.socket.write(request);
  };

  const answered = (lane: Lane) => {
    outstanding--;
    if (lane.due >= measureFrom) latency.add((performance.now() - lane.due) * 1000);
    lane.due = -1;
    const next = waiting.shift();
    if (next === undefined) free.push(lane);
    else send(lane, next);
  };

  const receive = (lane: Lane, read: number) => {
    let bytes = shared;
    let length = read;
    if (lane.missing < 0) {
      if (lane.part !== undefined) {
        bytes = Buffer.concat([lane.part, shared.subarray(0, read)]);
        length = bytes.length;
        lane.part = undefined;
      }
      const end = bytes.indexOf(HEAD_END);
      if (end < 0 || end + 4 > length) {
        lane.part = Buffer.from(bytes.subarray(0, length));
        return;
      }
      if (bytes[STATUS_AT] !== TWO) fail("answers with a status other than 2xx");
      lane.missing = end + 4 + bodyLength;
    }
    lane.missing -= length;
    if (lane.missing < 0) fail("answers longer than the first one");
    if (lane.missing <= 0) answered(lane);
  };

  const open = (lane: Lane, ready: () => void) => {
    const socket = connect({
      port: job.port,
      host: "127.0.0.1",
      noDelay: true,
      onread: {
        buffer: shared,
        callback: (read) => {
          receive(lane, read);
          return true;
        },
      },
    });
    lane.socket = socket;
    socket.once("connect", ready);
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (!job.mayLose) fail(error.message);
    });
    socket.once("close", () => {
      if (finished) return;
      if (lane.due >= 0) {
        outstanding--;
        if (lane.due >= measureFrom) lost++;
        lane.due = -1;
      } else {
        reopened++;
        free.remove(lane);
      }
      lane.part = undefined;
      open(lane, () => {
        const next = waiting.shift();
        if (next === undefined) free.push(lane);
        else send(lane, next);
      });
    });
  };

  const lanes: Lane[] = [];
  await new Promise<void>((resolve) => {
    let connected = 0;
    for (let i = 0; i < job.connections; i++) {
      const lane = { due: -1, missing: -1, part: undefined } as unknown as Lane;
      lanes.push(lane);
      open(lane, () => {
        free.push(lane);
        if (++connected === job.connections) resolve();
      });
    }
  });

  const start = performance.now();
  // Counted, not added up: sums of fractions would end one request early or late.
  const dueAt = (request: number) => start + request * interval;
  const total = Math.round(job.perSecond * (job.warmSeconds + job.seconds));
  measureFrom = dueAt(Math.round(job.perSecond * job.warmSeconds));
  const giveUpAt = dueAt(total) + 5000;
  const changes = job.changes && makeChanges(job.changes);
  const drained = await new Promise<boolean>((resolve) => {
    let made = 0;
    const turn = () => {
      const now = performance.now();
      while (made < total) {
        const due = dueAt(made);
        if (due > now) break;
        made++;
        if (due >= measureFrom) lateness.add((now - due) * 1000);
        const lane = free.shift();
        if (lane !== undefined) send(lane, due);
        else if (!waiting.push(due)) fail("requests that found a million others waiting");
      }
      if (made === total && outstanding === 0 && waiting.size === 0) resolve(true);
      else if (now >= giveUpAt) resolve(false);
      else setImmediate(turn);
    };
    turn();
  });
  finished = true;
  for (const lane of lanes) lane.socket.destroy();
  const changed = await changes?.stop();

  if (!drained)
    fail(`${outstanding} of ${sent} requests unanswered, and ${waiting.size} not sent, 5 s after the end`);
  if (lost > 0 && !job.mayLose) fail(`${lost} requests lost with their connection`);
  const lateUs = lateness.quantile(0.99);
  const p99Us = latency.quantile(0.99);
  if (lateUs > Math.max(LATE_FLOOR_US, MAX_LATE_SHARE * p99Us))
    fail(
      `a client ${lateUs} µs late in sending (p99; the latency's is ${p99Us} µs): its core was not its own`,
    );
  return {
    requests: latency.count,
    sent,
    seconds: job.seconds,
    p50Us: latency.quantile(0.5),
    p99Us,
    p999Us: latency.quantile(0.999),
    maxUs: latency.max,
    quantilesUs: QUANTILES.map((share) => latency.quantile(share)),
    sentLateP99Us: lateUs,
    lost,
    reopened,
    changes: changed,
    errors: [
      ...[...errors].map(([what, count]) => (count === 1 ? what : `${count} × ${what}`)),
      ...(changed?.errors ?? []),
    ],
  };
}

/** Content-Length of the answer; it is the same for every request, so that no other head needs to be read. */
async function lengthOfAnswer(job: Target): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${job.port}${job.path}`, { headers: job.headers });
  await answer.arrayBuffer();
  const length = answer.headers.get("content-length");
  if (length === null) throw new Error("The open-loop client needs answers with a Content-Length");
  return Number(length);
}

/** A queue that never allocates after it was made. */
class Ring<T> {
  readonly #items: (T | undefined)[];
  #first = 0;
  size = 0;

  constructor(capacity: number) {
    this.#items = new Array(capacity);
  }

  /** Returns false, and keeps nothing, when the ring is full. */
  push(item: T): boolean {
    const capacity = this.#items.length;
    if (this.size === capacity) return false;
    this.#items[(this.#first + this.size++) % capacity] = item;
    return true;
  }

  shift(): T | undefined {
    if (this.size === 0) return undefined;
    const item = this.#items[this.#first];
    this.#items[this.#first] = undefined;
    this.#first = (this.#first + 1) % this.#items.length;
    this.size--;
    return item;
  }

  remove(item: T): void {
    for (let left = this.size; left > 0; left--) {
      const other = this.shift()!;
      if (other !== item) this.push(other);
    }
  }
}

/**
 * Runs this file as a process of its own on `core` and returns what it measured. It has a session of its own, before
 * the core's other work, and the upstream comes before it, so that polling keeps nobody waiting.
 */
export async function openLoop(job: Job, core: number, upstreamPid: number): Promise<OpenLoopResult> {
  const client = [process.execPath, "--max-semi-space-size=64", fileURLToPath(import.meta.url)];
  return await aboveAll(upstreamPid, async () => {
    const { stdout } = await promisify(execFile)(
      "setsid",
      ["--wait", "taskset", "-c", String(core), ...client, JSON.stringify(job)],
      { timeout: (job.warmSeconds + job.seconds + STUCK_AFTER_SECONDS) * 1000 },
    );
    return JSON.parse(stdout) as OpenLoopResult;
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  sessionFirst();
  process.stdout.write(JSON.stringify(await play(JSON.parse(process.argv[2] ?? "{}") as Job)));
  process.exit();
}
