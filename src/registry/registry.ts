import { join } from "node:path";
import type { Violation } from "@gatehouse/sdk";
import { DEFAULT_LIMITS, lowered, type WorkspaceLimits } from "../sandbox/limits.ts";
import type { GuestLimits } from "../sandbox/protocol/engine.ts";
import type { Store } from "../stores/store.ts";
import { Artifacts, type Bytes } from "./artifacts.ts";
import type { GivenSignature } from "./author-keys.ts";
import { DELETED_KIND, MAX_DELETED, rowOfDeleted } from "./deleted-versions.ts";
import { departure } from "./departure.ts";
import { RegistryDesk, RegistryRefusal, type Use } from "./desk.ts";
import { KeptBytes } from "./kept-bytes.ts";
import type { Manifest } from "./manifest.ts";
import { moveOldIndex, OLD_INDEX, readOldIndex } from "./old-index.ts";
import { digestOf, openPackage, violationsOf } from "./package.ts";
import { type Planned, Records, type RecordTable } from "./records.ts";
import { type FitOptions, type Missing, type Resolved, Resolver } from "./resolver.ts";
import { keyOf, PACKAGE_KIND, rowOfPackage, type StoredPackage } from "./stored-package.ts";
import { type Concerns, concernsOf, newTables, type Tables, tableList } from "./tables.ts";

export type { StoredPackage } from "./stored-package.ts";

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

export type PutResult =
  | { readonly kind: "created"; readonly stored: StoredPackage }
  | { readonly kind: "same"; readonly stored: StoredPackage }
  | { readonly kind: "conflict"; readonly stored: StoredPackage }
  /** Other bytes were published under this name and version, and deleted. */
  | { readonly kind: "deleted"; readonly manifest: Manifest }
  | { readonly kind: "refused"; readonly violations: readonly Violation[] }
  /** The workspace may not keep so much. */
  | { readonly kind: "full"; readonly message: string }
  | { readonly kind: "busy" };

type Full = Extract<PutResult, { kind: "full" }>;

export interface RegistryOptions {
  /** The limits of a workspace. Default: those that nobody moved. */
  readonly limitsOf?: (workspace: string) => WorkspaceLimits;
  /** Id of a workspace by its name. */
  readonly idOf?: (workspace: string) => string | undefined;
  /** Where an earlier version has kept its index. */
  readonly dir: string;
  /** Where bytes are; closed with the registry. Default: below the directory, which is made. */
  readonly bytes?: Bytes;
  /** Of its own; closed with the registry. */
  readonly store: Store;
  readonly forge: Forge;
  /** Whether a workspace takes signed packages only. Default: none does. */
  readonly requiresSignature?: (workspace: string) => boolean;
  /** What others keep in the same store, for changes that concern both. */
  readonly tables?: readonly RecordTable[];
  /** The last version of a plugin is deleted. */
  readonly onGone?: (workspace: string, plugin: string) => void;
  /** Names that move may mean other packages now. */
  readonly onMoved?: (concerns: Concerns) => void;
  readonly log: (level: "info" | "warn" | "error", message: string, details?: object) => void;
}

/** Of the rows of one workspace's packages: every gateway holds them in memory. */
export const MAX_ROWS_BYTES = 32 << 20;

export class Registry {
  readonly #options: RegistryOptions;
  readonly #bytes: KeptBytes;
  readonly #tables: Tables;
  /** What names mean. */
  readonly resolver: Resolver;
  /** The rows of all that the registry knows. */
  readonly records: Records;
  /** What people do with what is published. */
  readonly desk: RegistryDesk;
  /** Grows with each change of what the registry knows. */
  changes = 0;
  /** Uploads under way, by `workspace/name@version`: the second of two equal ones waits for the first. */
  readonly #uploads = new Map<string, Promise<unknown>>();

  private constructor(options: RegistryOptions, bytes: KeptBytes, tables: Tables, records: Records) {
    this.#options = options;
    this.#bytes = bytes;
    this.#tables = tables;
    this.resolver = new Resolver(tables, options.requiresSignature);
    this.records = records;
    this.desk = new RegistryDesk(tables, records);
  }

