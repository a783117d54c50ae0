/**
 * Which cordon goes when there is no place or no memory for all. Only idle ones go, who was idle for longest first; but
 * where memory is short and a workspace holds clearly more than its part, it gives before the others do: or one that
 * keeps its cordons large and just used would have its neighbours' evicted.
 */

/** What is asked of a cordon here. */
export interface Evictable {
  readonly workspace: string | null;
  /** Resident bytes that it shares with nobody. */
  readonly ownBytes: number;
  /** Milliseconds since the epoch. */
  readonly lastUsedAt: number;
}

/** How many times an equal part is clearly more than it. */
const MORE = 1.25;

/** The one that was idle for the longest time; null if there is none. */
export function idlest<C extends Evictable>(idle: readonly C[]): C | null {
  let oldest: C | null = null;
  for (const cordon of idle) if (oldest === null || cordon.lastUsedAt < oldest.lastUsedAt) oldest = cordon;
  return oldest;
}

/** Whose end frees memory most fairly: `all` are those that serve somebody, `idle` those of them that may go. */
export function heaviest<C extends Evictable>(all: readonly C[], idle: readonly C[]): C | null {
  const held = new Map<string | null, number>();
  let total = 0;
  for (const { workspace, ownBytes } of all) {
    held.set(workspace, (held.get(workspace) ?? 0) + ownBytes);
    total += ownBytes;
  }
  const holds = ({ workspace }: C) => held.get(workspace) ?? 0;
  const most = Math.max(0, ...idle.map(holds));
  const greedy = most > (MORE * total) / held.size;
  return idlest(greedy ? idle.filter((cordon) => holds(cordon) === most) : idle);
}
