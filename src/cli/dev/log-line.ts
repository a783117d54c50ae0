/** A line of a gateway's log; null if it is something else that was printed. */
export function logLine(line: string): Record<string, unknown> | null {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
}
