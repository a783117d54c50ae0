/**
 * The listeners of a data thread: every thread opens the same addresses, and the system deals connections out
 * among them (SO_REUSEPORT).
 */
import { createServer, type Server } from "node:net";
import { acceptPlain, type PlainWire } from "../http1/plain-wire.ts";
import type { ProxyListen } from "../settings.ts";

export class Listeners {
  readonly #servers: Server[] = [];
  readonly #onWire: (wire: PlainWire, listener: ProxyListen) => void;
  readonly #onFailed: (reason: string) => void;

  /** `onWire` gets each connection as it is accepted, `onFailed` the system's word when one cannot be had. */
  constructor(onWire: (wire: PlainWire, listener: ProxyListen) => void, onFailed: (reason: string) => void) {
    this.#onWire = onWire;
    this.#onFailed = onFailed;
  }

  /**
   * Opens addresses; returns their ports, in the same order.
   * @throws {Error} the system's, if one cannot be had
   */
  async open(listeners: readonly ProxyListen[]): Promise<number[]> {
    const ports: number[] = [];
    for (const listener of listeners) {
      const { host, port, backlog } = listener;
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ host, port, backlog, reusePort: true }, resolve);
      });
      acceptPlain(server, (wire) => this.#onWire(wire, listener), this.#onFailed);
      this.#servers.push(server);
      ports.push((server.address() as { port: number }).port);
    }
    return ports;
  }

  /** Takes no more connections. */
  close(): void {
    for (const server of this.#servers) server.close();
  }
}