  /**
   * Opens the registry with what is in its store.
   * @throws {Error} naming file and entry, if there is an index of an earlier version that is damaged.
   * @throws {StoreUnavailable}
   */
  static async open(options: RegistryOptions): Promise<Registry> {
    const { dir, store, log } = options;
    const tables = newTables(({ kind, id }, why) =>
      log("error", "a row of the registry is not sound, and counts as not there", { kind, id, why }),
    );
    const bytes = new KeptBytes(options.bytes ?? (await Artifacts.open(join(dir, "sha256"))), (digest) =>
      tables.packages.isNeeded(digest),
    );
    const records = await Records.open(store, [...tableList(tables), ...(options.tables ?? [])], (reason) =>
      log("error", "what others have changed in the registry cannot be read", { reason }),
    );
    const registry = new Registry(options, bytes, tables, records);
    await moveOldIndex(options.dir, bytes, records, tables.packages, log);
    await bytes.sweep();
    records.onChange((edits) => {
      registry.changes++;
      options.onMoved?.(concernsOf(edits));
      if (edits.some((edit) => "remove" in edit && edit.remove.kind === PACKAGE_KIND)) registry.#uncache();
    });
    return registry;
  }

  /**
   * A look at what a gateway keeps, which may be running: nothing is made or removed.
   * @param store is closed; null where there is none yet.
   * @throws {StoreUnavailable}
   */
  static async view(dir: string, store: Store | null): Promise<Resolver> {
    const tables = newTables(() => {});
    const kinds = new Map(tableList(tables).map((table) => [table.kind, table]));
    try {
      const rows =
        store === null
          ? ((await readOldIndex(join(dir, OLD_INDEX), async () => 0)) ?? []).map(rowOfPackage)
          : (await store.read()).rows;
      for (const row of rows) kinds.get(row.kind)?.put(row);
    } finally {
      await store?.close();
    }
    return new Resolver(tables);
  }

  /** What is known by kind, for those who show it. */
  get tables(): Tables {
    return this.#tables;
  }

  /** Packages of a workspace, by name and then by time. */
  list(workspace: string): readonly StoredPackage[] {
    return this.#tables.packages.list(workspace);
  }

  /** The runtimes of all packages. */
  runtimes(): ReadonlySet<Manifest["runtime"]> {
    return this.#tables.packages.runtimes();
  }

  /** A package of this workspace by id (`sha256:...`) or `name@version`. */
  get(workspace: string, idOrName: string): StoredPackage | undefined {
    if (!idOrName.startsWith("sha256:")) return this.#tables.packages.get(`${workspace}/${idOrName}`);
    return this.list(workspace).find(({ id }) => id === idOrName);
  }

  /** The package that a plugin entity of `workspace` means by a name, or a sentence that says why there is none. */
  find(name: string, workspace: string, signedOnly?: boolean): StoredPackage | Missing {
    return this.resolver.find(name, workspace, signedOnly);
  }

  /** The same for an entity with this config: names that move mean the best version that takes it. */
  fit(name: string, workspace: string, config: unknown, options?: FitOptions): Resolved | Missing {
    return this.resolver.fit(name, workspace, config, options);
  }

  /** What a plugin entity of this workspace could be named: its own packages first. */
  names(workspace: string): string[] {
    return this.resolver.names(workspace);
  }

  /**
   * The bytes that run, hashed again.
   * @throws {DamagedArtifact} if they are not those that the forge emitted.
   */
  load(stored: StoredPackage): Promise<Uint8Array> {
    return this.#bytes.read(stored.emitted);
  }

