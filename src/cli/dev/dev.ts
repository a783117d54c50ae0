/**
 * `gatehouse plugin dev`: a gateway with one plugin and an echo upstream. Each save is built, published as a version of its
 * own and put in force, by the same way that a version takes in production; what requests cost is read from the tail.
 *
 * A version that cannot be built or is refused changes nothing: the last good one goes on.
 */
import { mkdtemp } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { TailEvent } from "../../tail/events.ts";
import { Unreachable } from "../admin-api.ts";
import { buildPlugin } from "../build-plugin.ts";
import { reasonsOf } from "../plugin-report.ts";
import { readConfig } from "../recorded-tests.ts";
import { DevGateway } from "./dev-gateway.ts";
import { type Echo, startEcho } from "./echo.ts";
import { WarmCompiler } from "./warm-compiler.ts";
import { watchSaves } from "./watch.ts";

export type DevEvent =
  | { readonly kind: "ready"; readonly proxy: string; readonly admin: string; readonly upstream: string }
  /** A version is in force. `ms` is from the save until then. */
  | { readonly kind: "loaded"; readonly plugin: string; readonly version: string; readonly ms: number }
  /** A version is not in force; the one before goes on, if there was one. */
  | { readonly kind: "failed"; readonly reasons: readonly string[]; readonly ms: number }
  | TailEvent;

export interface DevOptions {
  /** Of the proxy; null for 8000, or any if that is taken. */
  readonly port: number | null;
  /** In place of the echo upstream. */
  readonly upstream: string | null;
  /** Ends it. */
  readonly signal: AbortSignal;
  readonly tell: (event: DevEvent) => void;
}

/** Resolves when it was told to end. @throws {Unreachable} if the gateway does not come up, or ends. */
export async function develop(directory: string, options: DevOptions): Promise<void> {
  const dir = resolve(directory);
  await using held = new AsyncDisposableStack();
  const echo = await startEcho();
  held.defer(() => echo.close());
  const gateway = await DevGateway.start(options.port);
  held.defer(() => gateway.stop());
  // Goes with the gateway's own files.
  const cache = await mkdtemp(join(gateway.prefix, "build-"));
  await new Session(dir, directory, cache, gateway, echo, options).run();
}

class Session {
  readonly #dir: string;
  readonly #shown: string;
  readonly #cache: string;
  readonly #gateway: DevGateway;
  readonly #upstream: string;
  readonly #options: DevOptions;
  readonly #made = new Set<string>();
  /** Counts builds: each is a version. */
  #builds = 0;
  #current: { readonly name: string; readonly version: string } | null = null;
  #tailing = "";
  #endTail = new AbortController();
  readonly #compiler = new WarmCompiler();
  /** When the save came that waits while another is built; null if none does. */
  #waiting: number | null = null;
  #building = false;

  constructor(
    dir: string,
    shown: string,
    cache: string,
    gateway: DevGateway,
    echo: Echo,
    options: DevOptions,
  ) {
    this.#dir = dir;
    this.#shown = shown;
    this.#cache = cache;
    this.#gateway = gateway;
    this.#upstream = options.upstream ?? `http://127.0.0.1:${echo.port}`;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { signal, tell } = this.#options;
    const { proxy, admin } = this.#gateway;
    tell({ kind: "ready", proxy, admin, upstream: this.#upstream });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
    void this.#gateway.ended.then((code) =>
      reject(new Unreachable(`the gateway has ended with code ${code}`)),
    );
    const build = (savedAt: number) => void this.#build(savedAt).catch(reject);
    build(performance.now());
    const unwatch = watchSaves(this.#dir, this.#made, build);
    try {
      await promise;
    } finally {
      unwatch();
      this.#endTail.abort();
      this.#compiler.close();
    }
  }

  /** One build after the other; of the saves that come meanwhile the last one counts. */
  async #build(savedAt: number): Promise<void> {
    if (this.#building) {
      this.#waiting ??= savedAt;
      return;
    }
    this.#building = true;
    for (let next: number | null = savedAt; next !== null; next = this.#waiting) {
      this.#waiting = null;
      await this.#load(next);
    }
    this.#building = false;
  }

  async #load(savedAt: number): Promise<void> {
    const { tell } = this.#options;
    const since = () => Math.round(performance.now() - savedAt);
    try {
      const suffix = `dev.${++this.#builds}`;
      const config = await readConfig(this.#dir);
      const { bytes, manifest } = await buildPlugin(this.#shown, {
        cache: this.#cache,
        compile: this.#compiler.compile,
        version: (written) => `${written}${written.includes("-") ? "." : "-"}${suffix}`,
      });
      const { name, version, entry } = manifest;
      this.#made.add(entry);
      await this.#gateway.publish(bytes);
      await this.#gateway.configure(this.#configuration(`${name}@${version}`, config));
      const before = this.#current;
      this.#current = { name, version };
      await this.#tail(name);
      tell({ kind: "loaded", plugin: name, version, ms: since() });
      if (before !== null) await this.#gateway.forget(`${before.name}@${before.version}`);
    } catch (error) {
      const reasons = reasonsOf(error);
      if (reasons === null) throw error;
      tell({ kind: "failed", reasons, ms: since() });
    }
  }

  #configuration(plugin: string, config: object | null): object {
    const routes = [{ name: "dev", paths: ["/"] }];
    const plugins = [{ name: plugin, ...(config === null ? {} : { config }) }];
    return {
      _format_version: "3.0",
      services: [{ name: "upstream", url: this.#upstream, routes, plugins }],
    };
  }

  /** What the plugin does is told from now on; resolves once nothing is missed. */
  async #tail(plugin: string): Promise<void> {
    if (this.#tailing === plugin) return;
    this.#tailing = plugin;
    this.#endTail.abort();
    const end = new AbortController();
    this.#endTail = end;
    const { promise, resolve } = Promise.withResolvers<void>();
    const read = async () => {
      // The gateway ends a stream now and then.
      while (!end.signal.aborted)
        for await (const line of this.#gateway.api.lines(`plugin-tail?plugin=${plugin}`, end.signal)) {
          const event = JSON.parse(line) as TailEvent | { readonly kind: "watching" };
          if (event.kind === "watching") resolve();
          else this.#options.tell(event);
        }
    };
    // The gateway's end is told where it is waited for.
    read()
      .catch(() => {})
      .finally(resolve);
    await promise;
  }
}
