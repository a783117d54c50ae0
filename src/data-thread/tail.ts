/**
 * A data thread's part of tails: while somebody reads along, it gathers what the watched plugins did for each request,
 * and posts that once the request is over. While nobody does, requests and calls pay for one comparison.
 */
import type { Context, Phase } from "@gatehouse/sdk";
import { LogBudget } from "../observe/log-budget.ts";
import type { Exchange } from "../pipeline/exchange.ts";
import type { GuestSettings } from "../sandbox/calls/guest.ts";
import type { CallEnding, CallWitness, Witness } from "../sandbox/calls/witness.ts";
import type { HostCall, Usage } from "../sandbox/protocol/engine.ts";
import {
  TAIL_LEVELS,
  type TailCall,
  type TailEvent,
  type TailLine,
  type TailRequest,
  type TailWatch,
} from "../tail/events.ts";

/** Requests of one workspace that a thread tells of in a second, in the long run; what goes beyond is a number. */
const BUDGET = { perSecond: 200, burst: 400, intervalMs: 1000 };
const BATCH = 64;
const DELAY_MS = 25;
/** Of one request and plugin. */
const MAX_CALLS = 16;
const MAX_LINES = 50;
const MAX_LINE_CHARACTERS = 1024;
const MAX_PATH_CHARACTERS = 1024;

type End = Pick<TailRequest, "route" | "method" | "path" | "status" | "total_ms">;

export class Tail {
  readonly #post: (events: readonly TailEvent[]) => void;
  readonly #watch: (witness: Witness | null) => void;
  readonly #budget = new LogBudget(BUDGET, (requests, fields) =>
    this.#tell({ kind: "dropped", workspace: String(fields.workspace), requests }),
  );
  /** Plugins by workspace; null for all of them. Null while nobody watches. */
  #watched: Map<string, Set<string> | null> | null = null;
  #requests = new WeakMap<Context, Map<string, Traced>>();
  #events: TailEvent[] = [];
  #timer: NodeJS.Timeout | null = null;

  /** @param watch has calls of guests watched. */
  constructor(post: (events: readonly TailEvent[]) => void, watch: (witness: Witness | null) => void) {
    this.#post = post;
    this.#watch = watch;
  }

  /** What is watched from now on, in place of what was. */
  replace(watches: readonly TailWatch[]): void {
    if (watches.length === 0) {
      this.#watched = null;
      this.#requests = new WeakMap();
      this.#watch(null);
      return;
    }
    const watched = new Map<string, Set<string> | null>();
    for (const { workspace, plugin } of watches) {
      const plugins = watched.get(workspace);
      if (plugin === null || plugins === null) watched.set(workspace, null);
      else if (plugins === undefined) watched.set(workspace, new Set([plugin]));
      else plugins.add(plugin);
    }
    this.#watched = watched;
    this.#watch((guest, ctx, phase) => this.#witness(guest, ctx, phase));
  }

  /** A request is over. Hot: once for each request. */
  finished(x: Exchange): void {
    if (this.#watched === null) return;
    const traced = this.#requests.get(x);
    if (traced === undefined) return;
    const { request, response, measures, route } = x;
    const end: End = {
      route: route === null ? null : (route.name ?? route.id),
      method: request.method,
      path: request.path.slice(0, MAX_PATH_CHARACTERS),
      status: response.status,
      total_ms: measures.totalMs,
    };
    for (const each of traced.values()) each.finish(end);
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#events.length === 0) return;
    this.#post(this.#events);
    this.#events = [];
  }

  #witness(guest: GuestSettings, ctx: Context, phase: Phase): CallWitness | null {
    const plugins = this.#watched?.get(guest.workspace);
    if (plugins === undefined || (plugins !== null && !plugins.has(guest.name))) return null;
    let traced = this.#requests.get(ctx);
    if (traced === undefined) {
      traced = new Map();
      this.#requests.set(ctx, traced);
    }
    const key = `${guest.name}@${guest.version}`;
    let one = traced.get(key);
    if (one === undefined) {
      one = new Traced(guest, ctx, (event) => {
        const { workspace } = guest;
        if (this.#budget.admits(workspace, { workspace })) this.#tell(event);
      });
      traced.set(key, one);
    }
    return one.begin(phase);
  }

  #tell(event: TailEvent): void {
    this.#events.push(event);
    if (this.#events.length >= BATCH) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), DELAY_MS);
  }
}

