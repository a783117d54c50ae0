/** Control planes on one store without a gateway around them: what their threads were told is kept, and served by nobody. */
import assert from "node:assert/strict";
import { after } from "node:test";
import pino from "pino";
import { TokenTable } from "../../src/access/token-table.ts";
import { Control } from "../../src/control/control.ts";
import { OwnListeners } from "../../src/egress/own-listeners.ts";
import { ENTITY_NAMES, type EntityName } from "../../src/entities/entities.ts";
import type { Entity } from "../../src/entities/relations.ts";
import { createCatalogue } from "../../src/gateway/catalogue.ts";
import { Vaults } from "../../src/secrets/vaults.ts";
import { loadSettings } from "../../src/settings.ts";
import type { Store } from "../../src/stores/store.ts";
import type { DataThreads } from "../../src/threads/threads.ts";

/** A thread's idea of the configuration: every change that it was told of, one upon the other. */
export class Told implements Pick<DataThreads, "deploy"> {
  readonly entities = new Map<string, Entity>();
  hash = "";
  /** How many entities the last change named. */
  size = 0;
  /** What the next change fails with. */
  refuse: Error | null = null;

  async deploy(...[{ change }, , decide]: Parameters<DataThreads["deploy"]>): Promise<void> {
    if (this.refuse !== null) throw this.refuse;
    await decide?.();
    this.size = 0;
    for (const kind of ENTITY_NAMES) {
      for (const id of change.removed[kind]) this.entities.delete(`${kind} ${id}`);
      for (const entity of change.put[kind] as unknown as Entity[])
        this.entities.set(`${kind} ${entity.id}`, entity);
      this.size += change.removed[kind].length + change.put[kind].length;
    }
    this.hash = change.hash;
  }

  of(kind: EntityName): Entity[] {
    return [...this.entities].flatMap(([key, entity]) => (key.startsWith(`${kind} `) ? [entity] : []));
  }
}

export interface TestControl {
  readonly control: Control;
  readonly told: Told;
  readonly lines: Record<string, unknown>[];
}

export async function openControl(store: Store): Promise<TestControl> {
  const told = new Told();
  const lines: Record<string, unknown>[] = [];
  const { settings } = loadSettings({ env: {} });
  assert.ok(settings);
  const missing = () => ({ missing: "no such package" });
  const none = { find: missing, fit: missing, names: () => [] };
  const control = new Control({
    settings,
    beside: new TokenTable(),
    registry: { ...none, load: () => Promise.reject(new Error("no such package")) },
    catalogue: createCatalogue(none),
    store,
    own: new OwnListeners([]),
    vaults: new Vaults({ environment: {}, directory: null }),
    threads: told,
    log: pino({ level: "info" }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
    onLimits() {},
    async readSettingsFiles() {},
  });
  await control.open(Promise.resolve());
  after(() => control.close());
  return { control, told, lines };
}
