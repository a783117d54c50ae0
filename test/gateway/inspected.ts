/** A gateway whose data threads a test can bring to an end, or to a standstill, through Node's inspector. */
import { readFileSync } from "node:fs";
import { type Answer, send } from "../support/client.ts";
import { type ConfigFile, type Gateway, type LogLine, startGateway } from "../support/gateway.ts";
import { evaluateInThread, INSPECTED, inspectorUrl } from "./inspector.ts";

/** What brings a thread down, and the reason that the gateway then gives. */
export const DOWNFALLS = {
  exit: { expression: "process.exit(1)", reason: "crash" },
  throw: { expression: "setTimeout(() => { throw new Error('out of the blue') }), 0", reason: "crash" },
  loop: { expression: "setTimeout(() => { for (;;); }), 0", reason: "hang" },
  /** It lives and serves, and hears nothing any more. */
  deafen: {
    expression: "process.getBuiltinModule('node:worker_threads').parentPort.removeAllListeners('message')",
    reason: "hang",
  },
  /** Asleep in the kernel until a child process ends: no CPU time, and out of the runtime's reach. */
  block: {
    expression: "process.getBuiltinModule('node:child_process').spawnSync('sleep', ['1000'])",
    reason: "hang",
  },
} as const;

export type Downfall = keyof typeof DOWNFALLS;

export async function startInspected(
  config: ConfigFile,
  settings: Readonly<Record<string, string>> = {},
): Promise<Gateway> {
  process.env.NODE_OPTIONS = INSPECTED;
  try {
    return await startGateway({ config, settings: { data_threads: "2", ...settings } });
  } finally {
    delete process.env.NODE_OPTIONS;
  }
}

/** Begins to bring a data thread down, and does not wait for it. */
export async function strike(gateway: Gateway, thread: number, how: Downfall): Promise<void> {
  await evaluateInThread(inspectorUrl(gateway.output()), `data-${thread}`, DOWNFALLS[how].expression);
}

/**
 * Brings a data thread down; resolves to the line that says so. The line of one that hangs is written before it is
 * gone, and the system deals it connections until then: its listening socket is closed too when this resolves,
 * unless it is stuck where nothing can end it.
 */
export async function bringDown(gateway: Gateway, thread: number, how: Downfall): Promise<LogLine> {
  const sockets = listening(gateway.ports.proxy);
  const isNotice = (line: LogLine) => line.reason !== undefined && line.thread === thread;
  const before = gateway.logs.filter(isNotice).length;
  await strike(gateway, thread, how);
  await gateway.log((line) => isNotice(line) && gateway.logs.filter(isNotice).length > before);
  if (how !== "block")
    while (sockets.isSubsetOf(listening(gateway.ports.proxy)))
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  return gateway.logs.filter(isNotice)[before] as LogLine;
}

/** Between two looks at sockets, which nobody announces. */
const LOOK_MS = 5;

/** Sockets that listen on a port, by their inodes: each data thread has one of its own. proc_net(5). */
function listening(port: number): Set<string> {
  const found = new Set<string>();
  for (const line of readFileSync("/proc/net/tcp", "latin1").split("\n").slice(1)) {
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    if (state === "0A" && Number.parseInt(local.split(":")[1] ?? "", 16) === port) found.add(inode);
  }
  return found;
}

/** Waits until every data thread serves. */
export async function ready(gateway: Gateway): Promise<void> {
  while ((await send(`${gateway.statusUrl}/status/ready`)).status !== 200);
}

/** So many connections that both threads get some of them. */
export function onBothThreads(gateway: Gateway): Promise<Answer[]> {
  return Promise.all(Array.from({ length: 32 }, () => send(gateway.url)));
}

export interface Status {
  readonly server: { readonly total_requests: number; readonly connections_accepted: number };
  readonly lost_data_threads: {
    readonly crashed: number;
    readonly hung: number;
    readonly connections: number;
    readonly requests: number;
  };
}

export async function status(gateway: Gateway): Promise<Status> {
  return (await send(`${gateway.statusUrl}/status`)).json() as Status;
}

/** The samples of a scrape by name and labels. */
export async function scrape(gateway: Gateway): Promise<Map<string, number>> {
  const { body } = await send(`${gateway.statusUrl}/metrics`);
  const samples = new Map<string, number>();
  for (const [, name, value] of body.matchAll(/^(\w+(?:\{.*\})?) (\S+)$/gm))
    samples.set(name as string, Number(value));
  return samples;
}
