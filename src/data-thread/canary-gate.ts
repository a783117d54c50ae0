/** Which requests get the canary of a roll-out: those with a header, or a part of all. */
import type { Context } from "@gatehouse/sdk";
import type { Gate, GatedRequest } from "../pipeline/gates.ts";
import { Tally } from "../rollout/tally.ts";
import type { CanaryPackage } from "../threads/packages.ts";

export class CanaryGate implements Gate {
  readonly id: string;
  readonly #header: CanaryPackage["header"];
  readonly #tally: Tally;

  constructor({ rollout, header, tally }: Pick<CanaryPackage, "rollout" | "header" | "tally">) {
    this.id = rollout;
    this.#header = header;
    this.#tally = new Tally(tally);
  }

  admits({ request }: GatedRequest): boolean {
    if (this.#header === null) return Math.random() < this.#tally.weight;
    return request.headers.getAll(this.#header.name).includes(this.#header.value);
  }

  count({ response }: Context, canary: boolean): void {
    this.#tally.count(canary, response.status >= 500);
  }
}
