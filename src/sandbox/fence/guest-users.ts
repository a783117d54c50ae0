/**
 * The uids that cordons run under: one for each slot, so that no cordon may signal, trace or exhaust another
 * even if it could see it. Nobody else may have them; as far as /etc tells, this checks it.
 */
import { readFileSync } from "node:fs";
import { MAX_CORDONS } from "../protocol/messages.ts";

/** Cordons in which recorded requests are replayed: those that run, and those that have just died. */
export const REPLAY_SLOTS = 16;
/**
 * One uid for each slot of a cordon, then for the forge, the probe of the fence, the cordon that tries uploads, and
 * those of replays.
 */
export const GUEST_UIDS = MAX_CORDONS + 3 + REPLAY_SLOTS;
export const FORGE_SLOT = MAX_CORDONS;
export const PROBE_SLOT = MAX_CORDONS + 1;
export const SMOKE_SLOT = MAX_CORDONS + 2;
export const FIRST_REPLAY_SLOT = MAX_CORDONS + 3;

/** Why the range that starts at `first` cannot be used; null if it can. */
export function uidProblem(first: number, read: (path: string) => string = readIfThere): string | null {
  const last = first + GUEST_UIDS - 1;
  if (
    !isMapped(read("/proc/self/uid_map"), first, last) ||
    !isMapped(read("/proc/self/gid_map"), first, last)
  )
    return `ids ${first} to ${last} do not exist in this user namespace`;
  for (const [file, what] of [
    ["/etc/passwd", "user"],
    ["/etc/group", "group"],
  ] as const)
    for (const line of read(file).split("\n")) {
      const [name, , id] = line.split(":");
      if (id !== undefined && id !== "" && Number(id) >= first && Number(id) <= last)
        return `${what} ${name} has id ${id}, which is between ${first} and ${last}`;
    }
  for (const file of ["/etc/subuid", "/etc/subgid"])
    for (const line of read(file).split("\n")) {
      const [name, start, count] = line.split(":");
      if (count === undefined) continue;
      if (Number(start) <= last && Number(start) + Number(count) > first)
        return `${file} gives ${name} the ids from ${start} on, which meet ${first} to ${last}`;
    }
  return null;
}

/** Lines of `inside outside count`. An unreadable map is taken for the whole range. */
function isMapped(map: string, first: number, last: number): boolean {
  if (map === "") return true;
  return map.split("\n").some((line) => {
    const [inside, , count] = line.trim().split(/\s+/).map(Number);
    return inside !== undefined && count !== undefined && first >= inside && last < inside + count;
  });
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
