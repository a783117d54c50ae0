/**
 * The configuration that a store keeps, read and written while no gateway runs on it: the same control plane, with
 * nobody behind it who serves. SQLite's file belongs to one process at a time, so a gateway that runs is told of, and
 * asked in its place.
 */
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pino } from "pino";
import { TokenTable } from "../access/token-table.ts";
import { exportConfig } from "../admin/export.ts";
import { Control } from "../control/control.ts";
import { planBody } from "../control/plan.ts";
import { WriteRefused } from "../control/refusal.ts";
import { documentError } from "../declarative/errors.ts";
import { textOf } from "../declarative/text.ts";
import { listenersOf, OwnListeners } from "../egress/own-listeners.ts";
import { createCatalogue } from "../gateway/catalogue.ts";
import { StartError } from "../gateway/start-error.ts";
import { Registry } from "../registry/registry.ts";
import { loadSettings } from "../settings.ts";
import { openStore, sqlitePath, viewRegistryStore } from "../stores/open-store.ts";
import { StoreUnavailable } from "../stores/store.ts";
import { type Mode, Refused, refused, requestOf, type Target, type TargetOptions } from "./config-target.ts";
import { Unusable } from "./configuration-file.ts";
import type { ShownPlan } from "./plan-text.ts";

/** Whoever works on a store offline has the operator's own files. */
const OPERATOR = { actor: null };

export class Kept implements Target {
  readonly #control: Control;
  readonly #options: TargetOptions;

  private constructor(control: Control, options: TargetOptions) {
    this.#control = control;
    this.#options = options;
  }

  /** @throws {Unusable} with what to do. */
  static async open(options: TargetOptions, mayMake: boolean): Promise<Kept> {
    return new Kept(await openControl(options, mayMake), options);
  }

  async plan(file: string, bytes: Uint8Array, mode: Mode): Promise<{ plan: ShownPlan; hash: string }> {
    const request = requestOf(this.#options, await textIn(file, bytes), mode);
    const planned = await orRefused(this.#control.plan(request));
    if (!planned.ok) throw await refused(file, planned.errors, "");
    return { plan: planBody(planned.plan), hash: planned.hash };
  }

  async apply(file: string, bytes: Uint8Array, mode: Mode, hash: string): Promise<ShownPlan> {
    const request = requestOf(this.#options, await textIn(file, bytes), mode);
    const done = await orRefused(this.#control.sync(request, hash, OPERATOR));
    if (!done.ok) throw await refused(file, done.errors, "");
    return planBody(done.plan);
  }

  /** Whoever may read the store may read its private keys, which no Admin API shows: they are in it. */
  async dump(): Promise<string> {
    const { workspace = null, selectTag: tags } = this.#options;
    const dumped = async () => exportConfig(this.#control.index, { workspace, tags, withSecrets: true });
    return orRefused(dumped());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#control.close();
  }
}

async function textIn(file: string, bytes: Uint8Array): Promise<string> {
  const read = textOf(bytes);
  if (!read.ok) throw await refused(file, [documentError(file, read.fault)], "");
  return read.text;
}

async function orRefused<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof WriteRefused ? new Refused(error.message) : error;
  }
}

/** @throws {Unusable} with what to do. */
async function openControl(options: TargetOptions, mayMake: boolean): Promise<Control> {
  const { settings, errors } = loadSettings({
    flags: { prefix: options.prefix },
    file: options.settings,
    env: process.env,
  });
  if (errors !== undefined) throw new Unusable(errors.join("\n"));
  if (settings.database === "off")
    throw new Unusable("database: is off, so nothing is kept; set it to sqlite or postgres");
  const path = sqlitePath(settings);
  if (settings.database === "sqlite" && !mayMake && (await stat(path).catch(() => null)) === null)
    throw new Unusable(`${path} is not there; name the prefix of a gateway by --prefix`);
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const packages = await Registry.view(
      join(settings.prefix, "artifacts"),
      await viewRegistryStore(settings),
    );
    const control = new Control({
      settings,
      beside: new TokenTable(() => {}),
      registry: {
        find: (...of) => packages.find(...of),
        fit: (...of) => packages.fit(...of),
        load: async () => new Uint8Array(),
      },
      catalogue: createCatalogue(packages),
      store: await openStore(settings),
      threads: { deploy: async (_change, _whole, decide) => decide?.() },
      own: new OwnListeners(listenersOf(settings)),
      log: pino({ level: "silent" }),
      // What references lead to is read by the gateway, in its own environment.
      vaults: { resolve: async (_kind, entity) => ({ entity, faults: [] }) },
      onLimits() {},
      async readSettingsFiles() {},
    });
    await control.open(Promise.resolve());
    return control;
  } catch (error) {
    if (error instanceof StoreUnavailable || error instanceof StartError) throw new Unusable(error.message);
    throw error;
  }
}
