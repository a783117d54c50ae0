/**
 * What people do with packages that are published: move channels, yank, consent, share. Every rule is held against what
 * the store has when it is written, so that two who write at once cannot both be right.
 */
import type { Edit } from "../stores/store.ts";
import {
  AUTHOR_KEY_KIND,
  type AuthorKey,
  authorKeyId,
  type GivenSignature,
  hasSigned,
  keyNameFault,
  MAX_AUTHOR_KEYS,
  MAX_SIGNATURES,
  readPublicKey,
  rowOfAuthorKey,
} from "./author-keys.ts";
import {
  CHANNEL_KIND,
  type Channel,
  channelKey,
  channelNameFault,
  MAX_CHANNELS,
  MAX_WORKSPACE_CHANNELS,
  moved,
  movedBack,
  rowOfChannel,
} from "./channels.ts";
import { type Consent, consentKey, rowOfConsent } from "./consents.ts";
import { excessOf, joinedGrants } from "./grants-asked.ts";
import type { Manifest } from "./manifest.ts";
import type { Records } from "./records.ts";
import { MAX_SHARED_TO, rowOfShare, SHARE_KIND, type Share, shareKey } from "./shared-lines.ts";
import { nameOf, rowOfPackage, type Signature, type StoredPackage } from "./stored-package.ts";
import { signaturesOf, type Tables } from "./tables.ts";

/** It cannot be done: what, and what to do. Nothing has changed. */
export class RegistryRefusal extends Error {
  readonly kind: "notFound" | "notAllowed" | "conflict";

  constructor(kind: RegistryRefusal["kind"], message: string) {
    super(message);
    this.name = "RegistryRefusal";
    this.kind = kind;
  }
}

/** Who does it; null where nobody says who they are. */
export type Actor = string | null;

/** A plugin and the workspace that publishes it. */
export interface Line {
  readonly workspace: string;
  readonly workspaceId: string;
  readonly name: string;
}

/** That a workspace uses a version by a plugin entity. */
export interface Use {
  readonly workspace: string;
  readonly workspaceId: string;
  readonly owner: string;
  readonly manifest: Pick<Manifest, "name" | "grants">;
  /** Whether the entity names this very version: whoever wrote that has consented to it. */
  readonly isExact: boolean;
}

const MAX_REASON = 500;

const seconds = () => Math.floor(Date.now() / 1000);

export class RegistryDesk {
  readonly #tables: Tables;
  readonly #records: Records;

  constructor(tables: Tables, records: Records) {
    this.#tables = tables;
    this.#records = records;
  }

  /** Channels of a plugin, by name; `latest` is none of them. */
  channels({ workspace, name }: Omit<Line, "workspaceId">): Channel[] {
    return [...this.#tables.channels.values()]
      .filter((one) => one.workspace === workspace && one.name === name)
      .sort((a, b) => (a.channel < b.channel ? -1 : 1));
  }

  channel(workspace: string, name: string, channel: string): Channel | undefined {
    return this.#tables.channels.get(channelKey(workspace, name, channel));
  }

  /**
   * A channel as it is once it points to a version, for whoever writes more with it.
   * @throws {RegistryRefusal}
   */
  planMove(line: Line, channel: string, version: string, by: Actor, why: string): Channel {
    const fault = channelNameFault(channel);
    if (fault !== null) throw new RegistryRefusal("notAllowed", fault);
    const stored = this.#version(line, version);
    if (stored.yanked !== null)
      throw new RegistryRefusal(
        "notAllowed",
        `${line.name}@${version} is yanked (${stored.yanked.reason}); choose another version`,
      );
    const old = this.channel(line.workspace, line.name, channel);
    if (old === undefined && this.channels(line).length >= MAX_CHANNELS)
      throw new RegistryRefusal(
        "notAllowed",
        `'${line.name}' has ${MAX_CHANNELS} channels, the most that a plugin may have; delete one`,
      );
    if (old === undefined && this.#channelsOf(line.workspace) >= MAX_WORKSPACE_CHANNELS)
      throw new RegistryRefusal(
        "notAllowed",
        `workspace '${line.workspace}' has ${MAX_WORKSPACE_CHANNELS} channels, the most that it may have; delete some`,
      );
    return moved(old, { ...line, channel }, { version, at: seconds(), by, why });
  }

  /** A channel once it points to where it pointed before. @throws {RegistryRefusal} */
  planMoveBack(line: Line, channel: string, by: Actor, why: string): Channel {
    const old = this.channel(line.workspace, line.name, channel);
    if (old === undefined) throw noChannel(line, channel);
    const isUsable = (version: string) =>
      this.#tables.packages.get(`${line.workspace}/${line.name}@${version}`)?.yanked === null;
    const back = movedBack(old, { at: seconds(), by, why }, isUsable);
    if (back === null)
      throw new RegistryRefusal(
        "notAllowed",
        `channel '${channel}' of '${line.name}' points to ${old.version}: there is none before it that may be chosen`,
      );
    return back;
  }

  /** @throws {RegistryRefusal} @throws {StoreUnavailable} */
  moveChannel(line: Line, channel: string, version: string, by: Actor, why: string): Promise<Channel> {
    return this.#records.write(() => {
      const result = this.planMove(line, channel, version, by, why);
      const isSame = this.channel(line.workspace, line.name, channel)?.version === version;
      return { edits: isSame ? [] : [{ put: rowOfChannel(result) }], result };
    });
  }

