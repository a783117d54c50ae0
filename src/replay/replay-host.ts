/**
 * What a guest may ask for while recorded requests are replayed: nothing outside is asked, read or changed. What would
 * have been asked is counted, so that whoever reads the report knows what the guest did without.
 */
import type { Consumer, Host, Window } from "@gatehouse/sdk";
import { HostCallError } from "../sandbox/calls/host-call-error.ts";

type Asked = "fetch" | "kv" | "secret" | "windows" | "credentials" | "consumers";

const refused = (what: string) => Promise.reject(new HostCallError(`${what} in a replay`));

export class ReplayHost implements Host {
  readonly pluginId: string;
  /** How often each was asked for. */
  readonly asked: Partial<Record<Asked, number>> = {};
  /** Whoever was known when the request was recorded. */
  consumer: Consumer | null = null;

  constructor(pluginId: string) {
    this.pluginId = pluginId;
  }

  #count(what: Asked): void {
    this.asked[what] = (this.asked[what] ?? 0) + 1;
  }

  // A guest's clock and randomness are its cordon's.
  now = (): number => Date.now();
  uuid = (): string => crypto.randomUUID();
  random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
  log(): void {}
  count(): void {}
  observe(): void {}

  readonly kv: Host["kv"] = {
    get: () => {
      this.#count("kv");
      return null;
    },
    set: () => this.#count("kv"),
    delete: () => this.#count("kv"),
  };

  fetch(): Promise<never> {
    this.#count("fetch");
    return refused("no request is sent");
  }

  secret(): Promise<never> {
    this.#count("secret");
    return refused("no secret is read");
  }

  findCredential(): null {
    this.#count("credentials");
    return null;
  }

  findConsumer(idOrName: string): Consumer | null {
    this.#count("consumers");
    const { consumer } = this;
    return consumer !== null && (consumer.id === idOrName || consumer.username === idOrName)
      ? consumer
      : null;
  }

  /** Every window is as if it had just begun. */
  takeFromWindows(windows: readonly Window[]): number[] {
    this.#count("windows");
    return windows.map(({ limit }) => limit - 1);
  }
}
