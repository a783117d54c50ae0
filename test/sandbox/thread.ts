/**
 * A data thread with nothing but a sandbox client, run as a worker thread. It makes hooks of the guests it is
 * sent and calls them as often as it is told to.
 */
import { parentPort } from "node:worker_threads";
import type { Hooks } from "@gatehouse/sdk";
import { GuestFailure, SandboxClient } from "../../src/sandbox/calls/client.ts";
import type { GuestSettings } from "../../src/sandbox/calls/guest.ts";
import type { ToThread } from "../../src/sandbox/protocol/messages.ts";
import { MemoryContext } from "./context.ts";
import { RecordingHost } from "./sandbox.ts";

export type Order =
  | { to: "client"; message: ToThread }
  | { to: "thread"; type: "guest"; settings: GuestSettings; artifact: Uint8Array }
  | { to: "thread"; type: "call"; order: number; plugin: string; times: number; atOnce: number };

export interface Outcome {
  order: number;
  good: number;
  failures: Record<string, number>;
}

if (parentPort !== null) {
  const port = parentPort;
  const artifacts = new Map<string, Uint8Array>();
  const guests = new Map<string, Hooks>();
  let listener: (message: ToThread) => void = () => {};
  const client = new SandboxClient({
    port: {
      post: (message) => port.postMessage({ from: "client", message }),
      onMessage: (given) => {
        listener = given;
      },
    },
    artifact: (digest) => artifacts.get(digest) ?? new Uint8Array(),
  });

  const callMany = async (plugin: string, times: number, atOnce: number): Promise<Omit<Outcome, "order">> => {
    const hooks = guests.get(plugin);
    const failures: Record<string, number> = {};
    let good = 0;
    let left = times;
    const worker = async () => {
      while (left-- > 0) {
        const ctx = new MemoryContext();
        try {
          await hooks?.access?.(ctx);
          if (ctx.request.headers.get("x-good") === "yes") good++;
          else failures.unchanged = (failures.unchanged ?? 0) + 1;
        } catch (error) {
          const kind = error instanceof GuestFailure ? error.failure : String(error);
          failures[kind] = (failures[kind] ?? 0) + 1;
        }
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    return { good, failures };
  };

  port.on("message", async (order: Order) => {
    if (order.to === "client") listener(order.message);
    else if (order.type === "guest") {
      artifacts.set(order.settings.digest, order.artifact);
      guests.set(order.settings.name, client.hooks(order.settings, new RecordingHost()));
    } else
      port.postMessage({
        from: "thread",
        outcome: { order: order.order, ...(await callMany(order.plugin, order.times, order.atOnce)) },
      });
  });
  void client.listen();
}
