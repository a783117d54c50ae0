/** A catalogue of plugins for tests of loading: two built-ins and one uploaded package of a workspace. */
import { array, boolean, integer, map, record, string } from "@gatehouse/sdk";
import { type Loaded, loadDeclarative } from "../../src/declarative/declarative.ts";
import type { CataloguePlugin, GatewayConfig, PluginCatalogue } from "../../src/entities/entities.ts";

const keyAuth: CataloguePlugin = {
  name: "key-auth",
  version: "1.0.0",
  priority: 1250,
  schema: record({
    key_names: array(string(), { required: true, default: ["apikey"] }),
    limits: record({ minute: integer({ between: [1, 100] }) }, { required: true }),
    labels: map(string()),
  }),
  forbids: ["consumer"],
};

const cors: CataloguePlugin = { name: "cors", version: "1.0.0", priority: 2000, schema: record({}) };

/** One of those that touch the host. */
const fileLog: CataloguePlugin = {
  name: "file-log",
  version: "1.0.0",
  priority: 9,
  schema: record({ path: string(), reopen: boolean(), prefixes: array(string()) }),
};

const syslog: CataloguePlugin = { name: "syslog", version: "1.0.0", priority: 4, schema: record({}) };

const stamp: CataloguePlugin = {
  name: "stamp",
  version: "1.2.0",
  priority: 700,
  schema: record({ text: string({ match: "^(a+)+$" }) }),
};

export const catalogue: PluginCatalogue = {
  find(name, workspaceName) {
    if (name === "key-auth") return keyAuth;
    if (name === "cors") return cors;
    if (name === "file-log") return fileLog;
    if (name === "syslog") return syslog;
    if (name === "stamp@1.2.0" && workspaceName === "acme") return stamp;
    if (name === "stamp@1.2.0")
      return { missing: `package '${name}' is not in workspace '${workspaceName}'` };
    if (name === "acme/stamp@1.2.0") return stamp;
    return { missing: "" };
  },
  names: () => ["key-auth", "cors"],
};

export function load(text: string): Loaded {
  return loadDeclarative(text, { file: "kong.yml", plugins: catalogue, now: 1_700_000_000_500 });
}

/** The configuration of a text without faults. */
export function loadSound(text: string): GatewayConfig {
  const loaded = load(text);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors, null, 2));
  return loaded.config;
}
