/** An Admin API on a real socket, over a real registry and the real declarative loader. */
import assert from "node:assert/strict";
import { request } from "node:http";
import { after } from "node:test";
import { integer, record, string } from "@gatehouse/sdk";
import pino from "pino";
import { AuditLog } from "../../src/access/audit.ts";
import { TokenDesk } from "../../src/access/token-desk.ts";
import { TokenTable } from "../../src/access/token-table.ts";
import { type AdminOptions, type AdminPort, createAdmin } from "../../src/admin/admin.ts";
import { Control } from "../../src/control/control.ts";
import { OwnListeners } from "../../src/egress/own-listeners.ts";
import type { ConfigChange } from "../../src/entities/change.ts";
import type { CataloguePlugin, GatewayConfig } from "../../src/entities/entities.ts";
import { cataloguePlugin } from "../../src/registry/catalogue-plugin.ts";
import type { Forge, Registry } from "../../src/registry/registry.ts";
import type { LedgerRow } from "../../src/sandbox/ledger.ts";
import { Vaults } from "../../src/secrets/vaults.ts";
import { loadSettings } from "../../src/settings.ts";
import type { Store } from "../../src/stores/store.ts";
import { openRegistry, scratch } from "../registry/packages.ts";

export const KEY_AUTH: CataloguePlugin = {
  name: "key-auth",
  version: "1.0.0",
  priority: 1250,
  forbids: ["consumer"],
  schema: record({
    key_name: string({ default: "apikey", description: "Where the key is." }),
    limit: integer({ default: 5, between: [1, 9] }),
  }),
};

export interface Given extends Partial<Omit<AdminOptions, "port">> {
  forge?: Forge;
  fence?: boolean;
  usage?: readonly LedgerRow[];
  /** Where entities are written; without one they come as a whole. */
  store?: Store;
  /** What references to vaults are read from. */
  environment?: Record<string, string>;
  /** What the threads would hear. */
  onDeploy?: (change: ConfigChange) => void;
  /** Which version of a package is in force from now on for entities of that name. */
  onInstalled?: (name: string, version: string, config: unknown) => void;
  /** Waits before a configuration is in force. */
  beforeApply?: () => Promise<void>;
}

export interface TestAdmin {
  port: number;
  registry: Registry;
  config(): GatewayConfig;
  call(method: string, path: string, options?: CallOptions): Promise<Reply>;
  logged: unknown[];
}

export interface CallOptions {
  headers?: Record<string, string>;
  body?: string | Uint8Array;
}

export interface Reply {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  // Tests look into bodies freely; what they find is asserted.
  json: { [key: string]: unknown } & {
    code?: number;
    name?: string;
    message?: string;
    fields?: Record<string, unknown>;
    data?: Record<string, unknown>[];
    next?: string | null;
    offset?: string;
  };
}

export async function startAdmin(given: Given = {}): Promise<TestAdmin> {
  const registry =
    given.registry ??
    (await openRegistry(scratch(), given.forge, {
      idOf: (workspace) => control.index.named("workspaces", "", workspace)?.id,
      requiresSignature: (workspace) =>
        control.index.named("workspaces", "", workspace)?.require_signature === true,
      onMoved: (concerns) => void control.packagesMoved(concerns),
    }));
  const logged: unknown[] = [];
  const find: AdminPort["findPlugin"] = (name, workspace) => {
    if (name === KEY_AUTH.name) return KEY_AUTH;
    const found = name.includes("@") ? registry.find(name, workspace) : { missing: "" };
    return "missing" in found ? found : cataloguePlugin(found, registry, name, workspace);
  };
  let isOpen = false;
  const { settings } = loadSettings({ env: {} });
  assert.ok(settings);
  const tokens = new TokenTable();
  const audit = new AuditLog({
    store: () => given.store ?? null,
    plugins: { find },
    index: () => control.index,
    log: pino({ level: "silent" }),
  });
  const control = new Control({
    settings,
    beside: tokens,
    auditOf: audit.entriesOf,
    registry,
    catalogue: { find },
    store: given.store ?? null,
    own: new OwnListeners([]),
    // Nobody serves by it.
    threads: {
      async deploy({ change, packages }, _whole, decide) {
        given.onDeploy?.(change);
        if (isOpen) await given.beforeApply?.();
        await decide?.();
        for (const { id, name } of change.put.plugins) {
          const installed = packages[id];
          if (installed !== undefined)
            given.onInstalled?.(name, installed.manifest.version, installed.config);
        }
      },
    },
    log: pino({ level: "silent" }),
    vaults: new Vaults({ environment: given.environment ?? {}, directory: null }),
    onLimits() {},
    async readSettingsFiles() {},
  });
  await control.open(Promise.resolve());
  isOpen = true;
  const port: AdminPort = {
    entities: () => control.index,
    config: () => control.config,
    hash: (workspace = null) => control.hashOf(workspace),
    quotas: (workspace) => control.quotasOf(workspace),
    store: () => control.store,
    write: (write, by) => control.write(write, by),
    departure: async () => null,
    replace: (text, options) => control.replace(text, options),
    plan: (request, inTurn) => control.plan(request, inTurn),
    sync: (request, expected, by, inTurn) => control.sync(request, expected, by, inTurn),
    alone: (job) => control.alone(job),
    tokens: new TokenDesk({ table: tokens, control, entryOf: (deed, by) => audit.entryOf(deed, by) }),
    noTenants: () => null,
    note: (deed, by) => audit.note(deed, by),
    findPlugin: find,
    plugins: () => [KEY_AUTH],
    explain: () => ({ refused: "this gateway has no routes" }),
    routerFlavor: () => "traditional_compatible",
    fenceInForce: () => given.fence ?? true,
    recordings: {
      list: async () => [],
      get: async () => null,
      remove: async () => 0,
    },
    replay: async () => assert.fail("nobody replays here"),
    pluginUsage: async () => given.usage ?? [],
    tail: async () => ({ full: "nothing is watched here" }),
    status: async () => ({ server: { total_requests: 0 }, fence: { in_force: given.fence ?? true } }),
    logLevel: () => "notice",
    setLogLevel() {},
    info: () => ({ configuration: {} }),
  };
  const admin = createAdmin({
    allowedHosts: [],
    allowedOrigins: [],
    unfencedUploads: [],
    version: "0.1.0",
    log: (...line) => logged.push(line),
    ...given,
    port,
    registry,
  });
  after(() => admin.close());
  const [bound] = await admin.listen([{ host: "127.0.0.1", port: 0, backlog: 16 }]);
  const tcpPort = (bound as { port: number }).port;
  return {
    port: tcpPort,
    registry,
    config: () => control.config,
    logged,
    call: (method, path, options) => call(tcpPort, method, path, options),
  };
}

/** One request on a connection of its own; `node:http` sends any Host and Origin that it is given. */
export function call(
  port: number,
  method: string,
  path: string,
  { headers = {}, body }: CallOptions = {},
): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const length: Record<string, string> =
    body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
  const outgoing = request(
    { port, method, path, headers: { ...length, ...headers }, agent: false },
    async (response) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of response) chunks.push(chunk as Uint8Array);
      const text = Buffer.concat(chunks).toString();
      const isJson = response.headers["content-type"]?.startsWith("application/json") === true && text !== "";
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        text,
        json: isJson ? JSON.parse(text) : {},
      });
    },
  );
  outgoing.on("error", reject);
  outgoing.end(body);
  return promise;
}

export const YAML = { "content-type": "application/yaml" };
export const JSON_TYPE = { "content-type": "application/json" };
export const GZIP = { "content-type": "application/gzip" };
