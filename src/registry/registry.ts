/**
 * The registry: plugin packages by workspace, `name@version`. What was published never changes, only what the
 * forge emitted ever runs, and an answer is given when everything is on the disk.
 *
 * Packages live under `<dir>/sha256/<digest>` (the `.tgz` as uploaded, and what the forge made of its entry);
 * `<dir>/index.json` says which belong together.
 */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { isObject, schemaFromJson, type Violation } from "@gatehouse/sdk";
import type { CataloguePlugin } from "../entities/plugins.ts";
import { DEFAULT_LIMITS, lowered, MOST_LIMITS, type WorkspaceLimits } from "../sandbox/limits.ts";
import type { GuestLimits } from "../sandbox/protocol/engine.ts";
import { Artifacts, writeSynced } from "./artifacts.ts";
import { checkManifest, type Manifest, manifestToJson } from "./manifest.ts";
import { digestOf, openPackage, violationsOf } from "./package.ts";

/** Admits an artifact, or says why not. It executes nothing of it. */
export type Forge = (input: {
  /** Who uploads it. */
  workspace: string;
  artifact: Uint8Array;
  manifest: Manifest;
  /** What it will have when it runs. */
  limits: GuestLimits;
}) => Promise<ForgeAnswer>;
export type ForgeAnswer =
  | { ok: true; emitted: Uint8Array; report: object }
  | { ok: false; reasons: string[] }
  | { ok: false; busy: true };

export interface StoredPackage {
  /** `sha256:` of the uploaded `.tgz`. */
  readonly id: string;
  readonly workspace: string;
  readonly manifest: Manifest;
  /** Digest of the bytes that run. */
  readonly emitted: string;
  /** What the forge said about them. */
  readonly report: object;
  /** Seconds since the epoch. */
  readonly createdAt: number;
}

export type PutResult =
  | { readonly kind: "created" | "same"; readonly stored: StoredPackage }
  | { readonly kind: "conflict"; readonly stored: StoredPackage }
  | { readonly kind: "refused"; readonly violations: readonly Violation[] }
  /** The workspace may not keep so much. */
  | { readonly kind: "full"; readonly message: string }
  | { readonly kind: "busy" };

export interface RegistryOptions {
  /** The limits of a workspace. Default: those that nobody moved. */
  readonly limitsOf?: (workspace: string) => WorkspaceLimits;
  /** Directory of its own, made when it is not there. */
  readonly dir: string;
  readonly forge: Forge;
  /** The last version of a plugin is deleted. */
  readonly onGone?: (workspace: string, plugin: string) => void;
  readonly log: (level: "info" | "warn" | "error", message: string, details?: object) => void;
  /**
   * Whether a package of `owner` may be used by the workspace `to`. Default: never. A workspace may always
   * use its own, and `default`, the operator's, those of everybody.
   */
  readonly shared?: (owner: string, name: string, to: string) => boolean;
}

const INDEX = "index.json";
/**
 * What the packages of one workspace take in the index, which is written and read as a whole: manifests and reports
 * press to little in a package, and a workspace must not make the index too long for the others.
 */
export const MAX_INDEX_BYTES = 8 << 20;
export class Registry {
  readonly #options: RegistryOptions;
  readonly #artifacts: Artifacts;
  /** By `workspace/name@version`. */
  readonly #packages: Map<string, StoredPackage>;
  /** Uploads under way, by the same key: the second of two equal ones waits for the first. */
  readonly #uploads = new Map<string, Promise<unknown>>();
  /** Writers follow each other. */
  #lastWrite: Promise<unknown> = Promise.resolve();

  private constructor(options: RegistryOptions, artifacts: Artifacts, packages: Map<string, StoredPackage>) {
    this.#options = options;
    this.#artifacts = artifacts;
    this.#packages = packages;
  }

