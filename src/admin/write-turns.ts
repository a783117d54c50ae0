/**
 * Turns of those who write entities. Writes follow each other, so whoever sends them all the time would have everybody
 * else wait behind a queue of their own: workspaces take turns.
 */
import { OneAtATime } from "../tenancy/owners-turns.ts";
import { Refusal } from "./answers.ts";
import type { AdminPort } from "./port.ts";

/** As many as connections could send; one more is told to come back, unless its workspace has less than a part. */
const MAX_WAITING = 256;

/** The same port, whose writes take turns. */
export function withTurns(port: AdminPort): AdminPort {
  const turns = new OneAtATime(MAX_WAITING);
  return {
    ...port,
    async write(write, by) {
      const turn = turns.run(by.workspace ?? "", () => port.write(write, by));
      if (turn !== null) return turn;
      const message = "Too many writes are waiting; try again in a moment";
      throw new Refusal(429, { message }, { "retry-after": "1" });
    },
  };
}
