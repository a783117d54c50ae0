/** The level from which on lines are logged, for a time another than the settings say. */
import type { Logger } from "pino";
import { pinoLevel } from "../observe/logger.ts";
import type { Settings } from "../settings.ts";
import type { DataThreads } from "../threads/threads.ts";

type Level = Settings["logLevel"];

export class LogLevel {
  readonly #log: Logger;
  readonly #threads: Pick<DataThreads, "setLogLevel">;
  readonly #ordinary: Level;
  #level: Level;
  #timer: NodeJS.Timeout | undefined;

  /** @param ordinary Kong's name of a level, as all others here. */
  constructor(log: Logger, threads: Pick<DataThreads, "setLogLevel">, ordinary: Level) {
    this.#log = log;
    this.#threads = threads;
    this.#ordinary = ordinary;
    this.#level = ordinary;
  }

  get current(): Level {
    return this.#level;
  }

  /** For so many seconds; 0 for as long as the gateway runs. */
  set(level: Level, seconds: number): void {
    clearTimeout(this.#timer);
    this.#apply(level);
    if (seconds === 0) return;
    this.#timer = setTimeout(() => this.#apply(this.#ordinary), seconds * 1000);
    this.#timer.unref();
  }

  #apply(level: Level): void {
    this.#level = level;
    this.#log.level = pinoLevel(level);
    this.#threads.setLogLevel(level);
  }
}
