/**
 * A data thread's way to guests: makes SDK hooks out of configured guests, and turns a call of such a hook
 * into a crossing.
 *
 * What can go wrong ends here. Every call gets exactly one end: its verdict, checked and applied; or a
 * failure, which rejects (`fail: closed`) or is counted and passed over (`fail: open`). When a cordon dies,
 * calls that had not begun go to its successor.
 *
 * Hot: one promise for each call, no timer for each call, one write for each tick. A single sweep every ten
 * milliseconds keeps the deadlines of all calls. the guest cases of `bench/cases.ts` watch it.
 */
import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import {
  type Consumer,
  type Context,
  type HookResult,
  type Hooks,
  type Host,
  type MaybePromise,
  type Phase,
  whenReady,
} from "@gatehouse/sdk";
import type { Failure, Turn, Verdict } from "./engine.ts";
import { BodyTooLong, requestHeaderGrant, responseHeaderGrant, withinGrant } from "./grants.ts";
import { type Call, Guest, GuestFailure, type GuestSettings } from "./guest.ts";
import { consumerIn, executeHostCall } from "./host-calls.ts";
import { charge, chargeFailure, Ledger, type LedgerRow } from "./ledger.ts";
import { CordonLink } from "./link.ts";
import { Lobby } from "./lobby.ts";
import { Activity, type Blame, type ClientPort, type ToThread } from "./messages.ts";
import { applyVerdict, checkVerdict, reserveVars, Violation } from "./verdict.ts";

export { GuestFailure, type GuestSettings } from "./guest.ts";

/** Calls that one cordon has at a time; the rest is queued here, where they survive its death. */
const MAX_IN_FLIGHT = 32;
const MAX_QUEUED = 1024;
/** How long a call waits for a cordon before it fails as `unavailable`. */
const MAX_QUEUED_MS = 5000;
const MAX_ATTEMPTS = 3;
const SWEEP_MS = 10;
/** A call with host calls may take this many times `limits.wallMs`, its waits included. */
const WAITING_FACTOR = 10;

export interface SandboxClientOptions {
  readonly port: ClientPort;
  /** Finds an artifact's bytes by the digest in a guest's settings (`sha256:` and 64 hexadecimal digits). */
  readonly artifact: (digest: string) => Uint8Array;
  /** Told of every failure of a guest, also of those that `fail: open` passes over. */
  readonly onFailure?: (failure: GuestFailure) => void;
}

/** The calls of one workspace to one engine. */
interface Lane {
  readonly key: string;
  readonly engine: Guest["engine"];
  readonly workspace: string;
  link: CordonLink | null;
  readonly queue: Call[];
  asked: boolean;
}

export class SandboxClient {
  readonly #options: SandboxClientOptions;
  readonly #ledger = new Ledger();
  readonly #lanes = new Map<string, Lane>();
  readonly #links = new Map<number, CordonLink>();
  readonly #guests = new WeakMap<Hooks, Guest>();
  readonly #suspended = new Map<string, number>();
  /** What a cordon was assigned to before its socket was here. */
  readonly #assigned = new Map<number, { slot: number; key: string }>();
  readonly #lobby = new Lobby((cordon, socket, rest) => this.#admit(cordon, socket, rest));
  #activity: Activity | null = null;
  #openCalls = 0;
  #sweeper: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(options: SandboxClientOptions) {
    this.#options = options;
    options.port.onMessage((message) => this.#on(message));
  }

  /** Opens this thread's socket for cordons and tells the supervisor its name. */
  async listen(): Promise<void> {
    const name = await this.#lobby.listen();
    this.#options.port.post({ type: "listening", name });
  }

