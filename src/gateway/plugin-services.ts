/** What plugins ask for that lies outside of the data thread: kept values, secrets, requests of their own. */
import type { Host } from "@gatehouse/sdk";
import { HostCallError } from "../sandbox/host-call-error.ts";

/** What one plugin may ask for. */
export type PluginServices = Pick<Host, "kv" | "fetch" | "secret">;

const unserved = () => Promise.reject(new HostCallError("not served here"));

/** For where nothing outside can be asked. */
export const NO_SERVICES: PluginServices = {
  kv: { get: unserved, set: unserved, delete: unserved },
  fetch: unserved,
  secret: unserved,
};
