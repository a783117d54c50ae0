/**
 * Addresses that a tenant's configuration names outright and that the egress policy refuses: said when it is written or
 * loaded, not when the first request fails. Names are judged by what they resolve to, later.
 */
import type { Policies, WorkspaceEgress } from "../egress/policies.ts";
import type { EgressPolicy } from "../egress/policy.ts";
import type { EntityType } from "./entities.ts";
import { parseHost } from "./hosts.ts";
import type { Entity, RelationFault, Relations, WorkspaceFacts } from "./relations.ts";

/** Of a service or a target of a workspace other than `default`. */
export function* destinationFaults(
  type: EntityType,
  entity: Entity,
  workspace: WorkspaceFacts,
  relations: Relations,
  policies: Policies,
): Generator<RelationFault> {
  if (type.name === "services") {
    const host = entity.host as string;
    if (relations.named("upstreams", workspace.id, host) !== undefined) return;
    yield* faultsOf("host", host, entity.port as number, workspace, policies);
  } else if (type.name === "targets") {
    const parts = parseHost(entity.target as string);
    if (typeof parts === "string") return;
    yield* faultsOf("target", parts.host, parts.port ?? 0, workspace, policies);
  }
}

/** A name that every resolver answers with loopback (RFC 6761 section 6.3). */
const isLocal = (host: string) => /^(?:.*\.)?localhost$/i.test(host);

const made = new WeakMap<WorkspaceFacts, { readonly policies: Policies; readonly policy: EgressPolicy }>();

/** A file of ten thousand services asks for the policy of one workspace as often. */
function policyOf(workspace: WorkspaceFacts, policies: Policies): EgressPolicy {
  const known = made.get(workspace);
  if (known?.policies === policies) return known.policy;
  const policy = policies.unknown(workspace.name, workspace.egress as WorkspaceEgress, "configuration");
  made.set(workspace, { policies, policy });
  return policy;
}

function* faultsOf(
  field: string,
  host: string,
  port: number,
  workspace: WorkspaceFacts,
  policies: Policies,
): Generator<RelationFault> {
  const refusal = policyOf(workspace, policies).check(isLocal(host) ? "127.0.0.1" : host, port);
  if (refusal === null || refusal.rule === "not_an_address") return;
  const through = isLocal(host) ? `'${host}' is this machine: ` : "";
  const message = `${through}${refusal.reason}, which a workspace other than 'default' may not connect to`;
  yield { path: [field], message, hint: refusal.advice };
}
