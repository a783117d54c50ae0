/**
 * `testPlugin`: one request through a plugin, phase by phase as the gateway would call it, and what came of it.
 *
 * The same test runs natively, where a debugger reaches the plugin, and in the sandbox, where its manifest's grants and
 * limits are in force: `gatehouse plugin test` does both.
 */
import type { Consumer, Hooks, MaybePromise, Phase, PluginDefinition } from "../plugin.ts";
import type { Reply } from "../reply.ts";
import type { ConfigOf, Field } from "../schema.ts";
import { validate } from "../validate.ts";
import { type Surroundings, TestContext, type TestRequest, type TestResponse } from "./context.ts";
import { type HostParts, type LoggedLine, type Measured, TestHost } from "./host.ts";
import { TestMessage } from "./message.ts";
import {
  type CallCost,
  pluginDirectory,
  type SandboxedPlugin,
  sandboxDoor,
  wantedRuntime,
} from "./sandbox.ts";

/** What is tested: a definition, or the directory of a plugin that has no native form. */
export type PluginUnderTest = PluginDefinition | URL | string;

export interface PluginOptions<Config = unknown> extends HostParts {
  /** As a plugin entity would have it; the schema's defaults are filled in. */
  readonly config?: Config;
  /** Holds plugin.yaml, for the sandbox. Default: the one that `gatehouse plugin test` was given. */
  readonly directory?: URL | string;
}

export interface RequestOptions extends Surroundings {
  /** What the service answers; 200 without a body where it is left out. */
  readonly response?: TestResponse;
}

export class TestedRequest extends TestMessage {
  readonly method: string;
  readonly path: string;
  readonly query: string;

  constructor({ request }: TestContext) {
    super(request.headers.entries(), request.body);
    this.method = request.method;
    this.path = request.upstreamPath ?? request.path;
    this.query = request.query;
  }
}

export class TestedResponse extends TestMessage {
  readonly status: number;
  /** The service, or the plugin's own reply (`exit`). */
  readonly source: "service" | "exit" | "error";

  constructor({ response }: TestContext) {
    super(response.headers.entries(), response.body);
    this.status = response.status;
    this.source = response.source;
  }
}

/** What came of one request. */
export interface Verdict {
  readonly runtime: "native" | "sandbox";
  /** What goes to the service; null if the plugin answered before. */
  readonly request: TestedRequest | null;
  /** What the client gets. */
  readonly response: TestedResponse;
  /** Whether the plugin answered by itself. */
  readonly replied: boolean;
  /** Whoever is known in the end. */
  readonly consumer: Consumer | null;
  readonly vars: Readonly<Record<string, unknown>>;
  readonly logs: readonly LoggedLine[];
  readonly metrics: readonly Measured[];
  /** Requests that the plugin made. */
  readonly fetched: TestHost["fetched"];
  readonly calls: readonly CallCost[];
}

/** A hook did not do its work: it threw, or in the sandbox passed a limit or did what no grant allows. */
export class PluginFailure extends Error {
  override readonly name = "PluginFailure";
  readonly phase: Phase;
  /** One word: `throw`, `violation`, `timeout`, `fuel`, `memory`, ... */
  readonly failure: string;

  constructor(plugin: string, phase: Phase, cause: unknown) {
    const { failure, reason } = (cause ?? {}) as { failure?: unknown; reason?: unknown };
    const kind = typeof failure === "string" ? failure : "throw";
    const message =
      typeof reason === "string" ? reason : cause instanceof Error ? cause.message : String(cause);
    super(`plugin '${plugin}', phase ${phase} (${kind}): ${message}`, { cause });
    this.phase = phase;
    this.failure = kind;
  }
}

/** An instance of a plugin, for tests of what it keeps from one request to another. */
export interface OpenPlugin extends Disposable {
  readonly runtime: "native" | "sandbox";
  /** @throws {PluginFailure} */
  test(request?: TestRequest, options?: RequestOptions): Promise<Verdict>;
  close(): void;
}

/**
 * One request through a new instance of the plugin.
 * @throws {PluginFailure} @throws {TypeError} naming every field of the config that its schema refuses.
 */
export async function testPlugin<S extends Field>(
  plugin: PluginDefinition<S> | URL | string,
  request: TestRequest = {},
  options: PluginOptions<Partial<ConfigOf<S>>> & RequestOptions = {},
): Promise<Verdict> {
  const open = await openPlugin(plugin, options);
  try {
    return await open.test(request, options);
  } finally {
    open.close();
  }
}