/** What one plugin did for one request. */
class Traced {
  readonly #guest: GuestSettings;
  readonly #request: Context["request"];
  readonly #done: (event: TailRequest) => void;
  readonly #calls: Writable<TailCall>[] = [];
  readonly #logs: TailLine[] = [];
  #leftOut = 0;
  /** Calls that have not ended: those of `log` are made when the request is over. */
  #open = 0;
  #end: End | null = null;

  constructor(guest: GuestSettings, { request }: Context, done: (event: TailRequest) => void) {
    this.#guest = guest;
    this.#request = request;
    this.#done = done;
  }

  begin(phase: Phase): CallWitness {
    this.#open++;
    const call = this.#call(phase);
    return {
      turn: (usage, hostCalls) => {
        charge(call, usage, hostCalls.length);
        for (const hostCall of hostCalls) if (hostCall.method === "log") this.#log(phase, hostCall);
      },
      end: (ending) => {
        settle(call, ending);
        this.#open--;
        this.#finishIfOver();
      },
    };
  }

  finish(end: End): void {
    this.#end = end;
    this.#finishIfOver();
  }

  #finishIfOver(): void {
    const end = this.#end;
    if (end === null || this.#open > 0) return;
    const { id: request_id, startedAt } = this.#request;
    const { workspace, name: plugin, version } = this.#guest;
    const at = new Date(startedAt).toISOString();
    const more = { calls: this.#calls, logs: this.#logs, logs_left_out: this.#leftOut };
    this.#done({ kind: "request", at, request_id, workspace, plugin, version, ...end, ...more });
  }

  /** Where a call is counted: one line for all chunks of a body. */
  #call(phase: Phase): Writable<TailCall> {
    const last = this.#calls.at(-1);
    if (last !== undefined && (last.phase === phase || this.#calls.length >= MAX_CALLS)) {
      last.calls++;
      return last;
    }
    const made: Writable<TailCall> = {
      phase,
      outcome: "continue",
      calls: 1,
      wall_ms: 0,
      cpu_ms: 0,
      fuel: 0,
      memory_bytes: 0,
      host_calls: 0,
      reply_status: null,
      failure: null,
      message: null,
    };
    this.#calls.push(made);
    return made;
  }

  /** A line that the plugin may log. Its arguments are the guest's and not checked yet. */
  #log(phase: Phase, { args }: HostCall): void {
    const level = TAIL_LEVELS.find((one) => one === args[0]);
    const [, message] = args;
    if (!this.#guest.grants.log || level === undefined || typeof message !== "string") return;
    if (this.#logs.length >= MAX_LINES) this.#leftOut++;
    else this.#logs.push({ level, phase, message: message.slice(0, MAX_LINE_CHARACTERS) });
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function charge(call: Writable<TailCall>, { cpuMicros, fuel, memoryBytes }: Usage, hostCalls: number): void {
  call.cpu_ms += cpuMicros / 1000;
  call.fuel += fuel;
  call.memory_bytes = Math.max(call.memory_bytes, memoryBytes);
  call.host_calls += hostCalls;
}

function settle(call: Writable<TailCall>, { wallMs, reply, failed }: CallEnding): void {
  call.wall_ms = Math.round((call.wall_ms + wallMs) * 1000) / 1000;
  if (reply !== null) {
    call.outcome = "reply";
    call.reply_status = reply;
  }
  if (failed === null) return;
  call.outcome = "failed";
  call.failure = failed.failure;
  call.message = failed.message.slice(0, MAX_LINE_CHARACTERS);
}
