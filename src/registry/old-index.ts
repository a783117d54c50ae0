/**
 * The index that the registry was kept in before it had a store: `index.json` beside the artifacts. It is read once,
 * and what it holds is moved to the store.
 */
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { isObject } from "@gatehouse/sdk";
import { Artifacts } from "./artifacts.ts";
import type { KeptBytes } from "./kept-bytes.ts";
import type { PackageTable } from "./package-table.ts";
import type { Records } from "./records.ts";
import { keyOf, PACKAGE_KIND, packageOfRow, rowOfPackage, type StoredPackage } from "./stored-package.ts";

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

/** What an earlier version of the gateway has kept is moved to the store, whole, and only then put aside. */
export async function moveOldIndex(
  dir: string,
  bytes: KeptBytes,
  records: Records,
  packages: PackageTable,
  log: (level: "info", message: string, details: object) => void,
): Promise<void> {
  const path = join(dir, OLD_INDEX);
  const copies = await Artifacts.open(join(dir, "sha256"));
  const old = await readOldIndex(path, (digest) => copies.size(digest));
  if (old === null) return;
  if (bytes.areShared)
    for (const { id, emitted } of old)
      for (const digest of [id, emitted]) await bytes.write(await copies.read(digest));
  await records.write(() => ({
    edits: old
      .filter((stored) => packages.get(keyOf(stored)) === undefined)
      .map((stored) => ({ put: rowOfPackage(stored) })),
    result: null,
  }));
  await rename(path, `${path}.moved`);
  log("info", "the index of plugin packages is in the registry's store now", { packages: old.length });
}
