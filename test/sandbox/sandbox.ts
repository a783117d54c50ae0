/**
 * A supervisor and data threads for tests: real cordons, behind the operating system's fence where the tests
 * run as root. A client in the test's own thread is enough for most; `test/sandbox/thread.ts` runs one in a
 * worker thread.
 */
import { createHash } from "node:crypto";
import { EventEmitter } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import {
  type Consumer,
  type Credential,
  type FetchAnswer,
  type FetchRequest,
  type Host,
  type KeyValues,
  PHASES,
  type Window,
} from "@gatehouse/sdk";
import { build } from "esbuild";
import { SandboxClient } from "../../src/sandbox/calls/client.ts";
import { type GuestGrants, NO_GRANTS } from "../../src/sandbox/calls/grants.ts";
import type { GuestFailure, GuestSettings } from "../../src/sandbox/calls/guest.ts";
import type { Fence } from "../../src/sandbox/fence/fence.ts";
import { probeFence } from "../../src/sandbox/fence/fence-probe.ts";
import { prepareRoom, type Room } from "../../src/sandbox/fence/room.ts";
import type { EngineKind, GuestLimits } from "../../src/sandbox/protocol/engine.ts";
import { readyFrame } from "../../src/sandbox/protocol/frames.ts";
import type { Port, ToSupervisor, ToThread } from "../../src/sandbox/protocol/messages.ts";
import { Supervisor } from "../../src/sandbox/supervisor/supervisor.ts";
import type { SupervisorOptions } from "../../src/sandbox/supervisor/supervisor-options.ts";

export const LIMITS: GuestLimits = {
  memoryBytes: 32 * 1024 * 1024,
  cpuMs: 100,
  fuel: 5_000_000,
  wallMs: 250,
  outputBytes: 1024 * 1024,
  headerCount: 100,
  headerBytes: 32 * 1024,
  hostCalls: 50,
  instances: 4,
  concurrentCalls: 2048,
};

/** For guests that behave: a busy machine must not fail them. */
export const PATIENT = { wallMs: 10_000, cpuMs: 5000 };

let prepared: Promise<{ room: Room; fence: Fence }> | null = null;

/** Bundling and probing take half a second: once for each test file, with the engines of the first who asks. */
export function place(engines: readonly EngineKind[] = ["isolate"]): Promise<{ room: Room; fence: Fence }> {
  prepared ??= (async () => {
    const prefix = mkdtempSync(join(tmpdir(), "gatehouse-sandbox-"));
    process.once("exit", () => rmSync(prefix, { recursive: true, force: true }));
    const room = await prepareRoom(prefix, engines);
    return { room, fence: await probeFence(room) };
  })();
  return prepared;
}

export function portOver<Out, In>(port: MessagePort): Port<Out, In> {
  return {
    post: (message) => port.postMessage(message),
    onMessage: (listener) => {
      port.on("message", listener);
      port.unref();
    },
  };
}

export interface LogLine {
  level: string;
  message: string;
  fields: Record<string, unknown>;
}

export interface Sandbox {
  readonly supervisor: Supervisor;
  readonly client: SandboxClient;
  readonly log: LogLine[];
  /** Emits every line of the log under its message, and what the client is told, once it knows, under its type. */
  readonly events: EventEmitter;
  readonly failures: GuestFailure[];
  close(): Promise<void>;
}

/**
 * The process of a workspace's cordon. The supervisor hears that it is ready by a message, which may come after
 * the cordon's first answer.
 */
