/**
 * Requests that plugins make, sent by a data thread.
 *
 * Every connection goes through the egress connector with the policy of the plugin's workspace, and connections
 * that are kept are kept for one plugin of one workspace: another's policy or credentials never meet them.
 * Redirects are followed here, step by step, each held against the grant again and connected by the same door. An
 * answer is read up to a bound and within a time, whatever the server says of its length; it is not decoded.
 */
import type { Socket } from "node:net";
import type { FetchAnswer, FetchRequest } from "@gatehouse/sdk";
import type { Agent, buildConnector, Dispatcher } from "undici";
import type { Egress } from "../egress/egress.ts";
import type { EgressPolicy, Purpose } from "../egress/policy.ts";
import { HostCallError } from "../sandbox/calls/host-call-error.ts";
import { Shares } from "../tenancy/shares.ts";
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
  /** Requests of one workspace that a data thread has under way, and of all. */
  readonly perWorkspace: number;
  readonly total: number;
  /** Bytes of answers that a data thread holds for one workspace, and for all. */
  readonly heldPerWorkspace: number;
  readonly heldTotal: number;
  /** Connections of one workspace that a data thread has open, those included that are kept, and of all. */
  readonly connectionsPerWorkspace: number;
  readonly connectionsTotal: number;
}

export const CALLOUT_LIMITS: CalloutLimits = {
  totalMs: 5000,
  connectMs: 2000,
  answerBytes: 1024 * 1024,
  answerHeaderBytes: 32 * 1024,
  redirects: 3,
  perWorkspace: 32,
  total: 256,
  heldPerWorkspace: 16 * 1024 * 1024,
  heldTotal: 64 * 1024 * 1024,
  connectionsPerWorkspace: 64,
  connectionsTotal: 512,
};

/** Answers 1xx to one request. */
const MAX_INFORMATIONS = 32;
/**
 * Pieces in which an answer may come, and bytes for each one more. A server that sends a byte at a time costs the thread
 * as much for it as for a whole read.
 */
const FREE_PIECES = 1000;
const PIECE_BYTES = 16;
const FIRST_ROOM = 16_384;

