/** The limits of guests in figures. */
import type { GuestLimits } from "./engine.ts";

const MIB = 1 << 20;

/**
 * The limits of a guest where nobody lowered them, which are also the most that a manifest may name: a
 * package can only ask for less.
 */
export const WORKSPACE_LIMITS: Readonly<GuestLimits> = {
  memoryBytes: 32 * MIB,
  // The isolate's timer goes by the wall's clock: on a machine that is busy a good call of 2 ms may take 50.
  cpuMs: 100,
  // About an instruction a unit: some ten milliseconds of a tight loop, 600 times an ordinary handler.
  fuel: 20_000_000,
  wallMs: 250,
  // Below the 4 MiB of a frame that leaves a cordon, so that too much output is a violation and not a kill.
  outputBytes: 3 * MIB,
  headerCount: 100,
  headerBytes: 32 * 1024,
  hostCalls: 50,
  instances: 4,
  concurrentCalls: 512,
};
