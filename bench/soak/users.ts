/**
 * A thread of virtual users. Each has a connection, and again and again picks what to do, by weight and from its
 * own seed, does it, checks the answer, and thinks for a while. Users come one after another while ramping up and
 * leave one after another while ramping down.
 */
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Client } from "undici";
import { Histogram, type HistogramData } from "../load/histogram.ts";

export interface UsersJob {
  port: number;
  users: number;
  rampSeconds: number;
  holdSeconds: number;
  thinkMs: number;
  seed: number;
}

export interface ScenarioReport {
  name: string;
  /** Microseconds of what went well. */
  latency: HistogramData;
  errors: Record<string, number>;
}

const POLICY = { apikey: "soak-key-1" };
const UPLOAD = Buffer.alloc(102_400, "gatehouse");

type Act = (client: Client, port: number) => Promise<void>;

function request(path: string, wanted: number, headers: Record<string, string> = {}, bytes?: number): Act {
  return async (client) => {
    const answer = await client.request({ path, method: "GET", headers });
    const body = await answer.body.arrayBuffer();
    if (answer.statusCode !== wanted) throw new Error(`status ${answer.statusCode}, not ${wanted}`);
    if (bytes !== undefined && body.byteLength !== bytes)
      throw new Error(`${body.byteLength} bytes, not ${bytes}`);
  };
}

const SCENARIOS: { name: string; weight: number; act: Act }[] = [
  { name: "plain", weight: 40, act: request("/small", 200) },
  { name: "policy", weight: 20, act: request("/policy/small", 200, POLICY) },
  { name: "no key", weight: 5, act: request("/policy/small", 401) },
  { name: "100 KB answer", weight: 10, act: request("/100k", 200, {}, 102_400) },
  { name: "1 MB answer", weight: 3, act: request("/1m", 200, {}, 1_048_576) },
  {
    name: "100 KB upload",
    weight: 10,
    async act(client) {
      const answer = await client.request({ path: "/upload-proof", method: "POST", body: UPLOAD });
      const received = await answer.body.text();
      if (received !== String(UPLOAD.length)) throw new Error(`the upstream received ${received} bytes`);
    },
  },
  {
    name: "new connection",
    weight: 8,
    async act(_client, port) {
      const client = new Client(`http://127.0.0.1:${port}`);
      try {
        await request("/small", 200)(client, port);
      } finally {
        await client.close();
      }
    },
  },
  { name: "slow reader", weight: 1, act: (_client, port) => readSlowly(port) },
  { name: "slow writer", weight: 1, act: (_client, port) => writeSlowly(port) },
  { name: "gone in the middle", weight: 2, act: (_client, port) => leave(port) },
];

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n`;
}

/** Takes 1 MB in sips, a few milliseconds after one another. */
async function readSlowly(port: number): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.write(get("/1m"));
  let bytes = 0;
  for await (const chunk of socket) {
    bytes += (chunk as Buffer).length;
    await delay(10);
  }
  if (bytes < 1_048_576) throw new Error(`the answer ended after ${bytes} bytes`);
}

/** Sends a head in small pieces, in about a second. */
async function writeSlowly(port: number): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  const text = get("/small");
  let answer = "";
  const ended = new Promise<void>((resolve, reject) => {
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
    });
    socket.once("end", resolve);
    socket.once("error", reject);
  });
  const written = (async () => {
    for (let at = 0; at < text.length; at += 8) {
      socket.write(text.slice(at, at + 8));
      await delay(100);
    }
  })();
  await Promise.all([written, ended]);
  if (!answer.startsWith("HTTP/1.1 200")) throw new Error(`answered ${answer.slice(0, 30)}`);
}

/** Asks for 1 MB and leaves with the first bytes of it. */
async function leave(port: number): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.write(get("/1m"));
  await new Promise<void>((resolve, reject) => {
    socket.once("data", () => resolve());
    socket.once("error", reject);
  });
  socket.resetAndDestroy();
}

/** mulberry32: the same seed, the same choices. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function run(job: UsersJob): Promise<ScenarioReport[]> {
  const reports = SCENARIOS.map(({ name }) => ({
    name,
    latency: new Histogram(),
    errors: {} as Record<string, number>,
  }));
  const total = SCENARIOS.reduce((sum, { weight }) => sum + weight, 0);
  const began = performance.now();

  const live = async (user: number) => {
    const turn = random(job.seed * 1_000_003 + user);
    const share = user / job.users;
    await delay(job.rampSeconds * share * 1000);
    const leaveAt = began + (job.rampSeconds + job.holdSeconds + job.rampSeconds * (1 - share)) * 1000;
    const client = new Client(`http://127.0.0.1:${job.port}`);
    while (performance.now() < leaveAt) {
      let left = turn() * total;
      const picked = SCENARIOS.findIndex(({ weight }) => {
        left -= weight;
        return left < 0;
      });
      const report = reports[picked]!;
      const started = performance.now();
      try {
        await SCENARIOS[picked]!.act(client, job.port);
        report.latency.add((performance.now() - started) * 1000);
      } catch (error) {
        const what = error instanceof Error ? error.message : String(error);
        report.errors[what] = (report.errors[what] ?? 0) + 1;
      }
      await delay(job.thinkMs * (0.5 + turn()));
    }
    await client.close();
  };
  await Promise.all(Array.from({ length: job.users }, (_, user) => live(user)));
  return reports.map(({ name, latency, errors }) => ({ name, latency: latency.data(), errors }));
}

parentPort?.postMessage(await run(workerData as UsersJob));
