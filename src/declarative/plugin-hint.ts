/** What the author of a plugin entity most likely meant by a name that is no plugin's. */
import { Speller } from "./nearest.ts";

/** The newest say enough. */
const MAX_VERSIONS = 5;

/**
 * @param names what may be written: built-in plugins, and uploaded ones as `name@version` or
 * `workspace/name@version`, versions in the order of their upload
 * @returns a sentence for behind what is wrong; null if no name is near
 */
export function pluginHint(name: string, names: readonly string[], speller = new Speller()): string | null {
  const versions = name.includes("@") ? new Map<string, string[]>() : byPlugin(names);
  const all = versions.get(name);
  if (all !== undefined) {
    const newest = all.slice(-MAX_VERSIONS).reverse();
    const older = all.length > newest.length ? ` and ${all.length - newest.length} older` : "";
    const listed = newest.map((one) => `'${one}'`).join(", ");
    return `an uploaded plugin is named with its version; there is ${listed}${older}`;
  }
  const near =
    speller.nearest(name, names) ?? versions.get(speller.nearest(name, versions.keys()) ?? "")?.at(-1);
  return near === undefined ? null : `did you mean '${near}'?`;
}

/** Uploaded plugins' full names, by the name without the version. */
function byPlugin(names: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const full of names) {
    const at = full.indexOf("@");
    if (at < 0) continue;
    const plugin = full.slice(0, at);
    const known = found.get(plugin);
    if (known === undefined) found.set(plugin, [full]);
    else known.push(full);
  }
  return found;
}
