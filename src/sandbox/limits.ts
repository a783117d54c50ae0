/** The limits of guests in figures. */
import type { GuestLimits } from "./engine.ts";

const MIB = 1 << 20;

/**
 * The limits of a guest where nobody lowered them, which are also the most that a manifest may name: a
 * package can only ask for less.
 */
export const WORKSPACE_LIMITS: Readonly<GuestLimits> = {
  memoryBytes: 32 * MIB,
  cpuMs: 25,
  // About an instruction a unit: some ten milliseconds of a tight loop, 600 times an ordinary handler.
  fuel: 20_000_000,
  wallMs: 100,
  // Below the 4 MiB of a frame that leaves a cordon, so that too much output is a violation and not a kill.
  outputBytes: 3 * MIB,
  headerCount: 100,
  headerBytes: 32 * 1024,
  hostCalls: 50,
};