/** An instance that serves one request after the other. The caller closes it. */
export async function openPlugin<S extends Field>(
  plugin: PluginDefinition<S> | URL | string,
  options: PluginOptions<Partial<ConfigOf<S>>> = {},
): Promise<OpenPlugin> {
  const host = new TestHost(options);
  if (typeof plugin !== "string" && !(plugin instanceof URL) && wantedRuntime() === "native") {
    const config = checkedConfig(plugin.schema, options.config ?? {});
    return new Instance("native", plugin.name, plugin.create(config, host), host, null);
  }
  const given = options.directory ?? (typeof plugin === "string" || plugin instanceof URL ? plugin : null);
  const directory = given === null ? pluginDirectory() : pathOf(given);
  const openInSandbox = await sandboxDoor();
  const sandboxed = await openInSandbox(directory, options.config ?? null, host);
  if (typeof plugin === "object" && "name" in plugin && plugin.name !== sandboxed.name) {
    sandboxed.close();
    throw new Error(
      `${directory} holds the plugin '${sandboxed.name}', and what is tested is '${plugin.name}'`,
    );
  }
  return new Instance("sandbox", sandboxed.name, sandboxed.hooks, host, sandboxed);
}

function pathOf(place: URL | string): string {
  return typeof place === "string" ? place : decodeURIComponent(place.pathname);
}

function checkedConfig<S extends Field>(schema: S, given: unknown): ConfigOf<S> {
  const { value, violations } = validate(schema, given);
  if (violations.length === 0) return value as ConfigOf<S>;
  throw new TypeError(
    violations.map(({ path, message }) => `config.${path.join(".")}: ${message}`).join("\n"),
  );
}

const CHUNK_BYTES = 64 * 1024;
const EMPTY = new Uint8Array();

class Instance implements OpenPlugin {
  readonly runtime: "native" | "sandbox";
  readonly #name: string;
  readonly #hooks: Hooks;
  readonly #host: TestHost;
  readonly #sandboxed: SandboxedPlugin | null;

  constructor(
    runtime: "native" | "sandbox",
    name: string,
    hooks: Hooks,
    host: TestHost,
    sandboxed: SandboxedPlugin | null,
  ) {
    this.runtime = runtime;
    this.#name = name;
    this.#hooks = hooks;
    this.#host = host;
    this.#sandboxed = sandboxed;
  }

  async test(request: TestRequest = {}, options: RequestOptions = {}): Promise<Verdict> {
    const ctx = new TestContext(request, options);
    const { logs, metrics, fetched } = this.#host;
    const before = { logs: logs.length, metrics: metrics.length, fetched: fetched.length };
    const calls = new Calls(this.#name);
    const sent = await this.#run(ctx, options.response ?? {}, calls);
    return {
      runtime: this.runtime,
      request: sent,
      response: new TestedResponse(ctx),
      replied: ctx.response.source === "exit",
      consumer: ctx.consumer,
      vars: ctx.vars,
      logs: logs.slice(before.logs),
      metrics: metrics.slice(before.metrics),
      fetched: fetched.slice(before.fetched),
      calls: this.#sandboxed?.costs(ctx) ?? calls.native,
    };
  }

  close(): void {
    this.#sandboxed?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Every phase in its order. Returns what went to the service. */
  async #run(ctx: TestContext, answer: TestResponse, calls: Calls): Promise<TestedRequest | null> {
    const { rewrite, access, response, headerFilter, bodyFilter, log } = this.#hooks;
    let sent: TestedRequest | null = null;
    const reply: Reply | undefined | void =
      (rewrite && (await calls.run("rewrite", () => rewrite(ctx)))) ||
      (access && (await calls.run("access", () => access(ctx))));
    if (reply) ctx.reply(reply);
    else {
      sent = new TestedRequest(ctx);
      ctx.answer(answer);
      const other = response && (await calls.run("response", () => response(ctx)));
      if (other) ctx.reply(other);
    }
    if (headerFilter) await calls.run("header_filter", () => headerFilter(ctx));
    if (bodyFilter) {
      const body = ctx.response.body ?? EMPTY;
      // Outside of `response` nobody sees it whole.
      ctx.response.body = null;
      const parts: Uint8Array[] = [];
      for (let at = 0; at < body.length; at += CHUNK_BYTES) {
        const chunk = body.subarray(at, at + CHUNK_BYTES);
        parts.push((await calls.run("body_filter", () => bodyFilter(ctx, chunk, false))) ?? chunk);
      }
      parts.push((await calls.run("body_filter", () => bodyFilter(ctx, EMPTY, true))) ?? EMPTY);
      ctx.response.body = joined(parts);
    }
    if (log) await calls.run("log", () => log(ctx));
    return sent;
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Calls hooks and takes their time. */
class Calls {
  readonly native: CallCost[] = [];
  readonly #plugin: string;

  constructor(plugin: string) {
    this.#plugin = plugin;
  }

  async run<T>(phase: Phase, hook: () => MaybePromise<T>): Promise<T> {
    const began = performance.now();
    try {
      return await hook();
    } catch (error) {
      throw new PluginFailure(this.#plugin, phase, error);
    } finally {
      const wallMs = performance.now() - began;
      this.native.push({ phase, wallMs, cpuMs: null, fuel: null, memoryBytes: null, hostCalls: null });
    }
  }
}