  /**
   * Publishes a package. When it answers `created`, everything is durable.
   * @param given signatures of authors over its id: all must be sound.
   * @throws {StoreUnavailable}
   */
  async put(workspace: string, bytes: Uint8Array, given: readonly GivenSignature[] = []): Promise<PutResult> {
    const { opened, violations } = await openPackage(bytes, this.#limits(workspace));
    if (violations) return { kind: "refused", violations };
    const unsigned = this.#signatureFaults(workspace, digestOf(bytes), given);
    if (unsigned.length > 0) return { kind: "refused", violations: violationsOf("signature", unsigned) };
    const { name, version } = opened.manifest;
    const key = `${workspace}/${name}@${version}`;
    while (this.#uploads.has(key)) await this.#uploads.get(key);
    const upload = this.#admit(key, workspace, bytes, opened, given);
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
    given: readonly GivenSignature[],
  ): Promise<PutResult> {
    const id = digestOf(bytes);
    const known = this.#known(key, id, opened.manifest);
    if (known?.kind === "same" && given.length > 0)
      return { kind: "same", stored: await this.desk.sign(known.stored, given) };
    if (known !== null) return known;
    const { manifest, artifact } = opened;
    const full = this.#noRoom(workspace, bytes.length);
    if (full !== null) return full;
    const limits = lowered(this.#limits(workspace), manifest.limits);
    const answer = await this.#options.forge({ workspace, artifact, manifest, limits });
    if (!answer.ok) {
      if ("busy" in answer) return { kind: "busy" };
      this.#options.log("warn", "plugin package refused by the forge", { key, reasons: answer.reasons });
      return { kind: "refused", violations: violationsOf("entry", answer.reasons) };
    }
    const size = bytes.length + answer.emitted.length;
    const result = await this.records.write(async (): Promise<Planned<PutResult>> => {
      // Others may have published it, or taken the room, meanwhile.
      const refusal = this.#known(key, id, manifest) ?? this.#noRoom(workspace, size);
      if (refusal !== null) return { edits: [], result: refusal };
      // A key may have been revoked meanwhile.
      const unsigned = this.#signatureFaults(workspace, id, given);
      if (unsigned.length > 0)
        return { edits: [], result: { kind: "refused", violations: violationsOf("signature", unsigned) } };
      // Each time: others may have removed the last package that needed them.
      await this.#bytes.write(bytes);
      const emitted = await this.#bytes.write(answer.emitted);
      const now = Math.floor(Date.now() / 1000);
      const stored: StoredPackage = {
        id,
        workspace,
        workspaceId: this.#options.idOf?.(workspace) ?? "",
        manifest,
        emitted,
        report: answer.report,
        bytes: size,
        createdAt: now,
        signatures: given.map((one) => ({ ...one, at: now })),
        yanked: null,
      };
      const again =
        this.#tables.deleted.get(key) === undefined ? [] : [{ remove: { kind: DELETED_KIND, id: key } }];
      return { edits: [{ put: rowOfPackage(stored) }, ...again], result: { kind: "created", stored } };
    });
    if (result.kind !== "created") return result;
    const stored = this.#tables.packages.get(key) ?? result.stored;
    this.#options.log("info", "plugin package published", { key, id, emitted: stored.emitted });
    return { kind: "created", stored };
  }

  #signatureFaults(workspace: string, id: string, given: readonly GivenSignature[]): string[] {
    if (given.length === 0 && this.#options.requiresSignature?.(workspace) === true)
      return [
        `workspace '${workspace}' takes signed packages only; sign it with an author's key that is registered there`,
      ];
    return this.desk.signatureFaults(workspace, id, given);
  }

  #known(
    key: string,
    id: string,
    manifest: Manifest,
  ): Extract<PutResult, { kind: "same" | "conflict" | "deleted" }> | null {
    const stored = this.#tables.packages.get(key);
    if (stored === undefined) {
      const before = this.#tables.deleted.get(key);
      return before === undefined || before.digest === id ? null : { kind: "deleted", manifest };
    }
    return stored.id === id ? { kind: "same", stored } : { kind: "conflict", stored };
  }

  #limits(workspace: string): WorkspaceLimits {
    return this.#options.limitsOf?.(workspace) ?? DEFAULT_LIMITS;
  }

  /** Why a workspace cannot keep one more package of so many bytes; null if it can. */
  #noRoom(workspace: string, bytes: number): Full | null {
    const limits = this.#limits(workspace);
    const taken = this.#tables.packages.taken(workspace);
    const full = (message: string): Full => ({ kind: "full", message });
    if (taken.count >= limits.packages)
      return full(`the workspace holds ${taken.count} packages and may hold ${limits.packages}; delete some`);
    if (taken.chars > MAX_ROWS_BYTES)
      return full(
        `manifests and reports of the workspace's packages take more than ${MAX_ROWS_BYTES} bytes; delete some packages`,
      );
    if (taken.bytes + bytes > limits.packageBytes)
      return full(
        `the workspace's packages take ${taken.bytes} bytes on disk and may take ${limits.packageBytes}; delete some`,
      );
    return null;
  }

