/**
 * What runs in an isolate before any guest does: takes away what a guest could use to pass its limits, and
 * turns calls of the cordon into calls of the guest's hooks.
 *
 * Runs in a bare V8 context, not in Node. It is compiled to one script whose value is `runtime` below; the
 * guest sees none of its names. Everything a guest may do, reading a property of what it returned or threw
 * included, happens inside a call of `invoke`, `resume`, `collect` or `configure`, because only those run
 * under the isolate's timer. Nothing but strings leaves, so the host never evaluates a guest's object.
 *
 * `harden` freezes the intrinsics before the guest is loaded. Therefore the code here may use their methods
 * after guest code has run, and what one call does to a prototype cannot reach the next one.
 */
import type { Hooks, PluginDefinition } from "@gatehouse/sdk";
import { readCallText } from "../protocol/call-text.ts";
import { CallRecord, type Limits, tellFailure, tellVerdict, tellWaiting } from "./guest-call.ts";
import { GuestContext, readResult } from "./guest-context.ts";
import { GuestHost } from "./guest-host.ts";
import { harden, setClock } from "./harden.ts";

const HOOK_NAMES = {
  rewrite: "rewrite",
  access: "access",
  response: "response",
  header_filter: "headerFilter",
  body_filter: "bodyFilter",
  log: "log",
} as const;

let hooks: Hooks = {};
let limits: Limits = { outputBytes: 0, headerCount: 0, headerBytes: 0, hostCalls: 0 };
let host: GuestHost | null = null;
const open = new Map<number, CallRecord>();

/** Calls the guest's `create`. Returns what is wrong, or an empty string. */
function configure(namespace: { default?: unknown }, settings: string): string {
  try {
    const { config, pluginId, limits: given, now } = JSON.parse(settings);
    limits = given;
    setClock(now);
    const definition = namespace.default as PluginDefinition | undefined;
    if (typeof definition?.create !== "function")
      return "the module's default export is not a plugin: export default definePlugin({...})";
    // Only a plugin that is tried at its upload may be without: there is no config to give it.
    if (config === undefined) return "";
    host = new GuestHost(pluginId);
    const made: unknown = definition.create(config as never, host);
    if (typeof made !== "object" || made === null) return "create() returned no hooks";
    hooks = made as Hooks;
    return "";
  } catch (error) {
    return describe(error) || "create() threw";
  }
}

/** The phases of a list for which `create` returned no hook, which its author should hear of. */
function missing(phases: string): string {
  return (JSON.parse(phases) as (keyof typeof HOOK_NAMES)[])
    .filter((phase) => typeof hooks[HOOK_NAMES[phase]] !== "function")
    .map((phase) => HOOK_NAMES[phase])
    .join(", ");
}

/**
 * Runs a hook. `text` is the call as it came over the wire. Returns the turn, or an empty string if the hook
 * waits: then `collect` tells once microtasks ran.
 */
function invoke(id: number, text: string, random?: string): string {
  const record = new CallRecord(id, limits, host);
  open.set(id, record);
  try {
    const call = readCallText(text);
    enter(record, call.now, random);
    const hook = hooks[HOOK_NAMES[call.phase]];
    if (typeof hook !== "function") return finish(record, undefined);
    const ctx = new GuestContext(record, call);
    record.context = ctx;
    const result: unknown =
      call.phase === "body_filter"
        ? (hook as NonNullable<Hooks["bodyFilter"]>).call(hooks, ctx, ctx.chunk(), call.last)
        : (hook as NonNullable<Hooks["access"]>).call(hooks, ctx);
    if (
      typeof result === "object" &&
      result !== null &&
      typeof (result as { then?: unknown }).then === "function"
    ) {
      Promise.resolve(result as PromiseLike<unknown>).then(
        (value) => record.settle(value),
        (error) => record.fail(error),
      );
      return "";
    }
    return finish(record, result);
  } catch (error) {
    return failed(record, error);
  }
}

/** Gives a host call its answer: `{"value": ...}` or `{"error": "..."}`. `collect` tells what came of it. */
function resume(id: number, seq: number, answer: string, now: number, random?: string): void {
  const record = open.get(id);
  if (record === undefined) return;
  enter(record, now, random);
  record.answer(seq, JSON.parse(answer));
}

/** The turn of a call whose hook returned a promise. Empty if there is no such call. */
function collect(id: number): string {
  const record = open.get(id);
  if (record === undefined) return "";
  try {
    if (record.failure !== null) return failed(record, record.failure.error);
    if (record.settled !== null) return finish(record, record.settled.value);
    if (record.isWaiting()) return tellWaiting(record);
    open.delete(id);
    return tellFailure(record, "violation", "its promise can never settle: nothing is left to wait for");
  } catch (error) {
    return failed(record, error);
  }
}

function abandon(id: number): void {
  open.delete(id);
}

function enter(record: CallRecord, now: number, random: string | undefined): void {
  setClock(now);
  host?.enter(record, random);
}

function finish(record: CallRecord, result: unknown): string {
  open.delete(record.id);
  if (record.violation !== null) return tellFailure(record, "violation", record.violation);
  const { context } = record;
  if (context === null) return tellVerdict(record, {});
  const verdict = readResult(context, result);
  return typeof verdict === "string"
    ? tellFailure(record, "violation", verdict)
    : tellVerdict(record, verdict);
}

function failed(record: CallRecord, error: unknown): string {
  open.delete(record.id);
  return record.violation === null
    ? tellFailure(record, "throw", describe(error))
    : tellFailure(record, "violation", record.violation);
}

/** What was thrown, as bounded text. It may be anything: reading it may throw again. */
function describe(error: unknown): string {
  try {
    if (typeof error === "object" && error !== null) {
      const { name, message } = error as { name?: unknown; message?: unknown };
      const what = typeof message === "string" ? message.slice(0, 900) : "an object";
      return typeof name === "string" ? `${name.slice(0, 60)}: ${what}` : what;
    }
    return String(error).slice(0, 900);
  } catch {
    return "something that cannot be described";
  }
}

harden();

export default { configure, missing, invoke, resume, collect, abandon };
