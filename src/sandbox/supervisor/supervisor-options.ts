/** What the supervisor of cordons is told when it is made. */
import { availableParallelism } from "node:os";
import type { Fence } from "../fence/fence.ts";
import type { Room } from "../fence/room.ts";
import { MAX_CORDONS } from "../protocol/messages.ts";
import { type CpuAllowance, UNBOUNDED } from "./budget.ts";
import { FORGIVEN_AFTER_MS } from "./suspension.ts";

export interface SupervisorOptions {
  readonly room: Room;
  readonly fence: Fence;
  readonly log: (level: "info" | "warn" | "error", message: string, fields: Record<string, unknown>) => void;
  /** Resident bytes at which a cordon is killed. Default 256 MiB. */
  readonly maxRssBytes?: number;
  /**
   * Bytes of all cordons together, beyond which idle ones are evicted. What they share with each other, such as
   * the code of Node, is counted for none of them. Default 2 GiB.
   */
  readonly budgetBytes?: number;
  /** Cordons without a workspace that are kept started for each engine that has guests. Default 1. */
  readonly spares?: number;
  /** Idle time after which a cordon is evicted. Default ten minutes. */
  readonly idleMs?: number;
  /** How many cordons there may be at once. Default 256. */
  readonly maxCordons?: number;
  /** Cordons that one workspace may have for each engine while it is under load. Default half of the cores. */
  readonly maxReplicas?: number;
  /** How long a workspace has a cordon too many before it gives it up. Default ten seconds. */
  readonly slackMs?: number;
  /** How long a plugin has to behave until what it did is forgotten. Default five minutes. */
  readonly forgivenAfterMs?: number;
  /** CPU time that a workspace's guests may use. Default: without a bound. */
  readonly cpuAllowance?: (workspace: string) => CpuAllowance;
  /** Milliseconds a second of CPU time for all workspaces with a bound together. Default: without a bound. */
  readonly cpuTotalMsPerSecond?: number;
  /** Told whenever a workspace's guests have just used up their CPU time. */
  readonly onExhausted?: (workspace: string) => void;
  /** Bytes that a workspace's cordons may take together, what they share left out. Default: without a bound. */
  readonly memoryOf?: (workspace: string) => number;
  /** For one that is not the gateway's first: nothing that its cordons have is another's. */
  readonly numbers?: Numbers;
}

/** By what a supervisor's cordons go. */
export interface Numbers {
  /** The slot, and so the uid, of its first cordon, and how many it has. */
  readonly firstSlot: number;
  readonly slots: number;
  /** The number of its first cordon, by which its cgroup is named. */
  readonly firstId: number;
}

export const MAX_RSS_BYTES = 256 * 1024 * 1024;
export const IDLE_MS = 600_000;

export function withDefaults(given: SupervisorOptions): Required<SupervisorOptions> {
  return {
    maxRssBytes: MAX_RSS_BYTES,
    budgetBytes: 2 * 1024 * 1024 * 1024,
    spares: 1,
    idleMs: IDLE_MS,
    maxCordons: 256,
    maxReplicas: Math.max(1, Math.floor(availableParallelism() / 2)),
    slackMs: 10_000,
    forgivenAfterMs: FORGIVEN_AFTER_MS,
    cpuAllowance: () => UNBOUNDED,
    cpuTotalMsPerSecond: Number.POSITIVE_INFINITY,
    onExhausted: () => {},
    memoryOf: () => Number.POSITIVE_INFINITY,
    numbers: { firstSlot: 0, slots: MAX_CORDONS, firstId: 1 },
    ...given,
  };
}
