/**
 * A data thread's way to guests: makes SDK hooks out of configured guests, and turns a call of such a hook
 * into a crossing.
 *
 * What can go wrong ends here. Every call gets exactly one end (`call-ends.ts`): its verdict, checked and
 * applied (`turns.ts`), or a failure. `lanes.ts` brings calls to cordons, and those that had not begun when
 * their cordon died to its successor; `deadlines.ts` ends what takes too long.
 *
 * Hot: one promise for each call, no timer for each call, one write for each tick. The guest cases of
 * `bench/cases.ts` watch it.
 */
import {
  type Context,
  type HookResult,
  type Hooks,
  type Host,
  type MaybePromise,
  type Phase,
  whenReady,
} from "@gatehouse/sdk";
import { Ledger, type LedgerRow } from "../ledger.ts";
import type { ClientPort } from "../protocol/messages.ts";
import { CallEnds } from "./call-ends.ts";
import { type CredentialNames, NO_CREDENTIALS } from "./credential-names.ts";
import { Deadlines } from "./deadlines.ts";
import { BodyTooLong, requestHeaderGrant, responseHeaderGrant, withinGrant } from "./grants.ts";
import { type Call, Guest, type GuestFailure, type GuestSettings } from "./guest.ts";
import { Lanes } from "./lanes.ts";
import { Turns } from "./turns.ts";
import type { Witness } from "./witness.ts";

export { GuestFailure, type GuestSettings } from "./guest.ts";

export interface SandboxClientOptions {
  readonly port: ClientPort;
  /** Finds an artifact's bytes by the digest in a guest's settings (`sha256:` and 64 hexadecimal digits). */
  readonly artifact: (digest: string) => Uint8Array;
  /** Told of every failure of a guest, also of those that `fail: open` passes over. */
  readonly onFailure?: (failure: GuestFailure) => void;
  /** What guests take for the time, milliseconds since the epoch. Default: the machine's clock. */
  readonly clock?: () => number;
}

export class SandboxClient {
  readonly #ledger = new Ledger();
  readonly #guests = new WeakMap<Hooks, Guest>();
  readonly #ends: CallEnds;
  readonly #lanes: Lanes;
  readonly #deadlines: Deadlines;

  constructor({ port, artifact, onFailure, clock = Date.now }: SandboxClientOptions) {
    this.#ends = new CallEnds({
      onFailure: (failure) => onFailure?.(failure),
      onFirst: () => this.#deadlines.start(),
      onUnused: (guest) => this.#forget(guest),
    });
    const turns = new Turns(this.#ends);
    this.#lanes = new Lanes({
      port,
      artifact,
      clock,
      ends: this.#ends,
      onTurn: (link, call, turn) => turns.take(link, call, turn),
    });
    this.#deadlines = new Deadlines(this.#ends, this.#lanes);
  }

  /** Opens this thread's socket for cordons and tells the supervisor its name. */
  listen(): Promise<void> {
    return this.#lanes.listen();
  }

  /** Closes every socket. Open calls fail as `unavailable`. */
  close(): void {
    this.#lanes.close();
    this.#deadlines.stop();
  }

  /** Has calls watched from now on, in place of whoever watched before; null for nobody. */
  watch(witness: Witness | null): void {
    this.#ends.witness = witness;
  }

  ledger(): LedgerRow[] {
    return this.#ledger.rows();
  }

  /** A workspace is no more. @returns how many rows its guests had. */
  forgetWorkspace(workspace: string): number {
    return this.#ledger.forget(workspace);
  }

  /**
   * Hooks for the phases that the guest's manifest names. `host` executes its host calls; `credentials` are the names
   * under which clients of the workspace send theirs.
   */
  hooks(settings: GuestSettings, host: Host, credentials: CredentialNames = NO_CREDENTIALS): Hooks {
    const { grants } = settings;
    const sight = {
      grants,
      requestHeaders: requestHeaderGrant(grants, credentials),
      responseHeaders: responseHeaderGrant(grants),
    };
    const row = this.#ledger.enter(settings.workspace, settings.name, settings.version);
    const guest = new Guest(settings, sight, host, row);
    const hooks: Hooks = {};
    const plain = (phase: Phase) => (ctx: Context) => this.#call(guest, ctx, phase, null, null);
    for (const phase of settings.phases) {
      if (phase === "rewrite") hooks.rewrite = plain(phase) as Hooks["rewrite"];
      else if (phase === "access") hooks.access = this.#accessHook(guest);
      else if (phase === "response") hooks.response = plain(phase) as Hooks["response"];
      else if (phase === "header_filter") hooks.headerFilter = plain(phase) as Hooks["headerFilter"];
      else if (phase === "log") hooks.log = plain(phase) as Hooks["log"];
      else
        hooks.bodyFilter = (ctx, data, last) => {
          if (grants.responseBodyBytes === 0)
            return this.#ends.refuse(
              guest,
              ctx,
              phase,
              { failure: "violation", message: "body_filter without response_body_bytes" },
              data,
            );
          return this.#call(guest, ctx, phase, null, { data, last }) as Promise<Uint8Array | void>;
        };
    }
    this.#guests.set(hooks, guest);
    return hooks;
  }

  /** Gives up what `hooks()` made; cordons forget the instance once its open calls have ended. */
  release(hooks: Hooks): void {
    const guest = this.#guests.get(hooks);
    if (guest === undefined) return;
    guest.released = true;
    if (guest.openCalls === 0) this.#forget(guest);
  }

  #forget(guest: Guest): void {
    this.#ledger.leave(guest.row);
    this.#lanes.forget(guest);
  }

  #accessHook(guest: Guest): NonNullable<Hooks["access"]> {
    const max = guest.grants.requestBodyBytes;
    if (max === 0) return (ctx) => this.#call(guest, ctx, "access", null, null) as HookResult;
    return (ctx) =>
      whenReady(ctx.request.readBody(), (body): HookResult => {
        try {
          const shown = body === null ? null : withinGrant(body, max, "request");
          return this.#call(guest, ctx, "access", shown, null) as HookResult;
        } catch (error) {
          if (!(error instanceof BodyTooLong)) throw error;
          const { message } = error;
          return this.#ends.refuse(guest, ctx, "access", { failure: "violation", message }, undefined);
        }
      });
  }

  #call(
    guest: Guest,
    ctx: Context,
    phase: Phase,
    body: Uint8Array | null,
    chunk: { data: Uint8Array; last: boolean } | null,
  ): MaybePromise<unknown> {
    const admission = this.#lanes.admission(guest);
    if (typeof admission === "object") return this.#ends.refuse(guest, ctx, phase, admission, chunk?.data);
    this.#ends.begin(guest);
    return new Promise((resolve, reject) => {
      const call: Call = {
        guest,
        ctx,
        phase,
        body,
        chunk,
        resolve,
        reject,
        askedAt: performance.now(),
        id: 0,
        attempts: 0,
        sentAt: 0,
        othersMs: 0,
        began: false,
        hostCalls: 0,
        tally: null,
        pending: null,
        found: null,
        ended: false,
        seen: this.#ends.seen(guest, ctx, phase),
      };
      this.#lanes.submit(call, admission);
    });
  }
}
