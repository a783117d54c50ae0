/** Everywhere that something of a workspace is kept outside of the configuration, in the order in which it goes. */
import type { GuestStore } from "../guest-store/guest-store.ts";
import type { Registry } from "../registry/registry.ts";
import type { Recordings } from "../replay/recordings.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import type { Sandbox } from "../sandbox/sandbox.ts";
import type { Store } from "../stores/store.ts";
import type { TailDesk } from "../tail/tail-desk.ts";
import type { Place } from "../tenancy/tenants.ts";
import type { DataThreads } from "../threads/threads.ts";

export interface Keepers {
  readonly sandbox: Pick<Sandbox, "forgetWorkspace">;
  readonly tails: Pick<TailDesk, "forget">;
  readonly threads: Pick<DataThreads, "forget">;
  readonly registry: Pick<Registry, "deleteAll">;
  readonly rollouts: Pick<Rollouts, "forgetWorkspace">;
  readonly values: Pick<GuestStore, "forgetWorkspace">;
  readonly recordings: Pick<Recordings, "forget">;
  readonly store: Pick<Store, "forgetWorkspace">;
}

/** Processes first: what runs no more keeps nothing new. */
export function placesOf({
  sandbox,
  tails,
  threads,
  registry,
  rollouts,
  values,
  recordings,
  store,
}: Keepers): Place[] {
  return [
    {
      what: "processes",
      byName: true,
      async forget({ name }) {
        tails.forget(name);
        return { cordons: sandbox.forgetWorkspace(name) };
      },
    },
    {
      what: "metrics",
      byName: true,
      async forget(tenant) {
        const { series, rows, counters } = await threads.forget(tenant);
        return { metric_series: series, usage_rows: rows, counters };
      },
    },
    {
      what: "packages",
      byName: true,
      async forget(tenant) {
        await rollouts.forgetWorkspace(tenant);
        const { packages, artifacts } = await registry.deleteAll(tenant);
        return { plugin_packages: packages, artifacts };
      },
    },
    {
      what: "values",
      byName: false,
      forget: async ({ id }) => ({ values: await values.forgetWorkspace(id) }),
    },
    {
      what: "recordings",
      byName: false,
      forget: async ({ id }) => ({ recordings: await recordings.forget(id) }),
    },
    {
      what: "audit log",
      byName: false,
      async forget({ id }) {
        await store.forgetWorkspace(id);
        return {};
      },
    },
  ];
}
