/** Which store of plugins' values the settings name. */
import { join } from "node:path";
import type { StoreKind } from "../guest-store/store-thread.ts";
import type { Settings } from "../settings.ts";

export function storeKind(settings: Settings): StoreKind {
  if (settings.guestKv === "local") {
    const path = join(settings.prefix, "guest-store", "values.sqlite");
    return { kind: "local", path, maxBytes: settings.guestKvMaxBytes };
  }
  return {
    kind: "redis",
    server: {
      host: settings.redisHost,
      port: settings.redisPort,
      username: settings.redisUsername,
      password: settings.redisPassword,
      database: settings.redisDatabase,
      ssl: settings.redisSsl,
    },
  };
}
