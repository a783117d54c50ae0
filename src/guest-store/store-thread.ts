/**
 * The one thread that has the store. Data threads send it operations, each over a port of its own; what waits is
 * done in turns, a batch each, that go round by workspace. So no data thread waits for a disk, all of them see one
 * truth, and whoever writes much holds up nobody else for long.
 */
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { FairQueue } from "./fair-queue.ts";
import type { KeyValueStore, Operation, Outcome } from "./key-value-store.ts";
import type { RedisStoreOptions } from "./redis-store.ts";
import { SqliteStore, type SqliteStoreOptions } from "./sqlite-store.ts";

/** Which store it is. */
export type StoreKind =
  | ({ readonly kind: "local" } & Pick<SqliteStoreOptions, "path" | "maxBytes">)
  | ({ readonly kind: "redis" } & Pick<RedisStoreOptions, "server">);

/** From the main thread. */
export type ToStore =
  | { readonly type: "connect"; readonly port: MessagePort }
  | { readonly type: "forget"; readonly owner: string; readonly plugin: string }
  /** Answered over the port. */
  | { readonly type: "forget_workspace"; readonly workspace: string; readonly answer: MessagePort }
  | { readonly type: "close" };

export interface FromStore {
  readonly level: "warn" | "error";
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

/** What a data thread asks, and what it is answered. */
export interface StoreRequest {
  readonly id: number;
  readonly operation: Operation;
}
export interface StoreAnswer {
  readonly id: number;
  readonly outcome: Outcome;
}

/** One failure tells of all that follow it within this time. */
const QUIET_MS = 10_000;

const main = parentPort as NonNullable<typeof parentPort>;
const tell = (message: FromStore) => main.postMessage(message);
let toldAt = Number.NEGATIVE_INFINITY;

function onFailure(reason: string): void {
  if (performance.now() - toldAt < QUIET_MS) return;
  toldAt = performance.now();
  tell({ level: "error", message: "the store of plugins' values fails", fields: { reason } });
}

const store = await openStore(workerData as StoreKind);
const queue = new FairQueue<(outcome: Outcome) => void>();
let isScheduled = false;

async function openStore(kind: StoreKind): Promise<KeyValueStore> {
  if (kind.kind === "redis") {
    const { RedisStore } = await import("./redis-store.ts");
    return new RedisStore({ server: kind.server, onFailure });
  }
  const onDamaged = (aside: string, reason: string) =>
    tell({
      level: "error",
      message: "the file of plugins' values is damaged: it was put aside, and plugins begin without values",
      fields: { aside, reason },
    });
  return new SqliteStore({ path: kind.path, maxBytes: kind.maxBytes, onDamaged, onFailure });
}

function add(operation: Operation, answer: (outcome: Outcome) => void): void {
  queue.add(operation, answer);
  schedule();
}

function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  // Between turns new operations arrive, and take their places.
  setImmediate(() => {
    isScheduled = false;
    run();
    if (!queue.isEmpty) schedule();
  });
}

function run(): void {
  const now = queue.next();
  void store.run(now.map(({ operation }) => operation)).then((outcomes) => {
    for (let i = 0; i < now.length; i++) now[i]?.answer(outcomes[i] as Outcome);
  });
}

main.on("message", (message: ToStore) => {
  if (message.type === "connect") {
    const { port } = message;
    port.on("message", ({ id, operation }: StoreRequest) =>
      add(operation, (outcome) => port.postMessage({ id, outcome } satisfies StoreAnswer)),
    );
  } else if (message.type === "forget")
    add({ op: "forget", owner: message.owner, plugin: message.plugin }, () => {});
  else if (message.type === "forget_workspace") {
    const { workspace, answer } = message;
    // After what was asked before the workspace was deleted.
    add({ op: "forget_workspace", workspace }, (outcome) => {
      answer.postMessage(outcome);
      answer.close();
    });
  } else {
    while (!queue.isEmpty) run();
    void store.close().then(() => process.exit(0));
  }
});
