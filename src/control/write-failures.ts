/** What clients are told where a write that is sound in itself cannot be done. */
import type { UnresolvedReferences } from "../secrets/vaults.ts";
import { StaleRevision, StoreUnavailable, UnfitValue } from "../stores/store.ts";
import { schemaViolation, WriteRefused } from "./refusal.ts";
import { UnsoundRow } from "./rows.ts";
import type { Write } from "./write.ts";

export const movedOn = () =>
  new WriteRefused(
    "movedOn",
    "the configuration has changed since this change was planned; nothing was changed, plan it again",
  );

/** What is written may be a vault, and what cannot be read then is somebody else's. */
export function unresolved({ kind, faults, message }: UnresolvedReferences, write: Write): WriteRefused {
  return schemaViolation(kind === write.kind ? faults : [{ path: ["@entity"], message }]);
}

/** The same of a store that cannot be written to; any other error is itself. */
export function refusalOf(error: unknown): unknown {
  if (error instanceof StaleRevision)
    return new WriteRefused(
      "unavailable",
      "others write to the store all the time; nothing was changed, try again",
    );
  if (error instanceof UnfitValue) return schemaViolation([{ path: ["@entity"], message: error.message }]);
  if (error instanceof StoreUnavailable || error instanceof UnsoundRow)
    return new WriteRefused(
      "unavailable",
      `the store cannot be written to, nothing was changed, and requests are served as before: ${error.message}`,
    );
  return error;
}
