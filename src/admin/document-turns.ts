/**
 * Turns of those who send whole configurations. Reading one takes memory, and the main thread judges it in one go and does
 * nothing else meanwhile, so they follow each other; and after a tenant's one the gateway rests from tenants' as long as
 * that one took: however many they send, half of its time is everybody else's.
 */
import { setTimeout } from "node:timers/promises";
import type { TakeTurn } from "../control/control.ts";
import { OneAtATime } from "../tenancy/owners-turns.ts";
import { Refusal } from "./answers.ts";
import type { Call } from "./routes.ts";

/** How many wait: the operator's, and those of tenants, of which each has a part. */
const MAX_WAITING = 4;
const MAX_TENANTS_WAITING = 16;
const LONGEST_REST_MS = 10_000;
/** After which a document that was begun asks for a place again. */
const AGAIN_MS = 250;

const rest = (tookMs: number) => setTimeout(Math.min(tookMs, LONGEST_REST_MS), undefined, { ref: false });

export class DocumentTurns {
  readonly #operators = new OneAtATime(MAX_WAITING);
  readonly #tenants = new OneAtATime(MAX_TENANTS_WAITING, rest);

  /** What the job comes to, once it is its turn. @throws {Refusal} 429 if too many wait. */
  take<T>(call: Pick<Call, "author">, job: () => Promise<T>): Promise<T> {
    const turn = this.#turn(call, job);
    if (turn !== null) return turn;
    const message = "Other configurations are being applied; try again";
    throw new Refusal(429, { message }, { "retry-after": "1" });
  }

  /**
   * For a document that needs several turns, between which its passwords are worked out: that takes minutes, in which it
   * is the others' turn. Only the first may be refused.
   */
  several(call: Pick<Call, "author">): TakeTurn {
    let isFirst = true;
    return async (job) => {
      if (isFirst) {
        isFirst = false;
        return this.take(call, job);
      }
      for (;;) {
        const turn = this.#turn(call, job);
        if (turn !== null) return turn;
        await setTimeout(AGAIN_MS);
      }
    };
  }

  #turn<T>({ author: { workspace } }: Pick<Call, "author">, job: () => Promise<T>): Promise<T> | null {
    return workspace === null ? this.#operators.run("", job) : this.#tenants.run(workspace, job);
  }
}