const KEEP_ALIVE_MS = 10_000;
const CONNECTIONS_PER_ORIGIN = 16;
/** Plugins whose connections are kept; the one that was quiet for longest loses its own. */
const MAX_AGENTS = 256;
const REDIRECTS = [301, 302, 303, 307, 308];
/** Of a redirect's body. */
const UNREAD_BYTES = 16_384;
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
  readonly #open: Shares;
  readonly #held: Shares;
  readonly #connections: Shares;

  /** `ca` are the authorities that upstreams are verified against; null for the runtime's own. */
  constructor(egress: Egress, ca: readonly string[] | null, limits: CalloutLimits = CALLOUT_LIMITS) {
    this.#egress = egress;
    this.#ca = ca;
    this.#limits = limits;
    this.#open = new Shares(limits.total, limits.perWorkspace);
    this.#held = new Shares(limits.heldTotal, limits.heldPerWorkspace);
    this.#connections = new Shares(limits.connectionsTotal, limits.connectionsPerWorkspace);
  }

  /**
   * `ended` aborts it: whoever asked does not wait any more.
   * @throws {HostCallError} by rejection, in words that the plugin may read.
   */
  async fetch(caller: Caller, request: FetchRequest, ended?: AbortSignal): Promise<FetchAnswer> {
    const { perWorkspace, totalMs } = this.#limits;
    const { workspace } = caller;
    let callout = readCallout(request, caller.hosts);
    if (!this.#open.take(workspace, 1)) {
      const many =
        this.#open.of(workspace) >= perWorkspace ? `${perWorkspace} requests of the workspace` : "too many";
      throw new HostCallError(`fetch: ${many} are under way`);
    }
    const late = AbortSignal.timeout(totalMs);
    const signal = ended === undefined ? late : AbortSignal.any([late, ended]);
    const read = { bytes: 0 };
    try {
      for (let steps = 0; ; steps++) {
        const answer = await this.#send(caller, callout, signal, read);
        const location = locationOf(answer);
        if (location === undefined) return answer;
        if (steps === this.#limits.redirects)
          throw new HostCallError(`fetch: more than ${this.#limits.redirects} redirects`);
        callout = redirected(callout, answer.status, location, caller.hosts);
      }
    } catch (error) {
      const reason =
        error instanceof HostCallError
          ? error.message
          : this.#reason(error, callout, ended?.aborted ?? false, signal);
      throw new HostCallError(reason, read.bytes);
    } finally {
      this.#open.give(workspace, 1);
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
    read: { bytes: number },
  ): Promise<FetchAnswer> {
    const agent = await this.#agent(caller);
    const tooMany = new AbortController();
    let informations = 0;
    const answer = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: method as Dispatcher.HttpMethod,
      headers: headers.flat(),
      body,
      signal: AbortSignal.any([signal, tooMany.signal]),
      responseHeaders: "raw",
      onInfo: () => {
        if (++informations > MAX_INFORMATIONS)
          tooMany.abort(new HostCallError(`fetch: ${url.host} does not come to an answer`));
      },
    });
    const status = answer.statusCode;
    const fields = pairs(answer.headers as unknown as (string | Buffer)[]);
    if (locationOf({ status, headers: fields }) !== undefined) {
      // Nobody looks at what such an answer says; a short one is read so that its connection can be kept.
      await answer.body.dump({ limit: UNREAD_BYTES, signal }).catch(() => {});
      return { status, headers: fields, body: new Uint8Array(0) };
    }
    const pieces = answer.body as AsyncIterable<Buffer> & { destroy(): void };
    return { status, headers: fields, body: await this.#body(caller.workspace, pieces, read) };
  }

  /** In memory of its own: pieces would keep whole reads alive, and each piece cost more than its bytes. */
  async #body(
    workspace: string,
    body: AsyncIterable<Buffer> & { destroy(): void },
    read: { bytes: number },
  ): Promise<Buffer> {
    const { answerBytes } = this.#limits;
    let held = 0;
    let room = Buffer.alloc(0);
    let bytes = 0;
    let pieces = 0;
    try {
      for await (const piece of body) {
        const end = bytes + piece.length;
        read.bytes += piece.length;
        if (end > answerBytes) throw new HostCallError(`fetch: an answer of more than ${answerBytes} bytes`);
        if (++pieces > FREE_PIECES + end / PIECE_BYTES)
          throw new HostCallError("fetch: an answer in too many small pieces");
        if (end > room.length) {
          const more = Math.min(answerBytes, Math.max(end, 2 * room.length, FIRST_ROOM)) - room.length;
          if (!this.#held.take(workspace, more))
            throw new HostCallError("fetch: answers to the workspace take too much memory");
          held += more;
          room = Buffer.concat([room.subarray(0, bytes)], held);
        }
        piece.copy(room, bytes);
        bytes = end;
      }
      return room.subarray(0, bytes);
    } catch (error) {
      body.destroy();
      throw error;
    } finally {
      if (held > 0) this.#held.give(workspace, held);
    }
  }

  async #agent({ workspace, plugin, purpose }: Caller): Promise<Agent> {
    // Before the agent is looked for: two that come at once would make one each, and one of them would never be closed.
    const { Agent } = await import("undici");
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
      const connect = this.#egress.connector(workspace, purpose, `plugin '${plugin}'`, {
        timeoutMs: connectMs,
        ca: this.#ca,
      });
      const agent = new Agent({
        connect: this.#counted(workspace, connect),
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

  /** The same connector, with its connections counted. */
  #counted(workspace: string, connect: buildConnector.connector): buildConnector.connector {
    return (options, callback) => {
      // Connections that are kept make room; those in use are as many as requests under way.
      if (!this.#connections.take(workspace, 1)) {
        const own = this.#connections.of(workspace) >= this.#limits.connectionsPerWorkspace;
        this.#dropKept(own ? workspace : this.#connections.largest());
        this.#connections.add(workspace, 1);
      }
      connect(options, (...[error, socket]: [Error, null] | [null, Socket]) => {
        if (error !== null) {
          this.#connections.give(workspace, 1);
          return callback(error, null);
        }
        socket.once("close", () => this.#connections.give(workspace, 1));
        callback(null, socket);
      });
    };
  }

  #dropKept(workspace: string | null): void {
    for (const [key, { agent, policy }] of this.#agents) {
      if (policy.workspace !== workspace) continue;
      this.#agents.delete(key);
      void agent.close();
    }
  }

  #dropOldest(): void {
    const [oldest] = this.#agents;
    if (oldest === undefined) return;
    this.#agents.delete(oldest[0]);
    void oldest[1].agent.close();
  }

  /** In words that tell nothing of the gateway's network: not even what a name resolves to. */
  #reason(error: unknown, { url }: Callout, ended: boolean, signal: AbortSignal): string {
    if (ended) return "fetch: the call that it was sent in has ended";
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

/** Where an answer leads; undefined if it is one to give to the plugin. */
function locationOf({ status, headers }: Pick<FetchAnswer, "status" | "headers">): string | undefined {
  if (!REDIRECTS.includes(status)) return undefined;
  return headers.find(([name]) => name.toLowerCase() === "location")?.[1];
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
