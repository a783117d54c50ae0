/**
 * Cordons that are started before anybody needs them, for engines whose guests there are. One that is taken
 * belongs to its workspace for good, and is replaced. A spare is started when nobody waits for a cordon: it is
 * there to make a start shorter and must not make one longer.
 */

import type { EngineKind } from "../protocol/engine.ts";
import type { CordonProcess } from "./cordon-process.ts";

/** After this long it is tried again, if a spare is missing and could not be started. */
const AGAIN_MS = 50;
/** After a start that failed. */
const FAILED_MS = 5000;

export interface SparesOptions {
  /** How many there are for each engine. */
  readonly count: number;
  /** Whether nobody waits for a cordon and there is a place for one more. */
  readonly mayStart: () => boolean;
  readonly start: (engine: EngineKind) => Promise<CordonProcess>;
  readonly onFailure: (engine: EngineKind, error: Error) => void;
  /** A start has ended, well or not. */
  readonly onSettled: () => void;
}

export class Spares {
  readonly #options: SparesOptions;
  readonly #engines = new Set<EngineKind>();
  readonly #idle: CordonProcess[] = [];
  #starting: EngineKind | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: SparesOptions) {
    this.#options = options;
  }

  /** How many are being started. */
  get starting(): number {
    return this.#starting === null ? 0 : 1;
  }

  /** There are guests for this engine: from now on it has spares. */
  want(engine: EngineKind): void {
    if (this.#options.count === 0 || this.#engines.has(engine)) return;
    this.#engines.add(engine);
    this.#fill();
  }

  take(engine: EngineKind): CordonProcess | null {
    // One that is ready before one that is not.
    const own = this.#idle.filter((spare) => spare.engine === engine);
    const spare = own.find(({ ready }) => ready) ?? own[0];
    if (spare === undefined) return null;
    this.drop(spare);
    return spare;
  }

  /** This one is dead or about to be, or belongs to somebody. */
  drop(cordon: CordonProcess): void {
    const at = this.#idle.indexOf(cordon);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#later(AGAIN_MS);
  }

  /** The spare that was started first, for who needs its memory or its place. */
  oldest(): CordonProcess | null {
    return this.#idle[0] ?? null;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #missing(): EngineKind | null {
    for (const engine of this.#engines)
      if (this.#idle.filter((spare) => spare.engine === engine).length < this.#options.count) return engine;
    return null;
  }

  #later(ms: number): void {
    if (this.#timer !== null || this.#closed || this.#missing() === null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#fill();
    }, ms).unref();
  }

  /** Starts one that is missing. */
  #fill(): void {
    const engine = this.#missing();
    if (engine === null || this.#starting !== null || this.#closed) return;
    if (!this.#options.mayStart()) return this.#later(AGAIN_MS);
    this.#starting = engine;
    let againMs = AGAIN_MS;
    this.#options
      .start(engine)
      .then((cordon) => {
        if (!cordon.retired && cordon.cause === null) this.#idle.push(cordon);
      })
      .catch((error: Error) => {
        againMs = FAILED_MS;
        this.#options.onFailure(engine, error);
      })
      .finally(() => {
        this.#starting = null;
        this.#later(againMs);
        this.#options.onSettled();
      });
  }
}
