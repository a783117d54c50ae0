/**
 * What the Admin API costs among many entities: services, routes, consumers and their keys, 10,000 of each unless told
 * otherwise, on two data threads. Times in ms; medians with the slowest behind them.
 *
 *     node bench/admin.ts [entities of a kind]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fillStore } from "./stored.ts";

const ROOT = join(import.meta.dirname, "..");
const COUNT = Number(process.argv[2] ?? 10_000);
const WRITES = 60;

const origin = createServer((_request, response) => void response.end("ok")).listen(0, "127.0.0.1");
await once(origin, "listening");
const url = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`;
const text = JSON.stringify({
  _format_version: "3.0",
  services: Array.from({ length: COUNT }, (_, i) => ({
    name: `service-${i}`,
    url,
    tags: [`team-${i % 50}`],
    routes: [{ name: `route-${i}`, paths: [`/r${i}`] }],
  })),
  consumers: Array.from({ length: COUNT }, (_, i) => ({
    username: `consumer-${i}`,
    keyauth_credentials: [{ key: `key-of-consumer-${i}` }],
  })),
});

interface Running {
  readonly admin: string;
  readonly proxy: string;
  readonly startMs: number;
  rssMib(): Promise<number>;
  stop(): Promise<void>;
}

async function startGateway(prefix: string, database: string): Promise<Running> {
  const began = performance.now();
  const child = spawn(process.execPath, ["src/main.ts", "start"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      GATEHOUSE_PREFIX: prefix,
      GATEHOUSE_DATABASE: database,
      GATEHOUSE_DATA_THREADS: "2",
      GATEHOUSE_PROXY_LISTEN: "127.0.0.1:0",
      GATEHOUSE_ADMIN_LISTEN: "127.0.0.1:0",
      GATEHOUSE_STATUS_LISTEN: "127.0.0.1:0",
      GATEHOUSE_PROXY_ACCESS_LOG: "off",
    },
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, ports } = JSON.parse(line) as { msg: string; ports: { admin: number; proxy: number } };
    if (msg !== "ready") continue;
    child.stdout.resume();
    return {
      admin: `http://127.0.0.1:${ports.admin}`,
      proxy: `http://127.0.0.1:${ports.proxy}`,
      startMs: performance.now() - began,
      async rssMib() {
        const status = await readFile(`/proc/${child.pid}/status`, "utf8");
        return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024);
      },
      async stop() {
        child.kill("SIGTERM");
        await once(child, "exit");
      },
    };
  }
  throw new Error("the gateway has not started");
}

async function timed(request: () => Promise<Response>): Promise<number> {
  const began = performance.now();
  const response = await request();
  await response.arrayBuffer();
  if (response.status >= 400) throw new Error(`answered ${response.status}`);
  return performance.now() - began;
}

function tell(what: string, values: readonly number[]): void {
  const sorted = values.toSorted((a, b) => a - b);
  const median = sorted[sorted.length >> 1] as number;
  console.log(`${what}: ${median.toFixed(1)} (slowest ${sorted.at(-1)?.toFixed(1)})`);
}

const json = (method: string, body: object) => ({
  method,
  body: JSON.stringify(body),
  headers: { "content-type": "application/json" },
});

console.log(`${COUNT} of each kind; load of the machine: ${loadavg()[0]?.toFixed(1)}`);
{
  const prefix = await mkdtemp(join(tmpdir(), "gatehouse-bench-"));
  const gateway = await startGateway(prefix, "off");
  tell("POST /config, to live on all threads", [
    await timed(() =>
      fetch(`${gateway.admin}/config`, {
        method: "POST",
        body: text,
        headers: { "content-type": "application/json" },
      }),
    ),
  ]);
  console.log(`memory after it: ${await gateway.rssMib()} MiB`);
  await gateway.stop();
  await rm(prefix, { recursive: true });
}
{
  const prefix = await mkdtemp(join(tmpdir(), "gatehouse-bench-"));
  const empty = await startGateway(prefix, "sqlite");
  tell("start with an empty store", [empty.startMs]);
  await empty.stop();
  await fillStore(prefix, text);
  const gateway = await startGateway(prefix, "sqlite");
  tell("start from SQLite", [gateway.startMs]);
  console.log(`memory after it: ${await gateway.rssMib()} MiB`);
  const times = { page: [] as number[], tags: [] as number[], patch: [] as number[], create: [] as number[] };
  const live: number[] = [];
  for (let i = 0; i < WRITES; i++) {
    const at = (i * 7919) % COUNT;
    times.page.push(await timed(() => fetch(`${gateway.admin}/services?size=100`)));
    times.tags.push(await timed(() => fetch(`${gateway.admin}/services?tags=team-7&size=100`)));
    const began = performance.now();
    times.patch.push(
      await timed(() =>
        fetch(`${gateway.admin}/routes/route-${at}`, json("PATCH", { paths: [`/moved-${i}`] })),
      ),
    );
    // Fresh connections, so that both threads are asked.
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        fetch(`${gateway.proxy}/moved-${i}`, { headers: { connection: "close" } }),
      ),
    );
    if (answers.some(({ status }) => status !== 200)) throw new Error("acknowledged, and not live");
    live.push(performance.now() - began);
    times.create.push(
      await timed(() => fetch(`${gateway.admin}/consumers`, json("POST", { username: `new-${i}` }))),
    );
  }
  tell("page of 100 of a list", times.page);
  tell("page of 100 by a tag", times.tags);
  tell("PATCH of one route, acknowledged", times.patch);
  tell("the same, and seen by eight new connections", live);
  tell("POST of one consumer, acknowledged", times.create);
  console.log(`memory after all: ${await gateway.rssMib()} MiB`);
  await gateway.stop();
  await rm(prefix, { recursive: true });
}
origin.close();