  /** @throws {RegistryRefusal} @throws {StoreUnavailable} */
  moveChannelBack(line: Line, channel: string, by: Actor, why: string): Promise<Channel> {
    return this.#records.write(() => {
      const result = this.planMoveBack(line, channel, by, why);
      return { edits: [{ put: rowOfChannel(result) }], result };
    });
  }

  /** @returns whether it was there. @throws {StoreUnavailable} */
  removeChannel({ workspace, name }: Line, channel: string): Promise<boolean> {
    return this.#records.write(() => {
      const id = channelKey(workspace, name, channel);
      const isThere = this.#tables.channels.get(id) !== undefined;
      return { edits: isThere ? [{ remove: { kind: CHANNEL_KIND, id } }] : [], result: isThere };
    });
  }

  /** Ranges and `latest` choose it no more. @throws {RegistryRefusal} @throws {StoreUnavailable} */
  yank(line: Line, version: string, by: Actor, reason: string): Promise<StoredPackage> {
    if (reason === "" || reason.length > MAX_REASON)
      throw new RegistryRefusal("notAllowed", `reason: say in 1 to ${MAX_REASON} characters why`);
    return this.#changed(line, version, (stored) =>
      stored.yanked !== null ? stored : { ...stored, yanked: { at: seconds(), by, reason } },
    );
  }

  /** @throws {RegistryRefusal} @throws {StoreUnavailable} */
  unyank(line: Line, version: string): Promise<StoredPackage> {
    return this.#changed(line, version, (stored) =>
      stored.yanked === null ? stored : { ...stored, yanked: null },
    );
  }

  /** Keys of a workspace's authors, by name. */
  authorKeys(workspace: string): AuthorKey[] {
    return [...this.#tables.authorKeys.values()]
      .filter((one) => one.workspace === workspace)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  authorKey(workspace: string, name: string): AuthorKey | undefined {
    return this.#tables.authorKeys.get(authorKeyId(workspace, name));
  }

  /** @param publicKey in PEM, or its 32 bytes in Base64. @throws {RegistryRefusal} @throws {StoreUnavailable} */
  addAuthorKey(
    { workspace, workspaceId }: Omit<Line, "name">,
    name: string,
    publicKey: string,
  ): Promise<AuthorKey> {
    const fault = keyNameFault(name);
    if (fault !== null) throw new RegistryRefusal("notAllowed", `name: ${fault}`);
    const raw = readPublicKey(publicKey);
    if (raw === null)
      throw new RegistryRefusal(
        "notAllowed",
        "public_key: expected an Ed25519 public key, in PEM or its 32 bytes in Base64; make one with " +
          "'gatehouse plugin keygen'",
      );
    return this.#records.write(() => {
      if (this.authorKey(workspace, name) !== undefined)
        throw new RegistryRefusal("conflict", `workspace '${workspace}' has a key '${name}' already`);
      if (this.authorKeys(workspace).length >= MAX_AUTHOR_KEYS)
        throw new RegistryRefusal(
          "notAllowed",
          `workspace '${workspace}' has ${MAX_AUTHOR_KEYS} keys, the most that it may have; delete one that signed nothing`,
        );
      const result: AuthorKey = {
        workspace,
        workspaceId,
        name,
        publicKey: raw.toString("base64"),
        createdAt: seconds(),
        revokedAt: null,
      };
      return { edits: [{ put: rowOfAuthorKey(result) }], result };
    });
  }

  /** It signs nothing more. @throws {RegistryRefusal} @throws {StoreUnavailable} */
  revokeAuthorKey(workspace: string, name: string): Promise<AuthorKey> {
    return this.#records.write(() => {
      const key = this.#authorKey(workspace, name);
      const result = key.revokedAt === null ? { ...key, revokedAt: seconds() } : key;
      return { edits: result === key ? [] : [{ put: rowOfAuthorKey(result) }], result };
    });
  }

  /** One that no package bears. @throws {RegistryRefusal} @throws {StoreUnavailable} */
  removeAuthorKey(workspace: string, name: string): Promise<AuthorKey> {
    return this.#records.write(() => {
      const result = this.#authorKey(workspace, name);
      const signed = this.#tables.packages
        .list(workspace)
        .find(({ signatures }) => signatures.some(({ key }) => key === name));
      if (signed !== undefined)
        throw new RegistryRefusal(
          "notAllowed",
          `key '${name}' has signed ${nameOf(signed)}; revoke it, so that it signs nothing more`,
        );
      return { edits: [{ remove: { kind: AUTHOR_KEY_KIND, id: authorKeyId(workspace, name) } }], result };
    });
  }

  /** What is wrong with signatures over a package's id, in words. */
  signatureFaults(workspace: string, id: string, given: readonly GivenSignature[]): string[] {
    if (given.length > MAX_SIGNATURES) return [`a package has ${MAX_SIGNATURES} signatures at most`];
    return given.flatMap(({ key: name, signature }) => {
      const key = this.authorKey(workspace, name);
      if (key === undefined) return [`workspace '${workspace}' knows no key '${name}'`];
      if (key.revokedAt !== null) return [`key '${name}' is revoked`];
      if (!hasSigned(key, id, signature)) return [`it is not what key '${name}' signs ${id} with`];
      return [];
    });
  }

  /** Adds signatures to a package; one key has one. @throws {RegistryRefusal} @throws {StoreUnavailable} */
  sign(stored: StoredPackage, given: readonly GivenSignature[]): Promise<StoredPackage> {
    const { workspace, manifest } = stored;
    return this.#records.write(() => {
      const now = this.#version({ workspace, name: manifest.name, workspaceId: "" }, manifest.version);
      const faults = this.signatureFaults(workspace, now.id, given);
      const added = given.filter(({ key }) => !now.signatures.some((one) => one.key === key));
      if (faults.length > 0) throw new RegistryRefusal("notAllowed", faults.join("; "));
      if (now.signatures.length + added.length > MAX_SIGNATURES)
        throw new RegistryRefusal("notAllowed", `a package has ${MAX_SIGNATURES} signatures at most`);
      const at = seconds();
      const result = {
        ...now,
        signatures: [...now.signatures, ...added.map((one) => ({ ...one, at }))],
      };
      return { edits: added.length === 0 ? [] : [{ put: rowOfPackage(result) }], result };
    });
  }

  /** Of a package, those that count. */
  signaturesOf(stored: StoredPackage): readonly Signature[] {
    return signaturesOf(stored, this.#tables);
  }

  /** Plugins that are shared, by owner and name. */
  shares(): Share[] {
    return [...this.#tables.shares.values()].sort((a, b) =>
      shareKey(a.owner, a.name) < shareKey(b.owner, b.name) ? -1 : 1,
    );
  }

  share(owner: string, name: string): Share | undefined {
    return this.#tables.shares.get(shareKey(owner, name));
  }

  /** Says which workspaces may use a plugin; none ends it. @throws {RegistryRefusal} @throws {StoreUnavailable} */
  setShare(line: Line, workspaces: readonly string[]): Promise<Share> {
    const to = [...new Set(workspaces)].filter((name) => name !== line.workspace).sort();
    if (to.length > MAX_SHARED_TO)
      throw new RegistryRefusal("notAllowed", `workspaces: at most ${MAX_SHARED_TO}`);
    return this.#records.write(() => {
      if (this.#tables.packages.line(line.workspace, line.name).length === 0 && to.length > 0)
        throw new RegistryRefusal(
          "notFound",
          `there is no plugin '${line.name}' in workspace '${line.workspace}'`,
        );
      const result: Share = {
        owner: line.workspace,
        ownerId: line.workspaceId,
        name: line.name,
        workspaces: to,
      };
      const id = shareKey(line.workspace, line.name);
      const isThere = this.#tables.shares.get(id) !== undefined;
      if (to.length > 0) return { edits: [{ put: rowOfShare(result) }], result };
      return { edits: isThere ? [{ remove: { kind: SHARE_KIND, id } }] : [], result };
    });
  }

  consent(workspace: string, owner: string, name: string): Consent | undefined {
    return this.#tables.consents.get(consentKey(workspace, owner, name));
  }

  /** A workspace lets a plugin have what a version asks for. @throws {StoreUnavailable} */
  giveConsent(
    { workspace, workspaceId }: Pick<Use, "workspace" | "workspaceId">,
    stored: StoredPackage,
  ): Promise<void> {
    return this.consentTo([
      { workspace, workspaceId, owner: stored.workspace, manifest: stored.manifest, isExact: true },
    ]);
  }

  /**
   * What is about to be used is consented to: the first time whatever is asked for, later only where a version is named.
   * @throws {StoreUnavailable}
   */
  consentTo(uses: readonly Use[]): Promise<void> {
    return this.#needed(uses).length === 0
      ? Promise.resolve()
      : this.#records.write(() => ({
          edits: this.#needed(uses).map((consent): Edit => ({ put: rowOfConsent(consent) })),
          result: undefined,
        }));
  }

  #needed(uses: readonly Use[]): Consent[] {
    const needed = new Map<string, Consent>();
    for (const { workspace, workspaceId, owner, manifest, isExact } of uses) {
      const key = consentKey(workspace, owner, manifest.name);
      const known = needed.get(key) ?? this.#tables.consents.get(key);
      if (known !== undefined && (!isExact || excessOf(manifest.grants, known.grants).length === 0)) continue;
      const grants = known === undefined ? manifest.grants : joinedGrants(manifest.grants, known.grants);
      needed.set(key, { workspace, workspaceId, owner, name: manifest.name, grants, at: seconds() });
    }
    return [...needed.values()];
  }

  #channelsOf(workspace: string): number {
    return this.#tables.channels
      .values()
      .filter((one) => one.workspace === workspace)
      .toArray().length;
  }

  #authorKey(workspace: string, name: string): AuthorKey {
    const key = this.authorKey(workspace, name);
    if (key === undefined)
      throw new RegistryRefusal("notFound", `workspace '${workspace}' knows no key '${name}'`);
    return key;
  }

  #version({ workspace, name }: Line, version: string): StoredPackage {
    const stored = this.#tables.packages.get(`${workspace}/${name}@${version}`);
    if (stored === undefined)
      throw new RegistryRefusal("notFound", `there is no ${name}@${version} in workspace '${workspace}'`);
    return stored;
  }

  #changed(
    line: Line,
    version: string,
    change: (stored: StoredPackage) => StoredPackage,
  ): Promise<StoredPackage> {
    return this.#records.write(() => {
      const stored = this.#version(line, version);
      const result = change(stored);
      return { edits: result === stored ? [] : [{ put: rowOfPackage(result) }], result };
    });
  }
}

function noChannel({ name }: Line, channel: string): RegistryRefusal {
  return new RegistryRefusal("notFound", `'${name}' has no channel '${channel}'`);
}