export async function pidOf({ supervisor }: Sandbox, workspace: string): Promise<number> {
  for (;;) {
    const found = supervisor.status().cordons.find((one) => one.workspace === workspace);
    if (found === undefined) throw new Error(`there is no cordon of ${workspace}`);
    if (found.pid !== null) return found.pid;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Our grandchildren are not ours to wait for: /proc is asked. A zombie is dead. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

const artifacts = new Map<string, Uint8Array>();

/** `warm` are the engines for which guests are expected: each gets a spare. */
export async function startSandbox({
  warm = [],
  ...options
}: Partial<SupervisorOptions> & { warm?: EngineKind[] } = {}): Promise<Sandbox> {
  const { room, fence } = await (options.room && options.fence
    ? { room: options.room, fence: options.fence }
    : place());
  const log: LogLine[] = [];
  const events = new EventEmitter();
  const failures: GuestFailure[] = [];
  const supervisor = new Supervisor({
    room,
    fence,
    log: (level, message, fields) => {
      log.push({ level, message, fields });
      events.emit(message, fields);
    },
    ...options,
  });
  const { port1, port2 } = new MessageChannel();
  supervisor.addThread(portOver(port1));
  const port = portOver<ToSupervisor, ToThread>(port2);
  const client = new SandboxClient({
    port: {
      post: port.post,
      onMessage: (listener) =>
        port.onMessage((message) => {
          listener(message);
          events.emit(message.type, message);
        }),
    },
    artifact: (digest) => artifacts.get(digest) ?? new Uint8Array(),
    onFailure: (failure) => failures.push(failure),
  });
  await client.listen();
  for (const engine of warm) supervisor.expectGuests(engine);
  return {
    supervisor,
    client,
    log,
    events,
    failures,
    async close() {
      client.close();
      await supervisor.close();
      port1.close();
    },
  };
}

/** A cordon whose entry is this script: what a guest that took it over might do. */
export async function cordonRunning(
  script: string,
  options: Partial<SupervisorOptions> = {},
): Promise<Sandbox> {
  const { room, fence } = await place();
  const name = `taken-${Math.random().toString(36).slice(2)}.js`;
  writeFileSync(
    join(room.folder, name),
    `import { Socket } from "node:net";
     const socket = new Socket({ fd: 3, readable: true, writable: true });
     const send = (text) => socket.write(text, "latin1");
     send(${JSON.stringify(readyFrame())});
     socket.on("data", (data) => { ${script} });`,
  );
  const taken: Room = { ...room, entries: { ...room.entries, isolate: name } };
  return startSandbox({ ...options, room: taken, fence });
}

/** Keeps an artifact under its digest, for every sandbox of this thread. */
export function store(artifact: Uint8Array): string {
  const digest = `sha256:${createHash("sha256").update(artifact).digest("hex")}`;
  artifacts.set(digest, artifact);
  return digest;
}

const HERE = dirname(fileURLToPath(import.meta.url));

/** A guest as its author would upload it: one ESM file with the SDK in it. */
export async function bundleGuest(entry: string): Promise<Uint8Array> {
  return (await buildGuest({ entryPoints: [entry] }))[0] as Uint8Array;
}

/** The same from source text. */
export async function bundleSource(source: string): Promise<Uint8Array> {
  const stdin = { contents: source, resolveDir: HERE, loader: "ts" as const };
  return (await buildGuest({ stdin }))[0] as Uint8Array;
}

async function buildGuest(input: object): Promise<Uint8Array[]> {
  const built = await build({
    ...input,
    bundle: true,
    write: false,
    format: "esm",
    platform: "neutral",
    target: "esnext",
  });
  return built.outputFiles.map((file) => file.contents);
}

/** Source of a plugin whose only hook is `access` with this body. */
export function accessPlugin(body: string, { before = "" } = {}): string {
  return `import { definePlugin, record, reply } from "@gatehouse/sdk";
${before}
export default definePlugin({ name: "under-test", version: "1.0.0", priority: 1, schema: record({}),
  create(config, host) { return { access: ${/\bawait\b/.test(body) ? "async " : ""}(ctx) => { ${body} } }; } });`;
}

export interface GuestParts {
  runtime?: GuestSettings["runtime"];
  workspace?: string;
  name?: string;
  version?: string;
  onTrial?: boolean;
  config?: unknown;
  fail?: "open" | "closed";
  phases?: GuestSettings["phases"];
  instance?: GuestSettings["instance"];
  grants?: Partial<GuestGrants>;
  limits?: Partial<GuestLimits>;
  cpuWaitMs?: number;
}

export function settings(artifact: Uint8Array, parts: GuestParts = {}): GuestSettings {
  return {
    digest: store(artifact),
    runtime: parts.runtime ?? "isolate",
    phases: parts.phases ?? PHASES.filter((phase) => phase !== "response"),
    instance: parts.instance ?? "resident",
    pluginId: "6f2f6c2e-0000-4000-8000-00000000000a",
    config: parts.config ?? {},
    limits: { ...LIMITS, ...parts.limits },
    workspace: parts.workspace ?? "default",
    name: parts.name ?? "under-test",
    version: parts.version ?? "1.0.0",
    onTrial: parts.onTrial ?? false,
    fail: parts.fail ?? "closed",
    grants: { ...NO_GRANTS, ...parts.grants },
    cpuWaitMs: parts.cpuWaitMs ?? 0,
  };
}

/** A Host that remembers what it was asked, knows one consumer and one secret, and keeps values in memory. */
export class RecordingHost implements Host {
  readonly pluginId = "6f2f6c2e-0000-4000-8000-00000000000a";
  readonly calls: unknown[][] = [];
  readonly consumer: Consumer = { id: "c-1", username: "ünal", custom_id: null };

  log(level: string, message: string): void {
    this.calls.push(["log", level, message]);
  }
  now(): number {
    return Date.now();
  }
  uuid(): string {
    return "00000000-0000-4000-8000-000000000000";
  }
  random(length: number): Uint8Array {
    return new Uint8Array(length);
  }
  readonly values = new Map<string, Uint8Array>();
  readonly kv: KeyValues = {
    get: async (key) => {
      this.calls.push(["kv.get", key]);
      return this.values.get(key) ?? null;
    },
    set: async (key, value, options) => {
      this.calls.push(["kv.set", key, value.length, options?.ttlMs]);
      this.values.set(key, typeof value === "string" ? Buffer.from(value) : value);
    },
    delete: async (key) => {
      this.calls.push(["kv.delete", key]);
      this.values.delete(key);
    },
  };
  /** Answers with what it was sent. */
  async fetch({ url, method = "GET", headers = [], body = null }: FetchRequest): Promise<FetchAnswer> {
    this.calls.push(["fetch", method, url, headers]);
    const sent = typeof body === "string" ? Buffer.from(body) : (body ?? new Uint8Array());
    return { status: 201, headers: [["X-Url", url]], body: sent };
  }
  async secret(name: string): Promise<string | null> {
    this.calls.push(["secret", name]);
    return name === "TOKEN" ? "s3cret" : null;
  }
  findCredential(type: string, key: string): Credential | null {
    this.calls.push(["findCredential", type, key]);
    return key === "right" ? { id: "k-1", consumer: this.consumer } : null;
  }
  async findConsumer(idOrName: string): Promise<Consumer | null> {
    this.calls.push(["findConsumer", idOrName]);
    return idOrName === this.consumer.id ? this.consumer : null;
  }
  takeFromWindows(windows: readonly Window[]): number[] {
    this.calls.push(["takeFromWindows", windows]);
    return windows.map((window) => window.limit - 1);
  }
  count(metric: string, _help: string, labels: object, by: number): void {
    this.calls.push(["count", metric, labels, by]);
  }
  observe(metric: string, _help: string, _buckets: readonly number[], labels: object, value: number): void {
    this.calls.push(["observe", metric, labels, value]);
  }
}
