/** Cordons that are started before anybody needs them. One that is taken belongs to its workspace for good. */
import type { CordonProcess } from "./cordon-process.ts";
import type { EngineKind } from "./engine.ts";

export interface SparesOptions {
  /** Engines that have a spare. */
  readonly engines: readonly EngineKind[];
  /** Whether cordons can be started now. */
  readonly mayStart: () => boolean;
  readonly start: (engine: EngineKind) => Promise<CordonProcess>;
  readonly onFailure: (engine: EngineKind, error: Error) => void;
  /** A start has ended, well or not. */
  readonly onSettled: () => void;
}

export class Spares {
  readonly #options: SparesOptions;
  readonly #ready = new Map<EngineKind, CordonProcess>();
  readonly #starting = new Set<EngineKind>();

  constructor(options: SparesOptions) {
    this.#options = options;
  }

  /** How many are being started. */
  get starting(): number {
    return this.#starting.size;
  }

  /** Starts what is missing. */
  fill(): void {
    const { engines, mayStart, start, onFailure, onSettled } = this.#options;
    for (const engine of engines) {
      if (this.#ready.has(engine) || this.#starting.has(engine) || !mayStart()) continue;
      this.#starting.add(engine);
      start(engine)
        .then((cordon) => {
          if (!cordon.retired) this.#ready.set(engine, cordon);
        })
        .catch((error: Error) => onFailure(engine, error))
        .finally(() => {
          this.#starting.delete(engine);
          onSettled();
        });
    }
  }

  take(engine: EngineKind): CordonProcess | null {
    const spare = this.#ready.get(engine) ?? null;
    this.#ready.delete(engine);
    return spare;
  }

  /** This one is dead or about to be. */
  drop(cordon: CordonProcess): void {
    if (this.#ready.get(cordon.engine) === cordon) this.#ready.delete(cordon.engine);
  }
}
