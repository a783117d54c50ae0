/**
 * Where a built-in runs in a test. The tests of plugins are written once, for every placement: the same source
 * must behave the same in the data thread and in a guest.
 */
import { type Gateway, startGateway } from "../support/gateway.ts";
import type { Origin } from "../support/origin.ts";

export interface Placement {
  readonly title: string;
  /** The name by which a configuration asks for a built-in that is placed here. */
  plugin(name: string): string;
  /** Makes the built-ins available under those names in a gateway that runs. */
  prepare?(gateway: Gateway, names: readonly string[]): Promise<void>;
}

export const PLACEMENTS: readonly Placement[] = [{ title: "native", plugin: (name) => name }];

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
  const names = Object.values(policies.routes).flatMap((plugins) => plugins.map(({ name }) => name));
  await placement.prepare(gateway, [...new Set(names)]);
  await gateway.reload(config);
  return gateway;
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
          plugins: plugins.map((entry) => ({ ...entry, name: placement.plugin(entry.name) })),
        })),
      },
    ],
    ...entities,
  };
}