  /** Closes every socket. Open calls fail as `unavailable`. */
  close(): void {
    this.#closed = true;
    this.#lobby.close();
    for (const lane of this.#lanes.values())
      for (const call of lane.queue.splice(0)) this.#fail(call, "unavailable", "the gateway shuts down");
    for (const link of this.#links.values()) {
      for (const call of [...link.open.values()]) this.#fail(call, "unavailable", "the gateway shuts down");
      link.close();
    }
    if (this.#sweeper !== null) clearInterval(this.#sweeper);
  }

  ledger(): LedgerRow[] {
    return this.#ledger.rows();
  }

  /** Hooks for the phases that the guest's manifest names. `host` executes its host calls. */
  hooks(settings: GuestSettings, host: Host): Hooks {
    const { grants } = settings;
    const sight = {
      grants,
      requestHeaders: requestHeaderGrant(grants),
      responseHeaders: responseHeaderGrant(grants),
    };
    const guest = new Guest(settings, sight, host, this.#ledger.row(settings.workspace, settings.name));
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
            return this.#failNow(
              guest,
              ctx,
              phase,
              "violation",
              "body_filter without response_body_bytes",
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
    for (const link of this.#links.values()) link.release(guest);
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
          return this.#failNow(guest, ctx, "access", "violation", error.message, undefined);
        }
      });
  }

  /** A call that fails without having been made. */
  #failNow<T>(
    guest: Guest,
    ctx: Context,
    phase: Phase,
    failure: Failure,
    message: string,
    skipped: T,
  ): MaybePromise<T> {
    guest.row.calls++;
    chargeFailure(guest.row, failure);
    const error = new GuestFailure(failure, guest, phase, ctx.request.id, message);
    this.#options.onFailure?.(error);
    if (guest.settings.fail === "open") return skipped;
    return Promise.reject(error);
  }

