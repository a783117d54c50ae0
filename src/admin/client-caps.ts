/** Connections of one client: nobody keeps all others from the API by opening as many as it takes. */
import type { Socket } from "node:net";
import { isLoopback } from "../settings/addresses.ts";
import { networkOf } from "../threads/address-key.ts";

export class ClientCaps {
  readonly #max: number;
  readonly #open = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Ends a connection of a client that has too many. This machine's own may be a proxy's, for all of its clients. */
  admit(socket: Pick<Socket, "remoteAddress" | "destroy" | "once">): void {
    const { remoteAddress = "" } = socket;
    if (isLoopback(remoteAddress)) return;
    const client = networkOf(remoteAddress);
    const open = (this.#open.get(client) ?? 0) + 1;
    if (open > this.#max) return void socket.destroy();
    this.#open.set(client, open);
    socket.once("close", () => {
      const left = (this.#open.get(client) ?? 0) - 1;
      if (left > 0) this.#open.set(client, left);
      else this.#open.delete(client);
    });
  }
}
