/** Enters and leaves as fast as it can, and tells how many of its connections were let in at most at once. */
import { parentPort, workerData } from "node:worker_threads";
import { ConnectionCaps, type ConnectionCapsSpec } from "../../src/threads/connection-caps.ts";

export interface CapsThread {
  readonly spec: ConnectionCapsSpec;
  readonly column: number;
  readonly addresses: readonly string[];
  readonly rounds: number;
  /** Whether to go on for ever: until somebody ends the thread. */
  readonly endless: boolean;
}

const { spec, column, addresses, rounds, endless } = workerData as CapsThread;
const caps = new ConnectionCaps(spec, column);
let refused = 0;
parentPort?.postMessage("begins");
for (let round = 0; endless || round < rounds; round++) {
  const seats = addresses.map((address) => caps.enter(address, false));
  for (const seat of seats) {
    if (typeof seat === "number") caps.leave(seat);
    else refused++;
  }
}
parentPort?.postMessage(refused);
