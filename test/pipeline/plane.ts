/** The pipeline of one data thread between real sockets, with plugins that a test writes. */

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Consumer, Hooks } from "@gatehouse/sdk";
import { planeSettings } from "../../src/data-thread/plane-settings.ts";
import { loadDeclarative } from "../../src/declarative/declarative.ts";
import { wholeChange } from "../../src/entities/change.ts";
import { createCatalogue } from "../../src/gateway/catalogue.ts";
import { Deadlines } from "../../src/http1/deadlines.ts";
import { acceptPlain } from "../../src/http1/plain-wire.ts";
import { ServerConnection } from "../../src/http1/server-connection.ts";
import { BodyStore, SpillBudget } from "../../src/pipeline/body-store.ts";
import { Trust } from "../../src/pipeline/client-address.ts";
import { type DataPlane, RequestIds } from "../../src/pipeline/data-plane.ts";
import { requestHandler } from "../../src/pipeline/handle.ts";
import { HostOwners } from "../../src/pipeline/host-owners.ts";
import { atOnce } from "../../src/pipeline/slices.ts";
import { Snapshot } from "../../src/pipeline/snapshot.ts";
import { loadSettings } from "../../src/settings.ts";
import { Balancer } from "../../src/upstream/balancer.ts";
import { Pool } from "../../src/upstream/pool.ts";
import { Resolver } from "../../src/upstream/resolver.ts";

/** Hooks by route; a route may have several plugins, here in the order of their priorities. */
export type Plugins = Readonly<Record<string, readonly Hooks[]>>;

export class Plane implements AsyncDisposable {
  readonly errors: string[] = [];
  readonly statuses: number[] = [];
  readonly server: Server;
  #plane!: DataPlane;
  readonly #directory = mkdtempSync(join(tmpdir(), "gatehouse-plane-"));
  readonly #spilled = SpillBudget.memory(1);

  /** One that listens. */
  static async serving(
    origin: { readonly url: string },
    plugins: Plugins,
    flags: Record<string, string> = {},
  ): Promise<Plane> {
    const plane = new Plane(origin, plugins, flags);
    plane.server.listen(0, "127.0.0.1");
    await once(plane.server, "listening");
    return plane;
  }

  constructor(origin: { readonly url: string }, plugins: Plugins, flags: Record<string, string> = {}) {
    const { settings } = loadSettings({ flags, env: {} });
    if (settings === undefined) throw new Error("the default settings are refused");
    const deadlines = new Deadlines();
    const routes = Object.keys(plugins).map((name) => ({
      name,
      paths: [`/${name}`],
      strip_path: false,
      // Stand-ins in a real configuration; the snapshot is told which hooks are behind them.
      plugins: (plugins[name] as readonly Hooks[]).map((_, i) => ({
        name: STAND_INS[i],
        config: CONFIGS[i],
      })),
    }));
    const document = { _format_version: "3.0", services: [{ name: "s", url: origin.url, routes }] };
    const consumers = [{ username: "alice", plugins: [{ name: STAND_INS[2], config: CONFIGS[2] }] }];
    const loaded = loadDeclarative(JSON.stringify({ ...document, consumers }), {
      plugins: createCatalogue(null as never),
    });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
    const { config } = loaded;
    const planeParts = planeSettings(settings);
    const pool = new Pool(
      { limits: planeParts.limits, size: 64, maxRequests: 1000, idleTimeoutMs: 1000 },
      deadlines,
    );
    const resolver = new Resolver({ servers: null, hostsFile: "/etc/hosts" });
    const nameOf = new Map(config.routes.map(({ id, name }) => [id, name as string]));
    const snapshot = atOnce(
      Snapshot.empty.next(wholeChange(config), {
        instantiate: (plugin) => {
          const at = STAND_INS.indexOf(plugin.name);
          const hooks =
            plugin.consumer !== null ? FOR_ALICE : plugins[nameOf.get(plugin.route?.id ?? "") ?? ""]?.[at];
          return { priority: 1000 - at, hooks: hooks ?? {}, dispose() {} };
        },
        balancer: (service) =>
          new Balancer(
            [{ host: service.host, port: service.port, weight: 1 }],
            resolver,
            80,
            (address, { port }) => pool.origin({ address, port, tls: null }),
          ),
      }),
    );
    this.#plane = {
      snapshot,
      settings: planeParts,
      deadlines,
      requestIds: new RequestIds(),
      trust: new Trust(settings),
      bodies: new BodyStore({
        directory: this.#directory,
        bufferBytes: settings.bodyBufferMemoryBytes,
        memoryBytes: settings.bodyBufferThreadBytes,
        budget: new SpillBudget(this.#spilled, 0, settings.bodyBufferDiskBytes),
      }),
      owners: HostOwners.none,
      quotas: null,
      onFinished: (x) => this.statuses.push(x.response.status),
      onError: (_x, error) => this.errors.push(error.message),
      onCut: (_connection, _code, detail) => this.errors.push(detail),
    };
    const handler = requestHandler(this.#plane, () => {});
    this.server = createServer();
    this.server.on("listening", () =>
      acceptPlain(
        this.server,
        (wire) => void new ServerConnection(wire, handler, deadlines, planeParts.limits),
      ),
    );
    this.close = async () => {
      this.server.close();
      pool.close();
      rmSync(this.#directory, { recursive: true });
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Bytes of bodies that the store has in memory now, those aside that hooks look at. */
  get heldBytes(): number {
    return this.#plane.bodies.held;
  }

  /** Bytes of bodies that the store has on disk now. */
  get spilledBytes(): number {
    return Atomics.load(new Int32Array(this.#spilled), 0) * 1024;
  }

  readonly close: () => Promise<void>;

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }
}

const STAND_INS: readonly string[] = ["correlation-id", "cors", "prometheus"];
const CONFIGS: readonly object[] = [{}, {}, {}];
export const ALICE: Consumer = { id: "", username: "alice", custom_id: null };
const FOR_ALICE: Hooks = {
  access: (ctx) => void ctx.request.headers.set("X-For", "alice"),
  headerFilter: (ctx) => ctx.response.headers.set("X-For", "alice"),
};
