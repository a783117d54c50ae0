/**
 * Open-loop load: requests are due at a constant rate whether or not earlier ones are answered, and latency
 * counts from the moment a request was due. Closed-loop load hides a stall, because it stops asking during it.
 *
 * Run as its own process (see `openLoop` at the end for how the bench starts it). It spins instead of using
 * timers, whose 1 ms grain would drown what is measured; it runs under SCHED_IDLE, so that its spinning never
 * keeps the upstream on the same core waiting.
 */
import { execFile } from "node:child_process";
import { connect, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { LoadResult, Target } from "./wrk.ts";

export interface OpenLoopResult extends LoadResult {
  /** How late the client itself came to send a request that was due, 99th percentile. */
  sentLateP99Us: number;
}

interface Job extends Target {
  perSecond: number;
  connections: number;
  warmSeconds: number;
  seconds: number;
}

/** Above this the client measures its own core's other work, not the proxy. */
const MAX_SENT_LATE_US = 1000;

interface Lane {
  socket: Socket;
  due: number;
  received: string;
}

/** Plays the job against the target and resolves once its last answer is in, or 5 s after the last was due. */
function play(job: Job): Promise<OpenLoopResult> {
  const lines = Object.entries({ host: `127.0.0.1:${job.port}`, ...job.headers }).map(
    ([k, v]) => `${k}: ${v}\r\n`,
  );
  const request = `GET ${job.path} HTTP/1.1\r\n${lines.join("")}\r\n`;
  const interval = 1000 / job.perSecond;
  const latencies: number[] = [];
  const lateness: number[] = [];
  const errors = new Map<string, number>();
  const fail = (what: string) => errors.set(what, (errors.get(what) ?? 0) + 1);
  const free: Lane[] = [];
  const waiting: number[] = [];
  let outstanding = 0;
  let finished = false;

  return new Promise((resolve) => {
    let measureFrom = Number.POSITIVE_INFINITY;

    const send = (lane: Lane, due: number) => {
      lane.due = due;
      lane.received = "";
      outstanding++;
      lane.socket.write(request, "latin1");
    };

    const receive = (lane: Lane, chunk: Buffer) => {
      lane.received += chunk.toString("latin1");
      const headEnd = lane.received.indexOf("\r\n\r\n");
      if (headEnd < 0) return;
      const length = /\r\ncontent-length: *(\d+)/i.exec(lane.received.slice(0, headEnd + 2));
      if (length === null) fail("answers without Content-Length");
      else if (lane.received.length < headEnd + 4 + Number(length[1])) return;
      if (!/^HTTP\/1\.1 2\d\d /.test(lane.received)) fail("answers with a status other than 2xx");
      outstanding--;
      if (lane.due >= measureFrom) latencies.push(performance.now() - lane.due);
      const next = waiting.shift();
      if (next === undefined) free.push(lane);
      else send(lane, next);
    };

    const lanes: Lane[] = [];
    let connected = 0;
    for (let i = 0; i < job.connections; i++) {
      const lane: Lane = { socket: connect(job.port, "127.0.0.1"), due: 0, received: "" };
      lane.socket.setNoDelay(true);
      lane.socket.on("data", (chunk: Buffer) => receive(lane, chunk));
      lane.socket.on("error", (error) => fail(error.message));
      lane.socket.on("close", () => {
        if (!finished) fail("connections closed by the other side");
      });
      lane.socket.once("connect", () => {
        free.push(lane);
        if (++connected === job.connections) begin();
      });
      lanes.push(lane);
    }

    function begin() {
      const start = performance.now();
      measureFrom = start + job.warmSeconds * 1000;
      const end = measureFrom + job.seconds * 1000;
      let due = start;
      const turn = () => {
        const now = performance.now();
        while (due <= now && due < end) {
          if (due >= measureFrom) lateness.push(now - due);
          const lane = free.pop();
          if (lane === undefined) waiting.push(due);
          else send(lane, due);
          due += interval;
        }
        const drained = due >= end && outstanding === 0 && waiting.length === 0;
        if (!drained && now < end + 5000) {
          setImmediate(turn);
          return;
        }
        finished = true;
        if (!drained) fail("requests unanswered 5 s after the end");
        for (const lane of lanes) lane.socket.destroy();
        latencies.sort((a, b) => a - b);
        lateness.sort((a, b) => a - b);
        const lateUs = at(lateness, 0.99);
        if (lateUs > MAX_SENT_LATE_US)
          fail(`a client ${lateUs} µs late in sending (p99): its core was not its own`);
        resolve({
          requests: latencies.length,
          seconds: job.seconds,
          p50Us: at(latencies, 0.5),
          p99Us: at(latencies, 0.99),
          p999Us: at(latencies, 0.999),
          maxUs: at(latencies, 1),
          sentLateP99Us: lateUs,
          errors: [...errors].map(([what, count]) => (count === 1 ? what : `${count} × ${what}`)),
        });
      };
      turn();
    }
  });
}

function at(sortedMs: number[], quantile: number): number {
  const index = Math.min(sortedMs.length - 1, Math.floor(sortedMs.length * quantile));
  return Math.round((sortedMs[index] ?? 0) * 1000);
}

/** Runs this file as a process of its own on `core` and returns what it measured. */
export async function openLoop(job: Job, core: number): Promise<OpenLoopResult> {
  const { stdout } = await promisify(execFile)("taskset", [
    ...["-c", String(core), "chrt", "--idle", "0", process.execPath],
    ...[fileURLToPath(import.meta.url), JSON.stringify(job)],
  ]);
  return JSON.parse(stdout) as OpenLoopResult;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(JSON.stringify(await play(JSON.parse(process.argv[2] ?? "{}") as Job)));
}
