/**
 * What is written to a client, on the connection that its requests come on (server-connection.ts): whatever the system
 * does not take at once waits for the client no longer than its patience says.
 */
import { Patience, type Waiter } from "./patience.ts";
import type { ServerLimits } from "./request-handler.ts";
import type { Wire } from "./wire.ts";
import { writePiece, writeWithHead } from "./write.ts";

export abstract class AnswerSide implements Waiter {
  readonly wire: Wire;
  readonly limits: ServerLimits;
  readonly patience: Patience;
  closed = false;
  #onTaken: (() => void) | null = null;

  constructor(wire: Wire, limits: ServerLimits) {
    this.wire = wire;
    this.limits = limits;
    this.patience = new Patience(wire, limits, this, Math.min(limits.headTimeoutMs, limits.idleTimeoutMs));
  }

  abstract onLate(): void;
  abstract onBodyTooSlow(): void;
  abstract onReaderTooSlow(): void;

  /** Writes text that is latin1 already. */
  writeText(text: string): boolean {
    return this.#guard(this.wire.writeText(text));
  }

  /**
   * Writes a piece of body after `head`, which may be empty; the piece is the caller's again after the call. Returns
   * false if the client must drain first.
   */
  writePiece(head: string, piece: Buffer, chunked: boolean): boolean {
    return this.#guard(writePiece(this.wire, head, piece, chunked));
  }

  /** Writes a head and a whole body, which the connection keeps. */
  writeWhole(head: string, body: Buffer): boolean {
    return this.#guard(writeWithHead(this.wire, head, body));
  }

  #guard(flows: boolean): boolean {
    if (!flows && !this.closed) this.patience.awaitReader();
    return flows;
  }

  /** Whether what was written has not been taken yet. */
  get blocked(): boolean {
    return this.wire.blocked;
  }

  /** Calls once everything that was written is taken, or dropped with the connection. While it is blocked. */
  whenTaken(callback: () => void): void {
    this.#onTaken = callback;
  }

  protected taken(): void {
    const callback = this.#onTaken;
    this.#onTaken = null;
    callback?.();
  }
}
