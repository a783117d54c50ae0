/**
 * The store of several gateways: Redis. A plugin's values are one hash, the times at which they are over a
 * sorted set, and what its workspace holds is counted in a third key. Every operation is one script, which Redis
 * runs as a whole; so quotas are exact however many gateways write.
 *
 * All keys of a workspace carry its name as their hash tag, so that they are on one node of a cluster. Parts of
 * names are percent-encoded, which leaves nothing in them that separates one from the next.
 */
import { Redis } from "ioredis";
import {
  KEY_COST,
  type KeyValueStore,
  type Operation,
  type Outcome,
  REMOVED_AT_ONCE,
  type Scope,
  type StoreFault,
} from "./key-value-store.ts";

export interface RedisServer {
  readonly host: string;
  readonly port: number;
  readonly username: string | null;
  readonly password: string | null;
  readonly database: number;
  readonly ssl: boolean;
}

export interface RedisStoreOptions {
  readonly server: RedisServer;
  /** Told of every operation that the server did not do for a reason that is not the plugin's. */
  readonly onFailure: (reason: string) => void;
}

const CONNECT_MS = 1000;
const COMMAND_MS = 1000;
const LONGEST_PAUSE_MS = 2000;
const PREFIX = "gatehouse:kv";

/** KEYS: usage, values, times. ARGV: the plugin's field in usage, the key. */
const COMMON = `
local usage, values, times, plugin, key = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function cost(name, length) return #name + length + ${KEY_COST} end
local function count(by)
  redis.call('HINCRBY', usage, plugin, by)
  redis.call('HINCRBY', usage, '', by)
end
local function drop(name)
  local length = redis.call('HSTRLEN', values, name)
  redis.call('ZREM', times, name)
  if redis.call('HDEL', values, name) == 1 then count(-cost(name, length)) end
end
`;
const GET = `${COMMON}
local over = redis.call('ZSCORE', times, key)
if over and tonumber(over) <= now then drop(key) return false end
return redis.call('HGET', values, key)
`;
const SET = `${COMMON}
local value, ttl, quota, keys, all = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local known = redis.call('HEXISTS', values, key) == 1
local grows = cost(key, #value)
if known then grows = grows - cost(key, redis.call('HSTRLEN', values, key)) end
local function held(field) return tonumber(redis.call('HGET', usage, field) or '0') end
local function fault()
  if grows > 0 and held(plugin) + grows > quota then return 'quota' end
  if not known and redis.call('HLEN', values) >= keys then return 'keys' end
end
if fault() then
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', times, '-inf', now, 'LIMIT', 0, ${REMOVED_AT_ONCE})) do
    if name ~= key then drop(name) end
  end
  local still = fault()
  if still then return still end
end
if grows > 0 and held('') + grows > all then return 'workspace_quota' end
redis.call('HSET', values, key, value)
if ttl == '' then redis.call('ZREM', times, key) else redis.call('ZADD', times, now + tonumber(ttl), key) end
count(grows)
return ''
`;
const DELETE = `${COMMON}
drop(key)
return ''
`;
const FORGET = `${COMMON}
local held = tonumber(redis.call('HGET', usage, plugin) or '0')
local keys = redis.call('HLEN', values)
redis.call('HINCRBY', usage, '', -held)
redis.call('HDEL', usage, plugin)
redis.call('UNLINK', values, times)
if redis.call('HLEN', usage) <= 1 and redis.call('HGET', usage, '') == '0' then redis.call('UNLINK', usage) end
return keys
`;

export class RedisStore implements KeyValueStore {
  readonly #redis: Redis;
  readonly #onFailure: (reason: string) => void;

