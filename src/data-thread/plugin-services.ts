/** What plugins ask for that lies outside of the data thread: kept values, secrets, requests of their own. */
import type { Host } from "@gatehouse/sdk";
import type { Callouts } from "../callouts/callouts.ts";
import { MAX_KEYS } from "../guest-store/key-value-store.ts";
import type { StoreClient } from "../guest-store/store-client.ts";
import { HostCallError } from "../sandbox/calls/host-call-error.ts";
import { DEFAULT_LIMITS } from "../sandbox/limits.ts";
import type { Secrets } from "../secrets/secrets.ts";
import type { InstalledPackage } from "../threads/packages.ts";

/** What one plugin may ask for. */
export type PluginServices = Pick<Host, "kv" | "fetch" | "secret">;

const unserved = () => Promise.reject(new HostCallError("not served here"));

/** For where nothing outside can be asked. */
export const NO_SERVICES: PluginServices = {
  kv: { get: unserved, set: unserved, delete: unserved },
  fetch: unserved,
  secret: unserved,
};

export interface ServiceParts {
  readonly store: StoreClient;
  readonly secrets: Secrets;
  readonly callouts: Callouts;
}

/**
 * What a plugin of a workspace may ask for: one that was uploaded (`installed`) what its manifest's grants allow,
 * a built-in what any plugin of the workspace could be granted.
 */
export function servicesFor(
  { store, secrets, callouts }: ServiceParts,
  { name: plugin, ws_id: workspaceId }: { readonly name: string; readonly ws_id: string },
  workspace: string,
  installed: InstalledPackage | undefined,
): PluginServices {
  const name = installed?.manifest.name ?? plugin;
  const grants = installed?.manifest.grants;
  const workspaceBytes = (installed?.limits ?? DEFAULT_LIMITS).kvBytes;
  const bytes = Math.min(grants?.kvBytes ?? workspaceBytes, workspaceBytes);
  const caller = {
    workspace,
    plugin: name,
    purpose: grants === undefined ? ("configuration" as const) : ("guest" as const),
    hosts: grants?.httpHosts ?? null,
  };
  return {
    kv: store.values(
      { workspace: workspaceId, owner: installed?.workspaceId ?? "", plugin: name },
      { bytes, keys: MAX_KEYS, workspaceBytes },
    ),
    fetch: (request, signal) => callouts.fetch(caller, request, signal),
    secret: (secret) =>
      grants === undefined || grants.secrets.includes(secret)
        ? secrets.read(workspace, secret)
        : Promise.reject(new HostCallError(`the secret ${secret} is not granted`)),
  };
}
