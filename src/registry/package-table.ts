/**
 * Packages by workspace, by line (all versions of one name) and by digest, so that none of what is asked for walks over
 * all of them.
 */
import SemVer from "semver/classes/semver.js";
import type { Row } from "../stores/store.ts";
import type { Manifest } from "./manifest.ts";
import type { RecordTable } from "./records.ts";
import { keyOf, PACKAGE_KIND, packageOfRow, type StoredPackage } from "./stored-package.ts";

/** One version of a line. */
export interface Release {
  readonly version: SemVer;
  readonly stored: StoredPackage;
}

interface Kept extends Release {
  /** Of its row. */
  readonly chars: number;
}

/** What a workspace has published. */
class Shelf {
  /** By name of the plugin; the highest version first. */
  readonly lines = new Map<string, Kept[]>();
  count = 0;
  bytes = 0;
  chars = 0;
  #byName: readonly StoredPackage[] | null = null;
  #byId: readonly StoredPackage[] | null = null;

  /** By name, then by time. */
  get byName(): readonly StoredPackage[] {
    this.#byName ??= this.#all().sort(
      (a, b) =>
        compare(a.manifest.name, b.manifest.name) ||
        a.createdAt - b.createdAt ||
        compare(a.manifest.version, b.manifest.version),
    );
    return this.#byName;
  }

  get byId(): readonly StoredPackage[] {
    this.#byId ??= this.#all().sort((a, b) => compare(a.id, b.id));
    return this.#byId;
  }

  add(kept: Kept): void {
    const { name } = kept.stored.manifest;
    const line = this.lines.get(name) ?? [];
    const at = line.findIndex(({ version }) => order(version, kept.version) < 0);
    line.splice(at === -1 ? line.length : at, 0, kept);
    this.lines.set(name, line);
    this.#count(kept, 1);
  }

  remove(kept: Kept): void {
    const { name } = kept.stored.manifest;
    const line = this.lines.get(name)?.filter((one) => one !== kept) ?? [];
    if (line.length === 0) this.lines.delete(name);
    else this.lines.set(name, line);
    this.#count(kept, -1);
  }

  #count({ stored, chars }: Kept, by: 1 | -1): void {
    this.count += by;
    this.bytes += by * stored.bytes;
    this.chars += by * chars;
    this.#byName = null;
    this.#byId = null;
  }

  #all(): StoredPackage[] {
    return [...this.lines.values()].flatMap((line) => line.map(({ stored }) => stored));
  }
}

const NOTHING = new Shelf();

export class PackageTable implements RecordTable {
  readonly kind = PACKAGE_KIND;
  readonly #byKey = new Map<string, Kept>();
  readonly #shelves = new Map<string, Shelf>();
  /** How many packages need these bytes. */
  readonly #digests = new Map<string, number>();
  readonly #onUnsound: (row: Row, why: string) => void;

  /** @param onUnsound is told of rows that are no packages: they count as not there. */
  constructor(onUnsound: (row: Row, why: string) => void) {
    this.#onUnsound = onUnsound;
  }

  /** By `workspace/name@version`. */
  get(key: string): StoredPackage | undefined {
    return this.#byKey.get(key)?.stored;
  }

  all(): Iterable<StoredPackage> {
    return [...this.#byKey.values()].map(({ stored }) => stored);
  }

  /** Names of workspaces that have any. */
  workspaces(): Iterable<string> {
    return this.#shelves.keys();
  }

  /** Of a workspace, by name and then by time. */
  list(workspace: string): readonly StoredPackage[] {
    return this.#of(workspace).byName;
  }

  /** Of a workspace, in the order of their ids. */
  byId(workspace: string): readonly StoredPackage[] {
    return this.#of(workspace).byId;
  }

  /** Names of a workspace's plugins, in their order. */
  lines(workspace: string): string[] {
    return [...this.#of(workspace).lines.keys()].sort();
  }

  /** All versions, the highest first. */
  line(workspace: string, name: string): readonly Release[] {
    return this.#of(workspace).lines.get(name) ?? [];
  }

  runtimes(): ReadonlySet<Manifest["runtime"]> {
    return new Set([...this.#byKey.values()].map(({ stored }) => stored.manifest.runtime));
  }

  /** How many a workspace has, the bytes that they take, and the characters of their rows. */
  taken(workspace: string): { readonly count: number; readonly bytes: number; readonly chars: number } {
    return this.#of(workspace);
  }

  isNeeded(digest: string): boolean {
    return this.#digests.has(digest);
  }

  put(row: Row): void {
    const stored = packageOfRow(row);
    this.remove(row.id);
    if (typeof stored === "string") return this.#onUnsound(row, stored);
    const version = new SemVer(stored.manifest.version);
    const kept = { version, stored, chars: JSON.stringify(row.body).length };
    this.#byKey.set(keyOf(stored), kept);
    const shelf = this.#shelves.get(stored.workspace) ?? new Shelf();
    this.#shelves.set(stored.workspace, shelf);
    shelf.add(kept);
    for (const digest of [stored.id, stored.emitted])
      this.#digests.set(digest, (this.#digests.get(digest) ?? 0) + 1);
  }

  remove(key: string): void {
    const kept = this.#byKey.get(key);
    if (kept === undefined) return;
    this.#byKey.delete(key);
    const shelf = this.#of(kept.stored.workspace);
    shelf.remove(kept);
    if (shelf.count === 0) this.#shelves.delete(kept.stored.workspace);
    for (const digest of [kept.stored.id, kept.stored.emitted]) {
      const users = (this.#digests.get(digest) ?? 0) - 1;
      if (users <= 0) this.#digests.delete(digest);
      else this.#digests.set(digest, users);
    }
  }

  ids(): Iterable<string> {
    return this.#byKey.keys();
  }

  clear(): void {
    this.#byKey.clear();
    this.#shelves.clear();
    this.#digests.clear();
  }

  #of(workspace: string): Shelf {
    return this.#shelves.get(workspace) ?? NOTHING;
  }
}

const order = (a: SemVer, b: SemVer): number => a.compare(b) || a.compareBuild(b);
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