  constructor({ server, onFailure }: RedisStoreOptions) {
    const { host, port, username, password, database, ssl } = server;
    this.#onFailure = onFailure;
    this.#redis = new Redis({
      host,
      port,
      db: database,
      ...(username === null ? {} : { username }),
      ...(password === null ? {} : { password }),
      ...(ssl ? { tls: { servername: host } } : {}),
      connectTimeout: CONNECT_MS,
      commandTimeout: COMMAND_MS,
      // Somebody waits: while the server cannot be reached, operations fail and are not kept for later.
      maxRetriesPerRequest: 0,
      retryStrategy: (times) => Math.min(times * 100, LONGEST_PAUSE_MS),
    });
    this.#redis.on("error", (error: Error) => onFailure(error.message));
  }

  run(operations: readonly Operation[]): Promise<readonly Outcome[]> {
    return Promise.all(
      operations.map((operation) => this.#do(operation).catch((error: Error) => this.#failed(error))),
    );
  }

  /** Waits for what the server was asked already. */
  async close(): Promise<void> {
    if (this.#redis.status === "ready") await this.#redis.quit().catch(() => {});
    this.#redis.disconnect();
  }

  async #do(operation: Operation): Promise<Outcome> {
    switch (operation.op) {
      case "get": {
        const value = await this.#eval(GET, operation.scope, operation.key);
        return { value: value instanceof Buffer ? new Uint8Array(value) : null };
      }
      case "set": {
        const { scope, key, value, ttlMs, quota } = operation;
        const { bytes, keys, workspaceBytes } = quota;
        const rest = [Buffer.from(value), ttlMs ?? "", bytes, keys, workspaceBytes];
        const fault = String(await this.#eval(SET, scope, key, ...rest));
        return fault === "" ? { value: null } : { fault: fault as StoreFault };
      }
      case "delete":
        await this.#eval(DELETE, operation.scope, operation.key);
        return { value: null };
      case "forget":
        await this.#forget(operation.owner, operation.plugin);
        return { value: null };
      case "forget_workspace":
        return { value: null, removed: await this.#forgetWorkspace(operation.workspace) };
    }
  }

  #eval(script: string, scope: Scope, key: string, ...rest: (string | number | Buffer)[]): Promise<unknown> {
    const { usage, values, times, plugin } = keysOf(scope);
    return this.#redis.callBuffer("EVAL", script, 3, usage, values, times, plugin, key, ...rest);
  }

  /** In every workspace that has values of the plugin. */
  async #forget(owner: string, plugin: string): Promise<void> {
    await this.#forgetAll(`${PREFIX}:{*}:values:${literal(fieldOf(owner, plugin))}`);
  }

  async #forgetWorkspace(workspace: string): Promise<number> {
    const name = literal(encodeURIComponent(workspace));
    const own = await this.#forgetAll(`${PREFIX}:{${name}}:values:*`);
    await this.#redis.unlink(keysOf({ workspace, owner: "", plugin: "" }).usage);
    return own + (await this.#forgetAll(`${PREFIX}:{*}:values:${name}/*`));
  }

  /** All values under keys that fit a pattern. @returns how many there were. */
  async #forgetAll(pattern: string): Promise<number> {
    let removed = 0;
    for await (const found of this.#redis.scanStream({ match: pattern, count: 1000 })) {
      for (const key of found as string[]) removed += Number(await this.#eval(FORGET, scopeOf(key), ""));
    }
    return removed;
  }

  #failed(error: Error): Outcome {
    this.#onFailure(error.message);
    return { fault: error.message.startsWith("OOM") ? "full" : "unavailable" };
  }
}

/** A text in a pattern of Redis that stands for itself. */
const literal = (text: string) => text.replace(/[*?[\]\\]/g, "\\$&");

/** Whose values a key holds. */
function scopeOf(key: string): Scope {
  const end = key.indexOf("}");
  const [owner = "", plugin = ""] = key.slice(end + ":values:".length + 1).split("/");
  return {
    workspace: decodeURIComponent(key.slice(PREFIX.length + 2, end)),
    owner: decodeURIComponent(owner),
    plugin: decodeURIComponent(plugin),
  };
}

const fieldOf = (owner: string, plugin: string): string =>
  `${encodeURIComponent(owner)}/${encodeURIComponent(plugin)}`;

function keysOf({
  workspace,
  owner,
  plugin,
}: Scope): Record<"usage" | "values" | "times" | "plugin", string> {
  const tagged = `${PREFIX}:{${encodeURIComponent(workspace)}}`;
  const field = fieldOf(owner, plugin);
  return {
    usage: `${tagged}:usage`,
    values: `${tagged}:values:${field}`,
    times: `${tagged}:times:${field}`,
    plugin: field,
  };
}
