/**
 * Requests that plugins make, sent by a data thread.
 *
 * Every connection goes through the egress connector with the policy of the plugin's workspace, and connections
 * that are kept are kept for one plugin of one workspace: another's policy or credentials never meet them.
 * Redirects are followed here, step by step, each held against the grant again and connected by the same door. An
 * answer is read up to a bound and within a time, whatever the server says of its length; it is not decoded.
 */
import type { FetchAnswer, FetchRequest } from "@gatehouse/sdk";
import type { Agent, Dispatcher } from "undici";
import type { Egress } from "../egress/egress.ts";
import type { EgressPolicy, Purpose } from "../egress/policy.ts";
import { HostCallError } from "../sandbox/host-call-error.ts";
import { type Callout, readCallout, redirected } from "./callout-request.ts";

/** Who sends. */
export interface Caller {
  readonly workspace: string;
  readonly plugin: string;
  readonly purpose: Purpose;
  /** Hosts that it may call, `host` or `host:port`; null for all that the policy allows. */
  readonly hosts: readonly string[] | null;
}

export interface CalloutLimits {
  /** From the request to the last byte of the answer, redirects included. */
  readonly totalMs: number;
  readonly connectMs: number;
  readonly answerBytes: number;
  readonly answerHeaderBytes: number;
  readonly redirects: number;
  /** Requests of one workspace that a data thread has under way. */
  readonly perWorkspace: number;
}

export const CALLOUT_LIMITS: CalloutLimits = {
  totalMs: 5000,
  connectMs: 2000,
  answerBytes: 1024 * 1024,
  answerHeaderBytes: 32 * 1024,
  redirects: 3,
  perWorkspace: 32,
};

