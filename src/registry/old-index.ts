/**
 * The index that the registry was kept in before it had a store: `index.json` beside the artifacts. It is read once,
 * and what it holds is moved to the store.
 */
import { readFile } from "node:fs/promises";
import { isObject } from "@gatehouse/sdk";
import { keyOf, PACKAGE_KIND, packageOfRow, type StoredPackage } from "./stored-package.ts";

export const OLD_INDEX = "index.json";

/**
 * @param sizeOf bytes that an artifact takes.
 * @returns null if there is none.
 * @throws {Error} naming the file and the entry, if it is damaged.
 */
export async function readOldIndex(
  path: string,
  sizeOf: (digest: string) => Promise<number>,
): Promise<StoredPackage[] | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  const damaged = (what: string) =>
    new Error(`${path}: ${what}; restore the file, or remove it and publish the packages again`);
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch {
    throw damaged("is not JSON");
  }
  if (!isObject(index) || index.format !== 1 || !Array.isArray(index.packages))
    throw damaged("is not a registry index");
  const packages: StoredPackage[] = [];
  for (const [i, entry] of index.packages.entries()) {
    const at = `packages[${i}]`;
    if (!isObject(entry)) throw damaged(`${at} is not a package`);
    const { workspace, manifest, id, emitted, createdAt: created_at } = entry;
    const named = isObject(manifest) ? `${manifest.name}@${manifest.version}` : "";
    const bytes = (
      await Promise.all([id, emitted].map(async (one) => sizeOf(String(one)).catch(() => 0)))
    ).reduce((sum, size) => sum + size, 0);
    const stored = packageOfRow({
      kind: PACKAGE_KIND,
      id: `${workspace}/${named}`,
      workspace: "",
      body: { ...entry, bytes, created_at },
    });
    if (typeof stored === "string") throw damaged(`${at}: ${stored}`);
    packages.push(stored);
  }
  return [...new Map(packages.map((stored) => [keyOf(stored), stored])).values()];
}