  /**
   * Opens the registry with what an earlier process left in it.
   * @throws {Error} naming the file and the entry, if the index is damaged.
   */
  static async open(options: RegistryOptions): Promise<Registry> {
    await mkdir(options.dir, { recursive: true, mode: 0o700 });
    const artifacts = await Artifacts.open(join(options.dir, "sha256"));
    return new Registry(options, artifacts, await readIndex(join(options.dir, INDEX)));
  }

  /** A look at what a gateway keeps in `dir`, which may be running: nothing is made or removed. */
  static async view(dir: string): Promise<Pick<Registry, "find" | "names">> {
    const log = () => {};
    const forge = () => Promise.reject(new Error("a registry that is only looked at takes no packages"));
    const packages = await readIndex(join(dir, INDEX));
    return new Registry({ dir, forge, log }, Artifacts.at(join(dir, "sha256")), packages);
  }

  /** Packages of a workspace, by name and then by time. */
  list(workspace: string): StoredPackage[] {
    return [...this.#packages.values()]
      .filter((stored) => stored.workspace === workspace)
      .sort(
        (a, b) =>
          a.manifest.name.localeCompare(b.manifest.name) ||
          a.createdAt - b.createdAt ||
          a.manifest.version.localeCompare(b.manifest.version),
      );
  }

  /** The runtimes of all packages. */
  runtimes(): ReadonlySet<Manifest["runtime"]> {
    return new Set([...this.#packages.values()].map(({ manifest }) => manifest.runtime));
  }

  /** A package of this workspace by id (`sha256:...`) or `name@version`. */
  get(workspace: string, idOrName: string): StoredPackage | undefined {
    if (!idOrName.startsWith("sha256:")) return this.#packages.get(`${workspace}/${idOrName}`);
    return this.list(workspace).find(({ id }) => id === idOrName);
  }

  /**
   * The package that a plugin entity of `workspace` means by `name@version` (its own) or
   * `owner/name@version` (shared to it), or a sentence that says why there is none.
   */
  find(name: string, workspace: string): StoredPackage | { readonly missing: string } {
    const slash = name.indexOf("/");
    const owner = slash === -1 ? workspace : name.slice(0, slash);
    const own = name.slice(slash + 1);
    const plugin = own.slice(0, own.indexOf("@"));
    const stored = this.#mayUse(workspace, owner, plugin) ? this.#packages.get(`${owner}/${own}`) : undefined;
    if (stored) return stored;
    // Whether somebody else has such a package is nobody's business: both cases read the same.
    const where =
      owner === workspace ? `workspace '${workspace}'` : `what is shared to workspace '${workspace}'`;
    const others = this.list(workspace)
      .filter(({ manifest }) => manifest.name === plugin)
      .map(({ manifest }) => manifest.version);
    const versions = owner === workspace && others.length > 0 ? `; it has version ${others.join(", ")}` : "";
    return { missing: `no plugin package '${own}' in ${where}${versions}; publish it first` };
  }

  #mayUse(workspace: string, owner: string, plugin: string): boolean {
    return (
      owner === workspace ||
      workspace === "default" ||
      this.#options.shared?.(owner, plugin, workspace) === true
    );
  }

  /** What a plugin entity of this workspace could be named: its own packages first. */
  names(workspace: string): string[] {
    const others = [...this.#packages.values()].filter(
      ({ workspace: owner, manifest }) =>
        owner !== workspace && this.#mayUse(workspace, owner, manifest.name),
    );
    return [
      ...this.list(workspace).map(nameOf),
      ...others.map((stored) => `${stored.workspace}/${nameOf(stored)}`),
    ];
  }

  /**
   * The bytes that run, hashed again.
   * @throws {DamagedArtifact} if they are not those that the forge emitted.
   */
  load(stored: StoredPackage): Promise<Uint8Array> {
    return this.#artifacts.read(stored.emitted);
  }

  /** Publishes a package. When it answers `created`, everything is on the disk. */
  async put(workspace: string, bytes: Uint8Array): Promise<PutResult> {
    const { opened, violations } = await openPackage(bytes, this.#limits(workspace));
    if (violations) return { kind: "refused", violations };
    const { name, version } = opened.manifest;
    const key = `${workspace}/${name}@${version}`;
    while (this.#uploads.has(key)) await this.#uploads.get(key);
    const upload = this.#admit(key, workspace, bytes, opened);
    // Waiters only wait: what went wrong is for the caller of the upload itself.
    this.#uploads.set(
      key,
      upload.then(
        () => this.#uploads.delete(key),
        () => this.#uploads.delete(key),
      ),
    );
    return upload;
  }

  async #admit(
    key: string,
    workspace: string,
    bytes: Uint8Array,
    opened: { manifest: Manifest; artifact: Uint8Array },
  ): Promise<PutResult> {
    const id = digestOf(bytes);
    const before = this.#packages.get(key);
    if (before) return { kind: before.id === id ? "same" : "conflict", stored: before };
    const { manifest, artifact } = opened;
    const full = await this.#noRoom(workspace, bytes.length);
    if (full !== null) return full;
    const limits = lowered(this.#limits(workspace), manifest.limits);
    const answer = await this.#options.forge({ workspace, artifact, manifest, limits });
    if (!answer.ok) {
      if ("busy" in answer) return { kind: "busy" };
      this.#options.log("warn", "plugin package refused by the forge", { key, reasons: answer.reasons });
      return { kind: "refused", violations: violationsOf("entry", answer.reasons) };
    }
    const stored = await this.#alone(async () => {
      // Others may have taken the room meanwhile.
      const full = await this.#noRoom(workspace, bytes.length + answer.emitted.length);
      if (full !== null) return full;
      await this.#artifacts.write(bytes);
      const emitted = await this.#artifacts.write(answer.emitted);
      const createdAt = Math.floor(Date.now() / 1000);
      const made: StoredPackage = { id, workspace, manifest, emitted, report: answer.report, createdAt };
      await this.#change((packages) => packages.set(key, made));
      return made;
    });
    if ("kind" in stored) return stored;
    const { emitted } = stored;
    this.#options.log("info", "plugin package published", { key, id, emitted });
    return { kind: "created", stored };
  }

  #limits(workspace: string): WorkspaceLimits {
    return this.#options.limitsOf?.(workspace) ?? DEFAULT_LIMITS;
  }

