/**
 * Memory for bodies. Each is read whole before anybody looks at it, so those that are being read share a fixed room, and
 * nobody is let in for whom there is none: however many connections send how much at once, the gateway holds no more.
 */
import type { ServerResponse } from "node:http";
import { Shares } from "../tenancy/shares.ts";
import { Refusal } from "./answers.ts";

/** All bodies together, and those of one workspace. */
export const MAX_BODIES_BYTES = 256 << 20;
const MAX_WORKSPACE_BYTES = 128 << 20;

export class BodyRoom {
  readonly #shares = new Shares(MAX_BODIES_BYTES, MAX_WORKSPACE_BYTES);

  /** Room for a body, kept until its request is answered. @throws {Refusal} 429 */
  take(owner: string, bytes: number, response: ServerResponse): void {
    if (!this.#shares.take(owner, bytes)) {
      const message = "Too much is being sent at once; try again in a moment";
      throw new Refusal(429, { message }, { "retry-after": "1" });
    }
    response.once("close", () => this.#shares.give(owner, bytes));
  }
}
