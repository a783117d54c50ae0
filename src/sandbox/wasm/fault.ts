/** How a guest's call goes wrong inside the engine, thrown through the guest's frames: it cannot catch this. */
import type { Failure } from "../protocol/engine.ts";

export class GuestFault extends Error {
  readonly failure: Failure;

  constructor(failure: Failure, message: string) {
    super(message);
    this.failure = failure;
  }
}
