/**
 * Tries of uploads, one after the other. While uploads come, the cordon for the next one is started when the last one
 * is gone, so that an author who publishes again and again does not wait for a process each time.
 *
 * A cordon that waits has run nothing, and none is used twice: whose upload it tries makes no difference to it.
 */
import { OneAtATime } from "../../tenancy/owners-turns.ts";
import type { EngineKind } from "../protocol/engine.ts";
import { engineOf, type Smoke, type SmokeJob, type SmokeOptions, smokeRun, TrialCordon } from "./smoke.ts";

export interface TrialsOptions extends SmokeOptions {
  /** Uploads that wait while one is tried. */
  readonly queueLength: number;
  /** How long a cordon waits for the next upload. */
  readonly idleMs?: number;
}

const IDLE_MS = 30_000;

export class Trials {
  readonly #options: TrialsOptions;
  readonly #turns: OneAtATime;
  #waiting: TrialCordon | null = null;
  #idle: NodeJS.Timeout | null = null;
  /** What is on its way out: no two cordons for tries are there at once. */
  #leaving: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: TrialsOptions) {
    this.#options = options;
    this.#turns = new OneAtATime(options.queueLength);
  }

  /** Null at once if too many uploads wait. Otherwise as `smokeRun`. */
  run(job: SmokeJob, workspace: string): Promise<Smoke> | null {
    return this.#turns.run(workspace, () => this.#try(job));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#dismiss();
    await this.#leaving;
  }

  async #try(job: SmokeJob): Promise<Smoke> {
    const engine = engineOf(job);
    if (this.#waiting !== null && (this.#waiting.engine !== engine || this.#waiting.ended)) this.#dismiss();
    await this.#leaving;
    if (this.#idle !== null) clearTimeout(this.#idle);
    const cordon = this.#waiting;
    this.#waiting = null;
    try {
      return await smokeRun(job, this.#options, cordon);
    } finally {
      this.#expect(engine);
    }
  }

  #expect(engine: EngineKind): void {
    if (this.#closed) return;
    this.#waiting = new TrialCordon(engine, this.#options);
    this.#idle = setTimeout(() => this.#dismiss(), this.#options.idleMs ?? IDLE_MS).unref();
  }

  #dismiss(): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    const cordon = this.#waiting;
    this.#waiting = null;
    if (cordon === null) return;
    const before = this.#leaving;
    this.#leaving = Promise.all([before, cordon.end()]).then(() => {});
  }
}
