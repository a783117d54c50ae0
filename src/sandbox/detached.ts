/**
 * Cordons that no data thread has calls for: a supervisor of their own, and the way to them, both in this thread. They
 * have the fence, the limits and the watch of all others, and are theirs alone who opened them.
 */
import type { GuestFailure } from "./calls/client.ts";
import { SandboxClient } from "./calls/client.ts";
import { FIRST_REPLAY_SLOT, REPLAY_SLOTS } from "./fence/guest-users.ts";
import type { ToSupervisor, ToThread } from "./protocol/messages.ts";
import { Supervisor } from "./supervisor/supervisor.ts";
import type { SupervisorOptions } from "./supervisor/supervisor-options.ts";

/** Far from those of the gateway's first supervisor, which begin at 1. */
let nextCordon = 1_000_000_000;

/** Processes at once; those that have just died hold their slots for a moment. */
const MAX_CORDONS = REPLAY_SLOTS / 2;

export interface DetachedOptions
  extends Pick<
    SupervisorOptions,
    "room" | "fence" | "log" | "cpuAllowance" | "cpuTotalMsPerSecond" | "memoryOf"
  > {
  /** Finds an artifact's bytes by its digest. */
  readonly artifact: (digest: string) => Uint8Array;
  readonly onFailure: (failure: GuestFailure) => void;
  /** What guests take for the time, milliseconds since the epoch. */
  readonly clock: () => number;
}

/** There is one at a time: all have the same slots. */
export class DetachedGuests {
  readonly client: SandboxClient;
  readonly #supervisor: Supervisor;
  readonly #leave: () => void;

  private constructor(client: SandboxClient, supervisor: Supervisor, leave: () => void) {
    this.client = client;
    this.#supervisor = supervisor;
    this.#leave = leave;
  }

  static async open({ artifact, onFailure, clock, ...options }: DetachedOptions): Promise<DetachedGuests> {
    const supervisor = new Supervisor({
      ...options,
      spares: 0,
      maxReplicas: 1,
      maxCordons: MAX_CORDONS,
      numbers: { firstSlot: FIRST_REPLAY_SLOT, slots: REPLAY_SLOTS, firstId: nextCordon },
    });
    nextCordon += 1_000_000;
    let toClient: (message: ToThread) => void = () => {};
    let toSupervisor: (message: ToSupervisor) => void = () => {};
    // As between threads: nobody is told of something while he does it.
    const client = new SandboxClient({
      port: {
        post: (message) => queueMicrotask(() => toSupervisor(message)),
        onMessage: (listener) => {
          toClient = listener;
        },
      },
      artifact,
      onFailure,
      clock,
    });
    const leave = supervisor.addThread({
      post: (message) => queueMicrotask(() => toClient(message)),
      onMessage: (listener) => {
        toSupervisor = listener;
      },
    });
    await client.listen();
    return new DetachedGuests(client, supervisor, leave);
  }

  /** Ends every process; open calls fail. */
  async close(): Promise<void> {
    this.client.close();
    await this.#supervisor.close();
    this.#leave();
  }
}
