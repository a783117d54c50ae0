/**
 * The gateway's own listeners, as addresses that a connection may lead to. A tenant that could make the gateway
 * connect to itself would reach the Admin API, or send requests round in circles, as somebody whom the gateway trusts.
 * So are the servers that hold what is everybody's: the store of plugins' values, and that of configurations.
 */
import { lookup } from "node:dns/promises";
import { networkInterfaces } from "node:os";
import { type Address, kindOf, readIp } from "./addresses.ts";

/** Where a listener is open: an IP address, perhaps the unspecified one, and a port. */
export interface OwnListener {
  readonly name: "proxy_listen" | "admin_listen" | "status_listen" | "redis_host" | "pg_host";
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

/**
 * Where the servers of `redis_host` and `pg_host` are, if a setting asks for them. One on this machine counts on all its
 * addresses, because what it is told to listen on is not known here; so does one whose name does not resolve now, and one
 * that is spoken to over its Unix socket.
 */
export async function serverListeners(settings: {
  readonly guestKv: string;
  readonly redisHost: string;
  readonly redisPort: number;
  readonly database: string;
  readonly pgHost: string;
  readonly pgPort: number;
}): Promise<readonly OwnListener[]> {
  const { guestKv, redisHost, redisPort, database, pgHost, pgPort } = settings;
  const lists = await Promise.all([
    guestKv === "redis" ? listenersAt("redis_host", redisHost, redisPort) : [],
    database === "postgres" ? listenersAt("pg_host", pgHost, pgPort) : [],
  ]);
  return lists.flat();
}

async function listenersAt(
  name: OwnListener["name"],
  server: string,
  port: number,
): Promise<readonly OwnListener[]> {
  const found = server.startsWith("/") ? [] : await lookup(server, { all: true }).catch(() => []);
  const machine = addressesOfMachine();
  const isHere = (text: string) => {
    const address = readIp(text);
    return address === null || kindOf(address) === "loopback" || machine.has(address.text);
  };
  const hosts = found.map(({ address }) => (isHere(address) ? EVERYWHERE : address));
  return (hosts.length === 0 ? [EVERYWHERE] : [...new Set(hosts)]).map((host) => ({ name, host, port }));
}

const EVERYWHERE = "0.0.0.0";
const MACHINE_MS = 1000;

function addressesOfMachine(): ReadonlySet<string> {
  const list = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return new Set(list.map(({ address }) => readIp(address)?.text ?? ""));
}

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
      this.#machine = addressesOfMachine();
      this.#machineUntil = now + MACHINE_MS;
    }
    return this.#machine.has(text);
  }
}
