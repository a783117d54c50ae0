/** Who is known in each workspace: consumers and their credentials. Never changes: an edit makes the next one. */
import type { Consumer, Credential } from "@gatehouse/sdk";
import type { Consumer as ConsumerEntity, KeyAuthCredential } from "../entities/entities.ts";
import { type MapEdit, PersistentMap } from "../persistent/persistent-map.ts";

/** Of one workspace. */
interface Directory {
  /** By `type:key`: how long looking up a whole key takes says nothing about parts of it. */
  readonly credentials: PersistentMap<Credential>;
  readonly usernames: PersistentMap<Consumer>;
}

const NOBODY: Directory = { credentials: PersistentMap.empty(), usernames: PersistentMap.empty() };

interface Parts {
  readonly directories: PersistentMap<Directory>;
  readonly consumers: PersistentMap<{ readonly entity: ConsumerEntity; readonly consumer: Consumer }>;
  readonly credentials: PersistentMap<KeyAuthCredential>;
}

export interface PeopleChange {
  readonly put: {
    readonly consumers: readonly ConsumerEntity[];
    readonly keyauth_credentials: readonly KeyAuthCredential[];
  };
  readonly removed: {
    readonly consumers: readonly string[];
    readonly keyauth_credentials: readonly string[];
  };
}

export class People {
  readonly #parts: Parts;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  static readonly nobody = new People({
    directories: PersistentMap.empty(),
    consumers: PersistentMap.empty(),
    credentials: PersistentMap.empty(),
  });

  findCredential(workspaceId: string, type: string, key: string): Credential | null {
    const { credentials } = this.#parts.directories.get(workspaceId) ?? NOBODY;
    return credentials.get(`${type}:${key}`) ?? null;
  }

  findConsumer(workspaceId: string, idOrName: string): Consumer | null {
    const byId = this.#parts.consumers.get(idOrName);
    if (byId !== undefined && byId.entity.ws_id === workspaceId) return byId.consumer;
    const { usernames } = this.#parts.directories.get(workspaceId) ?? NOBODY;
    return usernames.get(idOrName) ?? null;
  }

  /** These people changed; pauses at each `yield`. */
  *changed({ put, removed }: PeopleChange): Generator<void, People> {
    if (
      put.consumers.length + put.keyauth_credentials.length === 0 &&
      removed.consumers.length + removed.keyauth_credentials.length === 0
    )
      return this;
    const edit = new PeopleEdit(this.#parts);
    // Whoever gives up a name or a key goes first: somebody else may have taken it over.
    for (const id of removed.keyauth_credentials) yield edit.removeCredential(id);
    for (const { id } of put.keyauth_credentials) yield edit.removeCredential(id);
    for (const id of removed.consumers) yield void edit.removeConsumer(id);
    const changed = new Set<string>();
    for (const { id } of put.consumers) {
      if (edit.removeConsumer(id)) changed.add(id);
      yield;
    }
    for (const entity of put.consumers) yield edit.addConsumer(entity);
    for (const credential of put.keyauth_credentials) yield edit.addCredential(credential);
    if (changed.size > 0) {
      for (const credential of this.#parts.credentials.values()) {
        if (changed.has(credential.consumer.id)) edit.refresh(credential.id);
        yield;
      }
    }
    return new People(edit.done());
  }
}

class PeopleEdit {
  readonly #directories: MapEdit<Directory>;
  readonly #consumers: MapEdit<{ readonly entity: ConsumerEntity; readonly consumer: Consumer }>;
  readonly #credentials: MapEdit<KeyAuthCredential>;
  /** Directories of the workspaces that the edit touches. */
  readonly #open = new Map<string, { credentials: MapEdit<Credential>; usernames: MapEdit<Consumer> }>();

  constructor({ directories, consumers, credentials }: Parts) {
    this.#directories = directories.edit();
    this.#consumers = consumers.edit();
    this.#credentials = credentials.edit();
  }

  removeCredential(id: string): void {
    const known = this.#credentials.get(id);
    if (known === undefined) return;
    this.#credentials.delete(id);
    this.#directory(known.ws_id).credentials.delete(`key-auth:${known.key}`);
  }

  addCredential(credential: KeyAuthCredential): void {
    this.#credentials.set(credential.id, credential);
    this.refresh(credential.id);
  }

  /** Points a credential that is still there to its consumer as the consumer is now. */
  refresh(id: string): void {
    const credential = this.#credentials.get(id);
    if (credential === undefined) return;
    const { ws_id: workspace, key } = credential;
    const consumer = this.#consumers.get(credential.consumer.id)?.consumer;
    if (consumer !== undefined)
      this.#directory(workspace).credentials.set(`key-auth:${key}`, { id, consumer });
  }

  /** Whether there was one. */
  removeConsumer(id: string): boolean {
    const known = this.#consumers.get(id);
    if (known === undefined) return false;
    this.#consumers.delete(id);
    const { username, ws_id: workspace } = known.entity;
    if (username !== null) this.#directory(workspace).usernames.delete(username);
    return true;
  }

  addConsumer(entity: ConsumerEntity): void {
    const { id, username, custom_id, ws_id: workspace } = entity;
    const consumer: Consumer = { id, username, custom_id };
    this.#consumers.set(id, { entity, consumer });
    if (username !== null) this.#directory(workspace).usernames.set(username, consumer);
  }

  done(): Parts {
    for (const [workspace, { credentials, usernames }] of this.#open)
      this.#directories.set(workspace, { credentials: credentials.done(), usernames: usernames.done() });
    return {
      directories: this.#directories.done(),
      consumers: this.#consumers.done(),
      credentials: this.#credentials.done(),
    };
  }

  #directory(workspace: string): { credentials: MapEdit<Credential>; usernames: MapEdit<Consumer> } {
    let open = this.#open.get(workspace);
    if (open === undefined) {
      const { credentials, usernames } = this.#directories.get(workspace) ?? NOBODY;
      open = { credentials: credentials.edit(), usernames: usernames.edit() };
      this.#open.set(workspace, open);
    }
    return open;
  }
}
