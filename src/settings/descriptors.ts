/** How many files and sockets this process may have open, and how many connections of clients fit among them. */
import { readFileSync } from "node:fs";

/** Descriptors for everything but traffic: logs, APIs, guests' processes, the runtime itself. */
export const DESCRIPTOR_RESERVE = 256;
/** What the smallest systems give. */
const SMALLEST_LIMIT = 1024;
const LEAST_CONNECTIONS = 64;
const MOST_CONNECTIONS = 65_536;

/** The process's limit of open files. The runtime has raised it as far as it may. */
export function descriptorLimit(): number {
  try {
    const limits = readFileSync("/proc/self/limits", "latin1");
    const soft = /^Max open files +(\d+|unlimited)/m.exec(limits)?.[1];
    return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft ?? SMALLEST_LIMIT);
  } catch {
    return SMALLEST_LIMIT;
  }
}

/** Half of the descriptors: a request in progress has a connection on either side. */
export function connectionsThatFit(limit = descriptorLimit()): number {
  const half = Math.floor((limit - DESCRIPTOR_RESERVE) / 2);
  return Math.min(Math.max(half, LEAST_CONNECTIONS), MOST_CONNECTIONS);
}
