/**
 * What is kept of workspaces outside of the configuration, and goes with them: packages, values of plugins, what was
 * counted and measured, processes.
 *
 * A list on disk names the workspaces of which this gateway may have kept something. One is written there before it is
 * served, and taken off when nothing is left of it. So a gateway that ended in the middle of that, or was away while
 * another one deleted a workspace, does the rest when it starts again, and a workspace that comes by the name of one
 * that is gone begins with nothing.
 */
import { mkdir, readFile } from "node:fs/promises";
import { isObject } from "@gatehouse/sdk";
import { InTurn } from "../in-turn.ts";
import { writeSynced } from "../registry/artifacts.ts";

export interface Tenant {
  readonly id: string;
  readonly name: string;
}

/** How many things were removed, by what they are. */
export type Counts = Readonly<Record<string, number>>;

/** Somewhere that something of a workspace may be kept. */
export interface Place {
  /** What is kept there, for messages. */
  readonly what: string;
  /** Whether it goes by the workspace's name: then nobody else may come by that name before it is forgotten. */
  readonly byName: boolean;
  /** Removes all that there is. Done twice it does no harm. */
  forget(tenant: Tenant): Promise<Counts>;
}

/** A workspace that is gone. */
export interface Departure {
  /** Entities as they were deleted with it, by collection. */
  readonly entities: Counts;
  /** What else was removed. */
  readonly removed: Counts;
  /** What could not be removed yet, and why: it is tried again. */
  readonly pending: Readonly<Record<string, string>>;
}

type Log = (level: "info" | "error", message: string, fields: Readonly<Record<string, unknown>>) => void;

export interface TenantsOptions {
  /** Where the list is kept. */
  readonly directory: string;
  readonly places: readonly Place[];
  readonly log: Log;
}

const LIST = "workspaces.json";
const RETRY_MS = 30_000;

export class Tenants {
  readonly #options: TenantsOptions;
  /** Names by id. */
  readonly #listed: Map<string, string>;
  /** Entities that were deleted with those that are gone and not forgotten yet. */
  readonly #gone = new Map<string, Counts>();
  readonly #working = new Map<string, Promise<Departure>>();
  /** Writers of the list follow each other. */
  readonly #writes = new InTurn();
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  private constructor(options: TenantsOptions, listed: Map<string, string>) {
    this.#options = options;
    this.#listed = listed;
  }

  /** @throws {Error} if the list is there and cannot be read. */
  static async open(options: TenantsOptions): Promise<Tenants> {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    return new Tenants(options, await readList(`${options.directory}/${LIST}`));
  }

  /**
   * Workspaces are about to be served: they are on the list, and nothing is left of others that had their names.
   * @throws {Error} if that cannot be had.
   */
  async arriving(tenants: readonly Tenant[]): Promise<void> {
    const ids = new Map(tenants.map(({ id, name }) => [name, id]));
    for (const [other, name] of this.#listed) {
      const id = ids.get(name);
      if (id === undefined || id === other) continue;
      const { pending } = await this.#forget({ id: other, name });
      const [held] = this.#options.places.filter(({ what, byName }) => byName && pending[what] !== undefined);
      if (held !== undefined)
        throw new Error(
          `another workspace had the name '${name}', and of its ${held.what} something is left (${pending[held.what]})`,
        );
    }
    const unlisted = tenants.filter(({ id }) => !this.#listed.has(id));
    if (unlisted.length === 0) return;
    await this.#change((listed) => {
      for (const { id, name } of unlisted) listed.set(id, name);
    });
  }

  /** A workspace is in force no more, and so many of its entities with it. */
  left(tenant: Tenant, entities: Counts): void {
    this.#gone.set(tenant.id, entities);
    void this.#forget(tenant);
  }

  /** What earlier processes have not finished, or others have deleted meanwhile. */
  async settle(isThere: (id: string) => boolean): Promise<void> {
    for (const [id, name] of [...this.#listed]) {
      if (isThere(id)) continue;
      this.#gone.set(id, {});
      const { removed } = await this.#forget({ id, name });
      this.#options.log("info", "a deleted workspace is forgotten", { workspace: name, removed });
    }
  }

  /** What has become of a workspace that is gone, once all was tried; null if nothing of that name is being forgotten. */
  async departure(name: string): Promise<Departure | null> {
    for (const [id, listed] of this.#listed)
      if (listed === name && this.#gone.has(id)) return this.#forget({ id, name });
    return null;
  }

  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
  }

  #forget(tenant: Tenant): Promise<Departure> {
    const known = this.#working.get(tenant.id);
    if (known !== undefined) return known;
    const work = this.#everywhere(tenant).finally(() => this.#working.delete(tenant.id));
    this.#working.set(tenant.id, work);
    return work;
  }

  async #everywhere(tenant: Tenant): Promise<Departure> {
    const { places, log } = this.#options;
    const removed: Record<string, number> = {};
    const pending: Record<string, string> = {};
    for (const { what, forget } of places)
      try {
        for (const [thing, count] of Object.entries(await forget(tenant)))
          removed[thing] = (removed[thing] ?? 0) + count;
      } catch (error) {
        pending[what] = (error as Error).message;
      }
    const entities = this.#gone.get(tenant.id) ?? {};
    if (Object.keys(pending).length === 0)
      await this.#change((listed) => listed.delete(tenant.id)).then(
        () => this.#gone.delete(tenant.id),
        (error: Error) => {
          pending.list = error.message;
        },
      );
    if (Object.keys(pending).length > 0) {
      log("error", "a deleted workspace could not be forgotten everywhere; it is tried again", {
        workspace: tenant.name,
        pending,
      });
      this.#retryLater();
    }
    return { entities, removed, pending };
  }

  #retryLater(): void {
    if (this.#closed) return;
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      for (const id of this.#gone.keys()) {
        const name = this.#listed.get(id);
        if (name !== undefined) void this.#forget({ id, name });
      }
    }, RETRY_MS).unref();
  }

  #change(edit: (listed: Map<string, string>) => void): Promise<void> {
    return this.#writes.run(async () => {
      const next = new Map(this.#listed);
      edit(next);
      const text = JSON.stringify({ format: 1, workspaces: Object.fromEntries(next) });
      await writeSynced(this.#options.directory, LIST, Buffer.from(`${text}\n`));
      edit(this.#listed);
    });
  }
}

async function readList(path: string): Promise<Map<string, string>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw error;
  }
  const damaged = new Error(
    `${path} is damaged; restore it, or remove it: what is left of deleted workspaces is then not removed any more`,
  );
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw damaged;
  }
  if (!isObject(list) || list.format !== 1 || !isObject(list.workspaces)) throw damaged;
  const listed = Object.entries(list.workspaces);
  if (!listed.every((entry): entry is [string, string] => typeof entry[1] === "string")) throw damaged;
  return new Map(listed);
}