  /** Why a workspace cannot keep one more package of so many bytes; null if it can. */
  async #noRoom(workspace: string, bytes: number): Promise<Extract<PutResult, { kind: "full" }> | null> {
    const { packages, packageBytes } = this.#limits(workspace);
    const kept = this.list(workspace);
    const full = (message: string) => ({ kind: "full" as const, message });
    if (kept.length >= packages)
      return full(`the workspace holds ${kept.length} packages and may hold ${packages}; delete some`);
    if (kept.reduce((sum, stored) => sum + entryText(stored).length, 0) > MAX_INDEX_BYTES)
      return full(
        `manifests and reports of the workspace's packages take more than ${MAX_INDEX_BYTES} bytes; delete some packages`,
      );
    const digests = [...new Set(kept.flatMap(({ id, emitted }) => [id, emitted]))];
    const sizes = await Promise.all(digests.map((digest) => this.#artifacts.size(digest)));
    const held = sizes.reduce((sum, size) => sum + size, 0);
    if (held + bytes > packageBytes)
      return full(
        `the workspace's packages take ${held} bytes on disk and may take ${packageBytes}; delete some`,
      );
    return null;
  }

  /** Removes a package. Whether something uses it is the caller's to know. */
  async delete(stored: StoredPackage): Promise<void> {
    const { name, version } = stored.manifest;
    const key = `${stored.workspace}/${name}@${version}`;
    await this.#alone(async () => {
      await this.#change((packages) => packages.delete(key));
      const kept = this.#digests();
      for (const digest of [stored.id, stored.emitted]) {
        if (!kept.has(digest)) await this.#artifacts.remove(digest);
      }
    });
    this.#options.log("info", "plugin package deleted", { key, id: stored.id });
    if (!this.list(stored.workspace).some(({ manifest }) => manifest.name === name))
      this.#options.onGone?.(stored.workspace, name);
  }

  /**
   * Removes all packages of a workspace, and the artifacts that no other workspace has as well.
   * @returns how many of each.
   */
  async deleteAll(workspace: string): Promise<{ readonly packages: number; readonly artifacts: number }> {
    return this.#alone(async () => {
      const gone = this.list(workspace);
      if (gone.length > 0)
        await this.#change((packages) => {
          for (const { manifest } of gone)
            packages.delete(`${workspace}/${manifest.name}@${manifest.version}`);
        });
      // Also what a process that ended in the middle of this has left.
      const artifacts = await this.#artifacts.keepOnly(this.#digests());
      return { packages: gone.length, artifacts };
    });
  }

  #digests(): ReadonlySet<string> {
    return new Set([...this.#packages.values()].flatMap(({ id, emitted }) => [id, emitted]));
  }

  /** Writes the index with a change in it, and only then makes the change visible. */
  async #change(edit: (packages: Map<string, StoredPackage>) => unknown): Promise<void> {
    const next = new Map(this.#packages);
    edit(next);
    await writeSynced(this.#options.dir, INDEX, indexBytes(next));
    edit(this.#packages);
  }

  /** Runs one writer at a time: an artifact that one deletes may be one that another just kept. */
  #alone<T>(write: () => Promise<T>): Promise<T> {
    const run = this.#lastWrite.then(write);
    this.#lastWrite = run.catch(() => undefined);
    return run;
  }
}

/** A stored package as the plugin catalogue knows it. */
export function cataloguePlugin({ manifest }: StoredPackage): CataloguePlugin {
  const { name, version, priority } = manifest;
  return { name, version, priority, schema: schemaFromJson(manifest.schema) };
}

function nameOf({ manifest }: StoredPackage): string {
  return `${manifest.name}@${manifest.version}`;
}

function indexBytes(packages: ReadonlyMap<string, StoredPackage>): Uint8Array {
  const entries = [...packages.values()].map(entryText);
  return Buffer.from(`{"format": 1, "packages": [\n${entries.join(",\n")}\n]}\n`);
}

const entryTexts = new WeakMap<StoredPackage, string>();

/** A package as the index has it. Made once: packages never change, and the index is written with each upload. */
function entryText(stored: StoredPackage): string {
  let text = entryTexts.get(stored);
  if (text === undefined) {
    const { manifest, ...rest } = stored;
    text = JSON.stringify({ ...rest, manifest: manifestToJson(manifest) });
    entryTexts.set(stored, text);
  }
  return text;
}

async function readIndex(path: string): Promise<Map<string, StoredPackage>> {
  const packages = new Map<string, StoredPackage>();
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return packages;
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
  for (const [i, entry] of index.packages.entries()) {
    const at = `packages[${i}]`;
    if (!isObject(entry)) throw damaged(`${at} is not a package`);
    const { id, workspace, emitted, report, createdAt } = entry;
    const { manifest, violations } = checkManifest(entry.manifest, MOST_LIMITS);
    if (violations)
      throw damaged(`${at}.manifest: ${violations[0]?.path.join(".")}: ${violations[0]?.message}`);
    if (!isDigest(id) || !isDigest(emitted)) throw damaged(`${at} has no digests`);
    if (typeof workspace !== "string" || typeof createdAt !== "number" || !isObject(report))
      throw damaged(`${at} is not complete`);
    const stored = { id, workspace, manifest, emitted, report, createdAt };
    packages.set(`${workspace}/${manifest.name}@${manifest.version}`, stored);
  }
  return packages;
}

function isDigest(value: unknown): value is string {
  return typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);
}
