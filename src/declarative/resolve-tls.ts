/**
 * What ties certificates, names and services together: names belong to one certificate in the whole gateway and to
 * a workspace that owns them; services name authorities that are there.
 */
import { DEFAULT_WORKSPACE } from "../entities/workspaces.ts";
import type { Draft, Faults } from "./draft.ts";
import type { Directory } from "./resolve.ts";

/** Two tenants cannot both be who a client asks for: names are unique across workspaces, and only owned ones count. */
export function checkSnis(drafts: readonly Draft[], faults: Faults): void {
  const first = new Map<string, Draft>();
  for (const draft of drafts) {
    const { scope, value } = draft;
    if (draft.type.name !== "snis" || !draft.sound) continue;
    const name = String(value.name).toLowerCase();
    const other = first.get(name);
    if (other === undefined) first.set(name, draft);
    else if (other.scope !== scope || other.value.name !== value.name)
      faults.entity(
        draft,
        ["name"],
        `uniqueness violation: 'snis' entity with name set to '${name}' already declared`,
        "names are unique across workspaces",
      );
    if (scope.name === DEFAULT_WORKSPACE || (name !== "*" && scope.owned.owns(name))) continue;
    const mine = scope.hosts.slice(0, 10).join(", ");
    faults.entity(
      draft,
      ["name"],
      `host '${name}' is not owned by workspace '${scope.name}'`,
      mine === "" ? `workspace '${scope.name}' owns no hosts` : `workspace '${scope.name}' owns: ${mine}`,
    );
  }
}

/** The authorities of a service are references in a list, which the schema cannot say. */
export function checkAuthorities(service: Draft, directory: Directory, faults: Faults): void {
  const ids = service.value.ca_certificates;
  if (!Array.isArray(ids)) return;
  ids.forEach((id, i) => {
    if (directory.find("ca_certificates", String(id), service.scope) === undefined)
      faults.entity(service, ["ca_certificates", i], `the CA certificate '${id}' does not exist`);
  });
}
