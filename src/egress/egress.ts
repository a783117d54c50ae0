/** The way out of one data thread: the policies in force, the resolver that all names go through, and the connector. */
import type { buildConnector } from "undici";
import type { Resolver } from "../upstream/resolver.ts";
import { allowedAddresses, egressConnector } from "./connector.ts";
import type { Policies } from "./policies.ts";
import type { Purpose, Refusal } from "./policy.ts";

interface EgressParts {
  readonly policies: Policies;
  readonly resolver: Resolver;
  /** An address is refused; `host` is the name that led to it, `asker` who asked; `first` if the log has not said so lately. */
  onRefused(refusal: Refusal, host: string, asker: string, first: boolean): void;
}

/** Refusals that were told of, and are told again after that time. */
const MAX_TOLD = 1000;
const QUIET_MS = 60_000;

export class Egress {
  /** Replaced whole when the configuration changes. */
  policies: Policies;
  readonly resolver: Resolver;
  readonly #onRefused: EgressParts["onRefused"];
  /** When each was told of. */
  readonly #told = new Map<string, number>();

  constructor({ policies, resolver, onRefused }: EgressParts) {
    this.policies = policies;
    this.resolver = resolver;
    this.#onRefused = onRefused;
  }

  /**
   * The `connect` of an undici agent for a workspace, by name. `asker` is for the log: `plugin 'x'`.
   * Who keeps the agent closes it when `policies.named(workspace, purpose)` is another object.
   */
  connector(
    workspace: string,
    purpose: Purpose,
    asker: string,
    options: { readonly timeoutMs?: number; readonly ca?: readonly string[] | null } = {},
  ): buildConnector.connector {
    return egressConnector({ ...options, ...this.#door(workspace, purpose, asker) });
  }

  /**
   * Addresses of a host that may be connected to, for what does not speak HTTP: connect to one of them, not to the name.
   * @throws {EgressRefusedError} by rejection, if there is none, and what the resolver throws
   */
  addresses(
    workspace: string,
    purpose: Purpose,
    asker: string,
    { host, port }: { readonly host: string; readonly port: number },
  ): Promise<readonly string[]> {
    return allowedAddresses(this.#door(workspace, purpose, asker), host, port);
  }

  #door(workspace: string, purpose: Purpose, asker: string) {
    return {
      resolver: this.resolver,
      policy: () => this.policies.named(workspace, purpose),
      onRefused: (refusal: Refusal, host: string) =>
        this.#onRefused(refusal, host, asker, this.#isFirst(refusal, host, asker)),
    };
  }

  /** Whether nothing was said of it for a while. Who is refused may ask again thousands of times a second. */
  #isFirst({ workspace, rule }: Refusal, host: string, asker: string): boolean {
    const key = JSON.stringify([workspace, asker, host, rule]);
    const now = performance.now();
    if (now - (this.#told.get(key) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return false;
    if (this.#told.size >= MAX_TOLD) this.#told.clear();
    this.#told.set(key, now);
    return true;
  }
}
