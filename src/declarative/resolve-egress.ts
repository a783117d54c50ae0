/**
 * Addresses that a tenant's configuration names outright and that the egress policy refuses: said when the
 * configuration is loaded, not when the first request fails. Names are judged by what they resolve to, later.
 */
import type { Policies, WorkspaceEgress } from "../egress/policies.ts";
import type { EgressPolicy } from "../egress/policy.ts";
import { parseHost } from "../entities/hosts.ts";
import { DEFAULT_WORKSPACE } from "../entities/workspaces.ts";
import type { Draft, Faults, Scope } from "./draft.ts";

/** `workspaces` by name, as they are in the document. */
export function checkDestinations(
  drafts: readonly Draft[],
  workspaces: ReadonlyMap<string, Draft>,
  policies: Policies,
  faults: Faults,
): void {
  const found = new Map<Scope, EgressPolicy>();
  const policyOf = (scope: Scope) => {
    let policy = found.get(scope);
    if (policy === undefined) {
      const workspace = workspaces.get(scope.name);
      const egress = (workspace?.sound ? workspace.value.egress : null) as WorkspaceEgress;
      policy = policies.unknown(scope.name, egress, "configuration");
      found.set(scope, policy);
    }
    return policy;
  };
  for (const draft of drafts) {
    const { type, scope, value } = draft;
    if (scope.name === DEFAULT_WORKSPACE || !draft.sound) continue;
    // A broken workspace is an error already; what its lists were meant to open is not known.
    if (workspaces.get(scope.name)?.sound === false) continue;
    if (type.name === "services") {
      const host = value.host as string;
      if (scope.byKey.get("upstreams")?.has(host)) continue;
      checkDestination(draft, "host", host, value.port as number, policyOf(scope), faults);
    } else if (type.name === "targets") {
      const parts = parseHost(value.target as string);
      if (typeof parts === "string") continue;
      checkDestination(draft, "target", parts.host, parts.port ?? 0, policyOf(scope), faults);
    }
  }
}

/** A name that every resolver answers with loopback (RFC 6761 section 6.3). */
const isLocal = (host: string) => /^(?:.*\.)?localhost$/i.test(host);

function checkDestination(
  draft: Draft,
  field: string,
  host: string,
  port: number,
  policy: EgressPolicy,
  faults: Faults,
): void {
  const refusal = policy.check(isLocal(host) ? "127.0.0.1" : host, port);
  if (refusal === null || refusal.rule === "not_an_address") return;
  const through = isLocal(host) ? `'${host}' is this machine: ` : "";
  const message = `${through}${refusal.reason}, which a workspace other than 'default' may not connect to`;
  faults.entity(draft, [field], message, refusal.advice);
}
