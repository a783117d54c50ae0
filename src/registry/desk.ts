/**
 * What people do with packages that are published: move channels, yank, consent, share. Every rule is held against what
 * the store has when it is written, so that two who write at once cannot both be right.
 */
import type { Edit } from "../stores/store.ts";
import {
  CHANNEL_KIND,
  type Channel,
  channelKey,
  channelNameFault,
  MAX_CHANNELS,
  moved,
  movedBack,
  rowOfChannel,
} from "./channels.ts";
import { type Consent, consentKey, rowOfConsent } from "./consents.ts";
import { excessOf, joinedGrants } from "./grants-asked.ts";
import type { Manifest } from "./manifest.ts";
import type { Records } from "./records.ts";
import { rowOfPackage, type StoredPackage } from "./stored-package.ts";
import type { Tables } from "./tables.ts";

/** It cannot be done: what, and what to do. Nothing has changed. */
export class RegistryRefusal extends Error {
  readonly kind: "notFound" | "notAllowed";

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
    return moved(old, { ...line, channel }, { version, at: seconds(), by, why });
  }

  /** A channel once it points to where it pointed before. @throws {RegistryRefusal} */
  planMoveBack(line: Line, channel: string, by: Actor, why: string): Channel {
    const old = this.channel(line.workspace, line.name, channel);
    if (old === undefined) throw noChannel(line, channel);
    const back = movedBack(old, { at: seconds(), by, why });
    if (back === null)
      throw new RegistryRefusal(
        "notAllowed",
        `channel '${channel}' of '${line.name}' points to its first version, ${old.version}: there is none before it`,
      );
    this.#version(line, back.version);
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
