/** The real forge as the registry asks for it: by manifest, which names the runtime, the phases and the limits. */
import type { Forge as ForgeClient } from "../sandbox/forge/forge-client.ts";
import { DEFAULT_FORGE_LIMITS } from "../sandbox/forge/limits.ts";
import type { Forge } from "./registry.ts";

const PAGE_BYTES = 65_536;

export function forgeBy(client: ForgeClient): Forge {
  return ({ artifact, manifest }) => {
    const { memoryPages } = DEFAULT_FORGE_LIMITS;
    const asked = manifest.limits.memoryBytes;
    const pages = asked === undefined ? memoryPages : Math.max(1, Math.floor(asked / PAGE_BYTES));
    return client.forge(artifact, manifest.runtime, manifest.phases, {
      memoryPages: Math.min(memoryPages, pages),
    });
  };
}
