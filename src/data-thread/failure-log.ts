/**
 * Failures of guests, as the operator's log shows them: each names workspace, plugin, phase and kind. A hostile
 * guest can fail thousands of times a second, so only the first of a plugin and kind is written at once; the
 * rest of the next ten seconds is one line with their number. Nothing is lost: metrics count each of them.
 */
import type { GuestFailure } from "../sandbox/calls/client.ts";

const QUIET_MS = 10_000;

type Write = (message: string, fields: Record<string, unknown>) => void;

interface Recent {
  /** Failures since the last line that were not written. */
  silent: number;
  last: GuestFailure;
}

export class FailureLog {
  readonly #write: Write;
  /** By workspace, plugin and kind: bounded by what is installed. */
  readonly #recent = new Map<string, Recent>();

  constructor(write: Write) {
    this.#write = write;
  }

  add(failure: GuestFailure): void {
    const key = `${failure.workspace}\n${failure.plugin}\n${failure.failure}`;
    const recent = this.#recent.get(key);
    if (recent !== undefined) {
      recent.silent++;
      recent.last = failure;
      return;
    }
    this.#line("a plugin failed", failure);
    this.#watch(key, { silent: 0, last: failure });
  }

  #watch(key: string, recent: Recent): void {
    this.#recent.set(key, recent);
    setTimeout(() => {
      const { silent, last } = recent;
      if (silent === 0) {
        this.#recent.delete(key);
        return;
      }
      this.#line("a plugin failed again and again; this is the last time", last, { times: silent });
      this.#watch(key, { silent: 0, last });
    }, QUIET_MS).unref();
  }

  #line(message: string, failure: GuestFailure, more: Record<string, unknown> = {}): void {
    const { workspace, plugin, phase, failure: kind, fail, requestId, message: reason } = failure;
    this.#write(message, { workspace, plugin, phase, kind, fail, request_id: requestId, reason, ...more });
  }
}
