/** The way out of one data thread: the policies in force, the resolver that all names go through, and the connector. */
import type { buildConnector } from "undici";
import type { Resolver } from "../upstream/resolver.ts";
import { egressConnector } from "./connector.ts";
import type { Policies } from "./policies.ts";
import type { Purpose, Refusal } from "./policy.ts";

interface EgressParts {
  readonly policies: Policies;
  readonly resolver: Resolver;
  /** An address is refused; `host` is the name that led to it, `asker` who asked: a service, a plugin. */
  onRefused(refusal: Refusal, host: string, asker: string): void;
}

export class Egress {
  /** Replaced whole when the configuration changes. */
  policies: Policies;
  readonly resolver: Resolver;
  readonly onRefused: EgressParts["onRefused"];

  constructor({ policies, resolver, onRefused }: EgressParts) {
    this.policies = policies;
    this.resolver = resolver;
    this.onRefused = onRefused;
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
    return egressConnector({
      ...options,
      resolver: this.resolver,
      policy: () => this.policies.named(workspace, purpose),
      onRefused: (refusal, host) => this.onRefused(refusal, host, asker),
    });
  }
}