const KEEP_ALIVE_MS = 10_000;
const CONNECTIONS_PER_ORIGIN = 16;
/** Plugins whose connections are kept; the one that was quiet for longest loses its own. */
const MAX_AGENTS = 256;
const REDIRECTS = [301, 302, 303, 307, 308];
/** What belongs to the connection and not to the answer. */
const HOP_BY_HOP = /^(?:connection|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$/;

interface KeptAgent {
  readonly agent: Agent;
  readonly policy: EgressPolicy;
}

export class Callouts {
  readonly #egress: Egress;
  readonly #ca: readonly string[] | null;
  readonly #limits: CalloutLimits;
  /** By workspace and plugin; the one used last is last. */
  readonly #agents = new Map<string, KeptAgent>();
  readonly #open = new Map<string, number>();

  /** `ca` are the authorities that upstreams are verified against; null for the runtime's own. */
  constructor(egress: Egress, ca: readonly string[] | null, limits: CalloutLimits = CALLOUT_LIMITS) {
    this.#egress = egress;
    this.#ca = ca;
    this.#limits = limits;
  }

  /** @throws {HostCallError} by rejection, in words that the plugin may read. */
  async fetch(caller: Caller, request: FetchRequest): Promise<FetchAnswer> {
    const { perWorkspace, totalMs } = this.#limits;
    const { workspace } = caller;
    let callout = readCallout(request, caller.hosts);
    const open = this.#open.get(workspace) ?? 0;
    if (open >= perWorkspace)
      throw new HostCallError(`fetch: ${perWorkspace} requests of the workspace are under way`);
    this.#open.set(workspace, open + 1);
    const signal = AbortSignal.timeout(totalMs);
    try {
      for (let steps = 0; ; steps++) {
        const answer = await this.#send(caller, callout, signal);
        const location = REDIRECTS.includes(answer.status)
          ? answer.headers.find(([name]) => name.toLowerCase() === "location")?.[1]
          : undefined;
        if (location === undefined) return answer;
        if (steps === this.#limits.redirects)
          throw new HostCallError(`fetch: more than ${this.#limits.redirects} redirects`);
        callout = redirected(callout, answer.status, location, caller.hosts);
      }
    } catch (error) {
      throw error instanceof HostCallError ? error : new HostCallError(this.#reason(error, callout, signal));
    } finally {
      const left = (this.#open.get(workspace) ?? 1) - 1;
      if (left === 0) this.#open.delete(workspace);
      else this.#open.set(workspace, left);
    }
  }

  close(): void {
    for (const { agent } of this.#agents.values()) void agent.destroy();
    this.#agents.clear();
  }

  async #send(
    caller: Caller,
    { url, method, headers, body }: Callout,
    signal: AbortSignal,
  ): Promise<FetchAnswer> {
    const agent = await this.#agent(caller);
    const answer = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: method as Dispatcher.HttpMethod,
      headers: headers.flat(),
      body,
      signal,
      responseHeaders: "raw",
    });
    const { answerBytes } = this.#limits;
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > answerBytes) {
        answer.body.destroy();
        throw new HostCallError(`fetch: an answer of more than ${answerBytes} bytes`);
      }
      chunks.push(chunk);
    }
    return {
      status: answer.statusCode,
      headers: pairs(answer.headers as unknown as (string | Buffer)[]),
      body: Buffer.concat(chunks),
    };
  }

  async #agent({ workspace, plugin, purpose }: Caller): Promise<Agent> {
    const key = JSON.stringify([workspace, plugin, purpose]);
    const policy = this.#egress.policies.named(workspace, purpose);
    let kept = this.#agents.get(key);
    if (kept !== undefined) {
      this.#agents.delete(key);
      // Its connections were allowed by a policy that is not in force any more.
      if (kept.policy !== policy) {
        void kept.agent.close();
        kept = undefined;
      }
    }
    if (kept === undefined) {
      const { connectMs, answerHeaderBytes, totalMs } = this.#limits;
      const { Agent } = await import("undici");
      const connect = this.#egress.connector(workspace, purpose, `plugin '${plugin}'`, {
        timeoutMs: connectMs,
        ca: this.#ca,
      });
      const agent = new Agent({
        connect,
        connections: CONNECTIONS_PER_ORIGIN,
        pipelining: 1,
        allowH2: false,
        keepAliveTimeout: KEEP_ALIVE_MS,
        keepAliveMaxTimeout: KEEP_ALIVE_MS,
        maxHeaderSize: answerHeaderBytes,
        headersTimeout: totalMs,
        bodyTimeout: totalMs,
      });
      kept = { agent, policy };
    }
    this.#agents.set(key, kept);
    if (this.#agents.size > MAX_AGENTS) this.#dropOldest();
    return kept.agent;
  }

  #dropOldest(): void {
    const [oldest] = this.#agents;
    if (oldest === undefined) return;
    this.#agents.delete(oldest[0]);
    void oldest[1].agent.close();
  }

  /** In words that tell nothing of the gateway's network: not even what a name resolves to. */
  #reason(error: unknown, { url }: Callout, signal: AbortSignal): string {
    if (signal.aborted) return `fetch: no whole answer from ${url.host} within ${this.#limits.totalMs} ms`;
    const { code, name } = error as { code?: unknown; name?: unknown };
    if (code === "egress_refused") return `fetch: the gateway's egress policy does not allow ${url.host}`;
    if (code === "UND_ERR_HEADERS_OVERFLOW")
      return `fetch: ${url.host} answered with more than ${this.#limits.answerHeaderBytes} bytes of headers`;
    if (name === "HTTPParserError" || code === "UND_ERR_RES_CONTENT_LENGTH_MISMATCH")
      return `fetch: ${url.host} did not answer in HTTP`;
    return `fetch: ${url.host} could not be reached`;
  }
}

function pairs(raw: readonly (string | Buffer)[]): (readonly [string, string])[] {
  const list: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name, value] = [raw[i], raw[i + 1]].map((part) =>
      typeof part === "string" ? part : (part as Buffer).toString("latin1"),
    ) as [string, string];
    if (!HOP_BY_HOP.test(name.toLowerCase())) list.push([name, value]);
  }
  return list;
}
