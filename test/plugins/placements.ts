/**
 * Where a built-in runs in a test. The tests of plugins are written once, for every placement: the same source
 * must behave the same in the data thread and in a guest.
 */
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import type { Origin } from "../support/origin.ts";
import { packageFor, packBuiltIn } from "./isolate-packages.ts";

export interface Placement {
  readonly title: string;
  /** The name by which a configuration asks for a built-in that is placed here. */
  plugin(name: string, config?: PluginEntry["config"]): string;
  /** Makes plugins of these names available in a gateway that runs. */
  prepare?(gateway: Gateway, names: readonly string[]): Promise<void>;
}

const NATIVE: Placement = { title: "native", plugin: (name) => name };

/** Uploaded as a tenant would: the built-in's source as a package, in a cordon. */
const ISOLATE: Placement = {
  title: "isolate",
  plugin: (name, config) => `${packageFor(name, config)}@1.0.0`,
  async prepare(gateway, names) {
    for (const name of names) {
      const body = await packBuiltIn(name.replace(/@.*/, ""));
      const headers = { "content-type": "application/gzip" };
      const answer = await send(`${gateway.adminUrl}/plugin-packages`, { method: "POST", headers, body });
      if (answer.status !== 201)
        throw new Error(`uploading ${name} was answered ${answer.status} ${answer.body}`);
    }
  },
};

export const PLACEMENTS: readonly Placement[] = [NATIVE, ISOLATE];

export interface PluginEntry {
  readonly name: string;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly consumer?: string;
}

export interface Policies {
  readonly origin: Origin;
  /** Plugins by the name of a route, which serves the path of that name. */
  readonly routes: Readonly<Record<string, readonly PluginEntry[]>>;
  /** Fields of single routes beside name, paths and plugins. */
  readonly routeFields?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Further top-level entities. */
  readonly entities?: Readonly<Record<string, unknown>>;
}

/** Starts a gateway with one route for each policy, all to one upstream. */
export async function startPlaced(placement: Placement, policies: Policies): Promise<Gateway> {
  const config = configOf(placement, policies);
  if (placement.prepare === undefined) return startGateway({ config });
  const gateway = await startGateway({ config: { _format_version: "3.0" } });
  const names = Object.values(policies.routes).flatMap((plugins) =>
    plugins.map(({ name, config }) => placement.plugin(name, config)),
  );
  try {
    await placement.prepare(gateway, [...new Set(names)]);
    await gateway.reload(config);
    return gateway;
  } catch (error) {
    await gateway[Symbol.asyncDispose]();
    throw error;
  }
}

export function configOf(placement: Placement, policies: Policies): Record<string, unknown> {
  const { origin, routes, routeFields = {}, entities = {} } = policies;
  return {
    _format_version: "3.0",
    services: [
      {
        name: "upstream",
        url: origin.url,
        routes: Object.entries(routes).map(([name, plugins]) => ({
          name,
          paths: [`/${name}`],
          ...routeFields[name],
          plugins: plugins.map((entry) => ({ ...entry, name: placement.plugin(entry.name, entry.config) })),
        })),
      },
    ],
    ...entities,
  };
}
