/**
 * What a data thread does with a turn of a guest: charges it, executes its host calls, and checks and applies
 * its verdict. Hot: the guest cases of `bench/cases.ts` watch it.
 */
import { type Consumer, whenReady } from "@gatehouse/sdk";
import { charge } from "../ledger.ts";
import type { Turn, Verdict } from "../protocol/engine.ts";
import type { CallEnds } from "./call-ends.ts";
import { type Call, isPending } from "./guest.ts";
import { consumerIn, costOf, costOfUnused, executeHostCall, HostCallTally, reasonFor } from "./host-calls.ts";
import type { CordonLink } from "./link.ts";
import { applyVerdict, checkVerdict, reserveVars, Violation } from "./verdict.ts";

export class Turns {
  readonly #ends: CallEnds;

  constructor(ends: CallEnds) {
    this.#ends = ends;
  }

  take(link: CordonLink, call: Call, turn: Turn): void {
    charge(call.guest.row, turn.usage, turn.hostCalls.length);
    if (call.ended) return;
    call.seen?.turn(turn.usage, turn.hostCalls);
    try {
      this.#hostCalls(link, call, turn);
      if (turn.kind === "verdict") this.#verdict(call, turn.verdict);
      else if (turn.kind === "failure") this.#ends.fail(call, turn.failure, turn.message);
      // A host that answers at once leaves nothing pending, and other answers may be on their way to the guest.
      else if (!isPending(call) && !turn.hostCalls.some(({ waits }) => waits) && !link.order.includes(call))
        throw new Violation("it waits for nothing");
    } catch (error) {
      const known = error instanceof Violation;
      const message = error instanceof Error ? error.message : String(error);
      if (turn.kind === "waiting" && link.open.has(call.id)) link.abandon(call);
      this.#ends.fail(call, known ? "violation" : "throw", message);
    }
  }

  #hostCalls(link: CordonLink, call: Call, turn: Turn): void {
    const { guest } = call;
    call.hostCalls += turn.hostCalls.length;
    if (call.hostCalls > guest.config.limits.hostCalls)
      throw new Violation(`more than ${guest.config.limits.hostCalls} host calls`);
    let us = 0;
    for (const host of turn.hostCalls) us += costOf(host);
    if (us > 0) link.work(us);
    for (const host of turn.hostCalls) {
      call.tally ??= new HostCallTally();
      const answer = executeHostCall(host, guest.grants, guest.host, call.tally);
      if (answer instanceof Promise) {
        const charge = (outcome: unknown) => this.#chargeUnused(link, call, host.seq, outcome);
        answer.then(charge, charge);
      }
      if (!host.waits || turn.kind !== "waiting") continue;
      call.pending ??= new Map();
      if (call.pending.has(host.seq)) throw new Violation("two host calls with one number");
      call.pending.set(host.seq, host.method);
      if (answer instanceof Promise)
        answer.then(
          (value) => this.#answer(link, call, host.seq, { value: value ?? null }),
          (error) => this.#answer(link, call, host.seq, { error: reasonFor(host.method, error) }),
        );
      else this.#answer(link, call, host.seq, { value: answer ?? null });
    }
  }

  /** What an outcome has cost this thread that does not cross: what does pays for that. */
  #chargeUnused(link: CordonLink, call: Call, seq: number, outcome: unknown): void {
    const isAwaited = !call.ended && call.pending?.has(seq) === true;
    if (link.broken || (isAwaited && !(outcome instanceof Error))) return;
    const us = costOfUnused(outcome);
    if (us > 0) link.work(us);
  }

  #answer(link: CordonLink, call: Call, seq: number, result: { value: unknown } | { error: string }): void {
    const method = call.pending?.get(seq);
    if (method === undefined || call.ended || link.broken) return;
    call.pending?.delete(seq);
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
      const reply = applyVerdict(verdict, ctx, guest);
      this.#ends.end(call, reply?.status);
      call.resolve(phase === "body_filter" ? verdict.chunk : reply);
      return;
    }
    const finish = (consumer: Consumer | null) => {
      if (call.ended) return;
      if (authenticated.consumer !== null && consumer === null)
        throw new Violation("authenticate() with a consumer that does not exist");
      ctx.authenticate(consumer, authenticated.credential === null ? null : { id: authenticated.credential });
      const reply = applyVerdict(verdict, ctx, guest);
      this.#ends.end(call, reply?.status);
      call.resolve(reply);
    };
    const { consumer: id } = authenticated;
    const known = id === null ? null : (call.found?.find((one) => one.id === id) ?? undefined);
    if (known !== undefined) return finish(known);
    const answer = whenReady(guest.host.findConsumer(id as string), finish);
    if (answer instanceof Promise)
      answer.catch((error: Error) => this.#ends.fail(call, "violation", error.message));
  }
}
