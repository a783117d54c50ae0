/** How commands about plugins tell what came of them, and by which exit codes. */
import { Unreachable, WrongAdmin } from "./admin-api.ts";
import { PackError } from "./pack.ts";

/**
 * 0 done; 1 refused, something has to be changed (every reason on standard error); 3 the gateway could not be reached or
 * is busy, and the same command may succeed later.
 */
export const EXIT = { done: 0, refused: 1, tryAgain: 3 } as const;

export const EXIT_HELP = `
Exit codes: 0 done; 1 refused, with every reason; 3 the gateway cannot be reached or is busy.`;

export interface Result {
  /** For people. */
  readonly lines: readonly string[];
  /** For programs, with `--json`. */
  readonly json: object;
}

/** Runs a command and prints its result; what is expected to go wrong becomes an exit code. */
export async function report(asJson: boolean | undefined, run: () => Promise<Result>): Promise<void> {
  await guarded(asJson, async () => {
    const { lines, json } = await run();
    console.log(asJson ? JSON.stringify(json) : lines.join("\n"));
  });
}

/** The same for a command that prints by itself. */
export async function guarded(asJson: boolean | undefined, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    const reasons = reasonsOf(error);
    if (reasons === null) throw error;
    process.exitCode = error instanceof Unreachable ? EXIT.tryAgain : EXIT.refused;
    if (asJson) console.log(JSON.stringify({ error: { reasons } }));
    else console.error(reasons.join("\n"));
  }
}

/** What its author has to know of a failure, a line each; null if nobody expected it. */
export function reasonsOf(error: unknown): readonly string[] | null {
  if (error instanceof PackError) return error.reasons;
  return error instanceof WrongAdmin || error instanceof Unreachable ? [error.message] : null;
}
