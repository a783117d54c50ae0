/** All that the registry knows, by kind of row, and which plugins a change of rows concerns. */

import { ROLLOUT_KIND } from "../rollout/rollout.ts";
import type { Edit, Row } from "../stores/store.ts";
import { AUTHOR_KEY_KIND, type AuthorKey, authorKeyOfRow, soundSignatures } from "./author-keys.ts";
import { CHANNEL_KIND, type Channel, channelOfRow } from "./channels.ts";
import { CONSENT_KIND, type Consent, consentOfRow } from "./consents.ts";
import { DELETED_KIND, type DeletedVersion, deletedOfRow } from "./deleted-versions.ts";
import { PackageTable } from "./package-table.ts";
import { KeyedTable, type RecordTable } from "./records.ts";
import { SHARE_KIND, type Share, shareOfRow } from "./shared-lines.ts";
import { PACKAGE_KIND, type Signature, type StoredPackage } from "./stored-package.ts";

export interface Tables {
  readonly packages: PackageTable;
  /** By `channelKey`. */
  readonly channels: KeyedTable<Channel>;
  /** By `consentKey`. */
  readonly consents: KeyedTable<Consent>;
  /** By `shareKey`. */
  readonly shares: KeyedTable<Share>;
  /** By `authorKeyId`. */
  readonly authorKeys: KeyedTable<AuthorKey>;
  /** By `keyOf`. */
  readonly deleted: KeyedTable<DeletedVersion>;
}

export function newTables(onUnsound: (row: Row, why: string) => void): Tables {
  const unread = (row: Row) => onUnsound(row, "it says nothing sound");
  return {
    packages: new PackageTable(onUnsound),
    channels: new KeyedTable(CHANNEL_KIND, channelOfRow, unread),
    consents: new KeyedTable(CONSENT_KIND, consentOfRow, unread),
    shares: new KeyedTable(SHARE_KIND, shareOfRow, unread),
    authorKeys: new KeyedTable(AUTHOR_KEY_KIND, authorKeyOfRow, unread),
    deleted: new KeyedTable(DELETED_KIND, deletedOfRow, unread),
  };
}

/** What is looked at again only when a key has changed: it takes a tenth of a millisecond. */
const soundOnes = new WeakMap<StoredPackage, { readonly changes: number; readonly sound: Signature[] }>();

/** The signatures of a package that count. */
export function signaturesOf(stored: StoredPackage, { authorKeys }: Tables): readonly Signature[] {
  const known = soundOnes.get(stored);
  if (known?.changes === authorKeys.changes) return known.sound;
  const sound = soundSignatures(stored, (id) => authorKeys.get(id));
  soundOnes.set(stored, { changes: authorKeys.changes, sound });
  return sound;
}

export const tableList = (tables: Tables): RecordTable[] => Object.values(tables);

/** Which plugins may be others after a change, wherever their name moves by itself. */
export type Concerns = (owner: string, name: string) => boolean;

/**
 * By the ids of rows: `owner/name@version`, `owner/name#channel`, `owner/name!rollout`, `workspace:owner/name`,
 * `owner/name`, `owner/key`.
 */
export function concernsOf(edits: readonly Edit[]): Concerns {
  const lines = new Set<string>();
  const owners = new Set<string>();
  for (const edit of edits) {
    const { kind, id } = "put" in edit ? edit.put : edit.remove;
    if (kind === PACKAGE_KIND) lines.add(id.slice(0, id.indexOf("@")));
    else if (kind === CHANNEL_KIND) lines.add(id.slice(0, id.indexOf("#")));
    else if (kind === ROLLOUT_KIND) lines.add(id.slice(0, id.indexOf("!")));
    else if (kind === CONSENT_KIND) lines.add(id.slice(id.indexOf(":") + 1));
    else if (kind === SHARE_KIND) lines.add(id);
    else if (kind === AUTHOR_KEY_KIND) owners.add(id.slice(0, id.indexOf("/")));
  }
  return (owner, name) => owners.has(owner) || lines.has(`${owner}/${name}`);
}
