/**
 * Configurations that come whole, from a file or as a document, and take the place of the one before: what such a
 * document does not have is gone.
 */
import { readFile } from "node:fs/promises";
import { type ConfigError, formatConfigErrors, type Loaded } from "../declarative/declarative.ts";
import { noConfig } from "../declarative/empty-config.ts";
import { documentError } from "../declarative/errors.ts";
import { readApart } from "../declarative/read-apart.ts";
import { textOf } from "../declarative/text.ts";
import { editsBetween } from "../entities/change.ts";
import type { GatewayConfig } from "../entities/entities.ts";
import { politely } from "../gateway/polite.ts";
import { StartError } from "../gateway/start-error.ts";
import type { TakeTurn } from "./control.ts";
import { judgeApart } from "./document.ts";
import type { InForce, InForceParts } from "./in-force.ts";
import type { JudgeContext } from "./judge.ts";

export interface WholeParts extends Pick<InForceParts, "log" | "vaults"> {
  /** Called before each change: files that the settings name are read again whenever the configuration is. */
  readSettingsFiles(): Promise<void>;
}

export interface ReplaceOptions {
  /** Name of the file, for messages. */
  readonly file?: string;
  /** Whether one that says the same as what is in force is left alone. */
  readonly ifChanged: boolean;
}

export type Replaced =
  | { readonly ok: true; readonly changed: boolean }
  | { readonly ok: false; readonly errors: readonly ConfigError[] };

export class WholeConfigurations {
  readonly #parts: WholeParts;
  readonly #context: JudgeContext;
  readonly #inForce: InForce;
  /** Between two other changes. */
  readonly #alone: TakeTurn;
  /** What came from a file or document, for the next one to be compared with. */
  #loaded: GatewayConfig = noConfig();

  constructor(parts: WholeParts, context: JudgeContext, inForce: InForce, alone: TakeTurn) {
    this.#parts = parts;
    this.#context = context;
    this.#inForce = inForce;
    this.#alone = alone;
  }

  /** @throws {StartError} with everything that is wrong with it. */
  async fromFile(file: string): Promise<GatewayConfig> {
    const text = await fileText(file);
    const loaded = await this.#load(text, file);
    if (!loaded.ok) throw new StartError(formatConfigErrors(loaded.errors));
    return loaded.config;
  }

  /** Puts a whole configuration in force in place of the one before, or tells what is wrong with it. */
  replace(text: string, options: ReplaceOptions): Promise<Replaced> {
    return this.#alone(async () => {
      await this.#parts.readSettingsFiles();
      const loaded = await this.#load(text, options.file);
      if (!loaded.ok) return loaded;
      if (options.ifChanged && loaded.config.hash === this.#inForce.state.hash)
        return { ok: true as const, changed: false };
      const loadedAt = performance.now();
      const changed = await this.put(loaded.config);
      this.#parts.log.info(
        {
          config_hash: loaded.config.hash,
          changed_entities: changed,
          deploy_ms: Math.round(performance.now() - loadedAt),
        },
        "configuration is live on all threads",
      );
      return { ok: true as const, changed: true };
    });
  }

  /** Puts a configuration in force in place of the one before. @returns how many entities the threads heard of. */
  async put(config: GatewayConfig): Promise<number> {
    const { edits, next } = politely(() => {
      const edits = editsBetween(this.#loaded, config);
      return {
        edits,
        next: { index: this.#inForce.state.index.next(edits), hash: config.hash, revision: 0, sum: 0n },
      };
    });
    const changed = await this.#inForce.deploy(
      edits,
      next,
      async () => 0,
      () => true,
    );
    this.#loaded = config;
    return changed;
  }

  /** The file has changed. */
  async reload(file: string): Promise<void> {
    try {
      const result = await this.replace(await fileText(file), { file, ifChanged: true });
      if (!result.ok)
        this.#parts.log.error(
          { file, errors: formatConfigErrors(result.errors).split("\n") },
          "the changed configuration is refused; the old one keeps serving",
        );
    } catch (error) {
      this.#parts.log.error(
        { file, reason: (error as Error).message },
        "the changed configuration could not be loaded; the old one keeps serving",
      );
    }
  }

  async #load(text: string, file?: string): Promise<Loaded> {
    const options = {
      plugins: this.#context.plugins,
      previous: this.#loaded,
      egress: this.#context.policies,
      quotas: this.#context.quotas,
      routerFlavor: this.#context.flavor,
      ...(file === undefined ? {} : { file }),
    };
    const judged = await judgeApart(await readApart(text), options, this.#parts.vaults);
    if (!judged.ok) return judged;
    await judged.hashPasswords();
    return { ok: true, config: politely(() => judged.seal()) };
  }
}

/** @throws {StartError} it cannot be read, or is not UTF-8. */
async function fileText(file: string): Promise<string> {
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new StartError(`${file}: cannot be read (${error.code})`);
  });
  const read = textOf(bytes);
  if (!read.ok) throw new StartError(formatConfigErrors([documentError(file, read.fault)]));
  return read.text;
}