  #call(
    guest: Guest,
    ctx: Context,
    phase: Phase,
    body: Uint8Array | null,
    chunk: { data: Uint8Array; last: boolean } | null,
  ): MaybePromise<unknown> {
    const { workspace, name } = guest.settings;
    if (this.#suspended.size > 0 && this.#isSuspended(workspace, name))
      return this.#failNow(guest, ctx, phase, "suspended", "it keeps killing its cordon", chunk?.data);
    const lane = this.#lane(guest);
    if (lane.queue.length >= MAX_QUEUED || this.#closed)
      return this.#failNow(guest, ctx, phase, "unavailable", `${MAX_QUEUED} calls are waiting`, chunk?.data);
    guest.row.calls++;
    guest.openCalls++;
    if (this.#openCalls++ === 0) this.#startSweeping();
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
        began: false,
        hostCalls: 0,
        pending: new Map(),
        found: null,
        ended: false,
      };
      const { link } = lane;
      if (link !== null && link.open.size < MAX_IN_FLIGHT && lane.queue.length === 0) this.#send(link, call);
      else {
        lane.queue.push(call);
        if (link === null) this.#ask(lane);
      }
    });
  }

  #lane(guest: Guest): Lane {
    const key = `${guest.engine}\n${guest.settings.workspace}`;
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = {
        key,
        engine: guest.engine,
        workspace: guest.settings.workspace,
        link: null,
        queue: [],
        asked: false,
      };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  #ask(lane: Lane): void {
    if (lane.asked) return;
    lane.asked = true;
    this.#options.port.post({ type: "acquire", engine: lane.engine, workspace: lane.workspace });
  }

  #send(link: CordonLink, call: Call): void {
    try {
      link.send(call, this.#artifact, performance.now(), Date.now());
      this.#activity?.begin(link.slot);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.#fail(call, error instanceof BodyTooLong ? "violation" : "load", message);
    }
  }

  /** An artifact runs only if its bytes are those that its digest names. */
  readonly #artifact = (digest: string): Uint8Array => {
    const bytes = this.#options.artifact(digest);
    if (`sha256:${createHash("sha256").update(bytes).digest("hex")}` !== digest)
      throw new Error(`the stored artifact is not the one that ${digest} names`);
    return bytes;
  };

  // ---- turns ----------------------------------------------------------------------------------------------

  #onTurn(link: CordonLink, call: Call, turn: Turn, closed: boolean): void {
    if (closed) this.#activity?.end(link.slot);
    const { guest } = call;
    charge(guest.row, turn.usage, turn.hostCalls.length);
    if (!call.ended) {
      try {
        this.#hostCalls(link, call, turn);
        if (turn.kind === "verdict") this.#verdict(call, turn.verdict);
        else if (turn.kind === "failure") this.#fail(call, turn.failure, turn.message);
        // A host that answers at once leaves nothing pending.
        else if (call.pending.size === 0 && !turn.hostCalls.some(({ waits }) => waits))
          throw new Violation("it waits for nothing");
      } catch (error) {
        const known = error instanceof Violation;
        const message = error instanceof Error ? error.message : String(error);
        if (turn.kind === "waiting" && link.open.has(call.id)) {
          link.abandon(call);
          this.#activity?.end(link.slot);
        }
        this.#fail(call, known ? "violation" : "throw", message);
      }
    }
    this.#fill(link);
  }

  #hostCalls(link: CordonLink, call: Call, turn: Turn): void {
    const { guest } = call;
    call.hostCalls += turn.hostCalls.length;
    if (call.hostCalls > guest.config.limits.hostCalls)
      throw new Violation(`more than ${guest.config.limits.hostCalls} host calls`);
    for (const host of turn.hostCalls) {
      const answer = executeHostCall(host, guest.grants, guest.host);
      if (!host.waits || turn.kind !== "waiting") {
        if (answer instanceof Promise) answer.catch(() => {});
        continue;
      }
      if (call.pending.has(host.seq)) throw new Violation("two host calls with one number");
      call.pending.set(host.seq, host.method);
      if (answer instanceof Promise)
        answer.then(
          (value) => this.#answer(link, call, host.seq, { value: value ?? null }),
          () => this.#answer(link, call, host.seq, { error: `${host.method} failed` }),
        );
      else this.#answer(link, call, host.seq, { value: answer ?? null });
    }
  }

  #answer(link: CordonLink, call: Call, seq: number, result: { value: unknown } | { error: string }): void {
    const method = call.pending.get(seq);
    if (method === undefined || call.ended || link.broken) return;
    call.pending.delete(seq);
    if ("value" in result) {
      const consumer = consumerIn(method, result.value);
      if (consumer !== null) {
        call.found ??= [];
        call.found.push(consumer);
      }
    }
    link.reply(call, seq, result, performance.now());
  }

  #verdict(call: Call, verdict: Verdict): void {
    const { guest, ctx, phase } = call;
    checkVerdict(verdict, phase, guest, guest.config.limits);
    reserveVars(verdict.vars, ctx);
    const { authenticated } = verdict;
    if (authenticated === undefined) {
      const reply = applyVerdict(verdict, ctx);
      this.#end(call);
      call.resolve(phase === "body_filter" ? verdict.chunk : reply);
      return;
    }
    const finish = (consumer: Consumer | null) => {
      if (call.ended) return;
      if (authenticated.consumer !== null && consumer === null)
        throw new Violation("authenticate() with a consumer that does not exist");
      ctx.authenticate(consumer, authenticated.credential === null ? null : { id: authenticated.credential });
      const reply = applyVerdict(verdict, ctx);
      this.#end(call);
      call.resolve(reply);
    };
    const { consumer: id } = authenticated;
    const known = id === null ? null : (call.found?.find((one) => one.id === id) ?? undefined);
    if (known !== undefined) return finish(known);
    const answer = whenReady(guest.host.findConsumer(id as string), finish);
    if (answer instanceof Promise)
      answer.catch((error: Error) => this.#fail(call, "violation", error.message));
  }

  #end(call: Call): void {
    call.ended = true;
    const { guest } = call;
    guest.row.wallMs += performance.now() - call.askedAt;
    guest.openCalls--;
    this.#openCalls--;
    if (guest.released && guest.openCalls === 0) this.#forget(guest);
  }

  #fail(call: Call, failure: Failure, message: string): void {
    if (call.ended) return;
    this.#end(call);
    const { guest } = call;
    chargeFailure(guest.row, failure);
    const error = new GuestFailure(failure, guest, call.phase, call.ctx.request.id, message);
    this.#options.onFailure?.(error);
    if (guest.settings.fail === "open") call.resolve(call.chunk?.data);
    else call.reject(error);
  }

  #fill(link: CordonLink): void {
    if (link.key === null || link.retired || link.broken) return;
    const queue = this.#lanes.get(link.key)?.queue;
    if (queue === undefined) return;
    while (queue.length > 0 && link.open.size < MAX_IN_FLIGHT) this.#send(link, queue.shift() as Call);
  }

  // ---- deadlines ------------------------------------------------------------------------------------------

  #startSweeping(): void {
    if (this.#sweeper !== null) return;
    this.#sweeper = setInterval(() => {
      if (this.#openCalls === 0 && this.#sweeper !== null) {
        clearInterval(this.#sweeper);
        this.#sweeper = null;
      } else this.#sweep();
    }, SWEEP_MS);
  }

  #sweep(): void {
    const now = performance.now();
    for (const link of this.#links.values()) {
      if (!link.condemned && link.isOverdue(now)) {
        this.#judge(link);
        continue;
      }
      for (const call of link.open.values()) {
        if (call.pending.size === 0 || link.order.includes(call)) continue;
        const limit = call.guest.config.limits.wallMs * WAITING_FACTOR;
        if (now - call.sentAt <= limit) continue;
        link.abandon(call);
        this.#activity?.end(link.slot);
        this.#fail(call, "deadline", `the call took more than ${limit} ms, its host calls included`);
      }
    }
    for (const lane of this.#lanes.values()) {
      while (lane.queue[0] !== undefined && now - lane.queue[0].askedAt > MAX_QUEUED_MS)
        this.#fail(lane.queue.shift() as Call, "unavailable", "no cordon was free in time");
    }
  }

  /**
   * The running call seems overdue. If this thread itself was held up, its turn may lie unread in the socket:
   * what is there is read first, and the call is condemned only if no turn was among it.
   */
  #judge(link: CordonLink): void {
    const { turns } = link;
    setImmediate(() => {
      const [head] = link.order;
      if (head === undefined || link.turns !== turns || link.condemned || link.broken) return;
      const { wallMs } = head.guest.config.limits;
      this.#condemn(link, "deadline", `the call ran for more than ${wallMs} ms`);
    });
  }

  /** Asks for a cordon's death on account of the call that runs in it. */
  #condemn(link: CordonLink, failure: Failure, message: string): void {
    link.condemned = true;
    const [head] = link.order;
    this.#options.port.post({
      type: "kill",
      cordon: link.id,
      failure,
      message,
      blame: head === undefined ? null : blameOf(head),
    });
    this.#detach(link);
  }

  // ---- cordons --------------------------------------------------------------------------------------------

  #detach(link: CordonLink): void {
    if (link.key === null) return;
    const lane = this.#lanes.get(link.key);
    if (lane?.link === link) lane.link = null;
  }

  #on(message: ToThread): void {
    switch (message.type) {
      case "welcome":
        this.#activity = new Activity(message.activity);
        return;
      case "expect":
        this.#lobby.expect(message.cordon, message.token);
        return;
      case "assigned": {
        const key = `${message.engine}\n${message.workspace}`;
        const lane = this.#lanes.get(key);
        if (lane !== undefined) lane.asked = false;
        this.#assigned.set(message.cordon, { slot: message.slot, key });
        const link = this.#links.get(message.cordon);
        if (link !== undefined) this.#attach(link);
        return;
      }
      case "retired": {
        const link = this.#links.get(message.cordon);
        if (link !== undefined) {
          link.retired = true;
          this.#detach(link);
          this.#reask(link.key);
        }
        return;
      }
      case "gone":
        this.#gone(message.cordon, message.failure, message.message, message.blame);
        return;
      case "refused": {
        const lane = this.#lanes.get(`${message.engine}\n${message.workspace}`);
        if (lane === undefined) return;
        lane.asked = false;
        for (const call of lane.queue.splice(0)) this.#fail(call, "unavailable", message.message);
        return;
      }
      case "suspended":
        this.#suspended.set(`${message.blame.workspace}\n${message.blame.plugin}`, message.untilMs);
        return;
    }
  }

  #isSuspended(workspace: string, plugin: string): boolean {
    const key = `${workspace}\n${plugin}`;
    const until = this.#suspended.get(key);
    if (until === undefined) return false;
    if (Date.now() < until) return true;
    this.#suspended.delete(key);
    return false;
  }

  #admit(cordon: number, socket: Socket, rest: Buffer): void {
    const link = new CordonLink(cordon, socket, {
      onReady: (ready) => {
        this.#options.port.post({ type: "ready", cordon });
        this.#attach(ready);
      },
      onTurn: (turned, call, turn, closed) => this.#onTurn(turned, call, turn, closed),
      onNonsense: (broken, message) => this.#condemn(broken, "violation", `the cordon sent ${message}`),
      onClose: (closed) => this.#detach(closed),
    });
    this.#links.set(cordon, link);
    if (rest.length > 0) link.push(rest);
    socket.resume();
  }

  /** Puts a link to use once it is connected, ready and assigned. */
  #attach(link: CordonLink): void {
    const assigned = this.#assigned.get(link.id);
    if (assigned === undefined || !link.ready || link.retired || link.broken || link.condemned) return;
    link.slot = assigned.slot;
    link.key = assigned.key;
    const lane = this.#lanes.get(assigned.key);
    if (lane === undefined) {
      const [engine, workspace] = assigned.key.split("\n") as [Guest["engine"], string];
      this.#lanes.set(assigned.key, { key: assigned.key, engine, workspace, link, queue: [], asked: false });
      return;
    }
    lane.link = link;
    this.#fill(link);
  }

  #reask(key: string | null): void {
    const lane = key === null ? undefined : this.#lanes.get(key);
    if (lane !== undefined && lane.link === null && lane.queue.length > 0) {
      lane.asked = false;
      this.#ask(lane);
    }
  }

  /**
   * A cordon is dead. The call that ran in it fails, unless another thread's call is to blame; what had not
   * begun is sent to the successor.
   */
  #gone(cordon: number, failure: Failure | null, message: string, blame: Blame | null): void {
    const link = this.#links.get(cordon);
    const key = link?.key ?? this.#assigned.get(cordon)?.key ?? null;
    this.#assigned.delete(cordon);
    this.#lobby.forget(cordon);
    if (link === undefined) {
      this.#reask(key);
      return;
    }
    this.#links.delete(cordon);
    link.broken = true;
    link.close();
    this.#detach(link);
    const lane = key === null ? undefined : this.#lanes.get(key);
    const othersFault = blame !== null && !link.condemned;
    const [head] = link.order;
    const again: Call[] = [];
    for (const call of link.open.values()) {
      const ran = call.began || (call === head && link.headSince > 0 && !othersFault && failure !== null);
      if (!ran && call.attempts < MAX_ATTEMPTS && lane !== undefined && !this.#closed) again.push(call);
      else if (call === head && failure !== null && !othersFault) {
        if (blame === null)
          this.#options.port.post({ type: "suspect", cordon, failure, blame: blameOf(call) });
        this.#fail(call, failure, message);
      } else this.#fail(call, failure === null ? "unavailable" : "crashed", `its cordon is gone: ${message}`);
    }
    if (lane !== undefined) lane.queue.unshift(...again);
    this.#reask(key);
  }
}

function blameOf(call: Call): Blame {
  return { workspace: call.guest.settings.workspace, plugin: call.guest.settings.name };
}
