/**
 * The gateway's own listeners, as addresses that a connection may lead to. A tenant that could make the gateway
 * connect to itself would reach the Admin API, or send requests round in circles, as somebody whom the gateway trusts.
 */
import { networkInterfaces } from "node:os";
import { type Address, kindOf, readIp } from "./addresses.ts";

/** Where a listener is open: an IP address, perhaps the unspecified one, and a port. */
export interface OwnListener {
  readonly name: "proxy_listen" | "admin_listen" | "status_listen";
  readonly host: string;
  readonly port: number;
}

interface Bound {
  readonly name: string;
  readonly port: number;
  /** Null for every address of the machine. */
  readonly text: string | null;
}

/** The listeners that settings name. A port that the system chooses is not known before it is open. */
export function listenersOf(settings: {
  readonly proxyListen: readonly Omit<OwnListener, "name">[];
  readonly adminListen: readonly Omit<OwnListener, "name">[];
  readonly statusListen: readonly Omit<OwnListener, "name">[];
}): readonly OwnListener[] {
  const named = (name: OwnListener["name"], list: readonly Omit<OwnListener, "name">[]) =>
    list.filter(({ port }) => port !== 0).map(({ host, port }) => ({ name, host, port }));
  return [
    ...named("proxy_listen", settings.proxyListen),
    ...named("admin_listen", settings.adminListen),
    ...named("status_listen", settings.statusListen),
  ];
}

const MACHINE_MS = 1000;

export class OwnListeners {
  #bound: readonly Bound[] = [];
  /** Addresses of this machine, and until when they are taken for that. */
  #machine: ReadonlySet<string> = new Set();
  #machineUntil = 0;

  constructor(listeners: readonly OwnListener[]) {
    this.replace(listeners);
  }

  /** The system has chosen ports. */
  replace(listeners: readonly OwnListener[]): void {
    this.#bound = listeners.map(({ name, host, port }) => {
      const address = readIp(host);
      const everywhere = address === null || kindOf(address) === "unspecified";
      return { name, port, text: everywhere ? null : address.text };
    });
  }

  /** The setting of the listener that answers there; null if none of them does. */
  at(address: Pick<Address, "family" | "text">, port: number): string | null {
    const kind = kindOf(address);
    let local: boolean | null = null;
    for (const bound of this.#bound) {
      if (bound.port !== port) continue;
      // The system takes a connection to the unspecified address to this machine.
      if (bound.text === address.text || kind === "unspecified") return bound.name;
      if (bound.text !== null) continue;
      local ??= kind === "loopback" || this.#isOfThisMachine(address);
      if (local) return bound.name;
    }
    return null;
  }

  /** Interfaces come and go while the gateway runs, and asking for them takes longer than all the rest. */
  #isOfThisMachine({ text }: Pick<Address, "text">): boolean {
    const now = performance.now();
    if (now >= this.#machineUntil) {
      const list = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
      this.#machine = new Set(list.map(({ address }) => readIp(address)?.text ?? ""));
      this.#machineUntil = now + MACHINE_MS;
    }
    return this.#machine.has(text);
  }
}