  /**
   * Removes a package; its name and version stay taken by its bytes. Whether something uses it is the caller's to know.
   * @param isRemembered false for one that nobody was told of.
   * @throws {RegistryRefusal} when too many have been deleted. @throws {StoreUnavailable}
   */
  async delete(stored: StoredPackage, isRemembered = true): Promise<void> {
    const key = keyOf(stored);
    const { workspace } = stored;
    await this.records.write(async () => {
      const deleted = this.#tables.deleted.values().filter((one) => one.workspace === workspace);
      if (isRemembered && deleted.toArray().length >= MAX_DELETED)
        throw new RegistryRefusal(
          "notAllowed",
          `workspace '${workspace}' has deleted ${MAX_DELETED} versions, the most that are remembered; yank it instead`,
        );
      return {
        edits: [
          { remove: { kind: PACKAGE_KIND, id: key } },
          ...(isRemembered ? [{ put: rowOfDeleted(stored) }] : []),
        ],
        result: null,
        after: await this.#bytes.dropAfter([stored.id, stored.emitted]),
      };
    });
    this.#options.log("info", "plugin package deleted", { key, id: stored.id });
    const { name } = stored.manifest;
    if (this.#tables.packages.line(stored.workspace, name).length === 0)
      this.#options.onGone?.(stored.workspace, name);
  }

  /** Another gateway may have removed packages. */
  #uncache(): void {
    this.records
      .alone(() => this.#bytes.uncache())
      .catch((error: Error) => {
        const { message: reason } = error;
        this.#options.log("warn", "copies of packages that are gone cannot be removed", { reason });
      });
  }

  /**
   * Removes all that the registry knows of a workspace, and the artifacts that no other workspace has as well.
   * @returns how many packages and artifacts.
   * @throws {StoreUnavailable}
   */
  async deleteAll(workspace: {
    readonly id: string;
    readonly name: string;
  }): Promise<{ readonly packages: number; readonly artifacts: number }> {
    let artifacts = 0;
    const count = await this.records.write(async () => {
      const now = this.#options.idOf?.(workspace.name);
      const isNameTaken = now !== undefined && now !== workspace.id;
      const { edits, packages } = departure(this.#tables, workspace, isNameTaken);
      const drop = await this.#bytes.dropAfter(packages.flatMap(({ id, emitted }) => [id, emitted]));
      const after = async () => {
        artifacts = await drop();
      };
      return { edits, result: packages.length, after };
    });
    // Also what a process that ended in the middle of this has left.
    await this.records.alone(async () => {
      artifacts += await this.#bytes.sweepNow();
    });
    await this.records.forgetWorkspace(workspace.id);
    return { packages: count, artifacts };
  }

  /** What is about to be used is consented to. @throws {StoreUnavailable} */
  consentTo(uses: readonly Use[]): Promise<void> {
    return this.desk.consentTo(uses);
  }

  /** Takes up what other gateways on the same store have written. @throws {StoreUnavailable} */
  async catchUp(): Promise<void> {
    // A file has one gateway, which knows what it has written.
    if (this.records.engine !== "sqlite") await this.records.catchUp();
  }

  async close(): Promise<void> {
    await this.records.close();
    await this.#bytes.close();
  }
}
