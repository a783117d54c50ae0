/** What the Admin API is given of this gateway (`admin/port.ts`): reads of what is in force, and changes by the control plane. */
import type { Logger } from "pino";
import { Refusal } from "../admin/answers.ts";
import type { AdminPort } from "../admin/port.ts";
import type { Control } from "../control/control.ts";
import type { PluginCatalogue } from "../entities/entities.ts";
import type { Registry } from "../registry/registry.ts";
import type { Recordings } from "../replay/recordings.ts";
import type { Replays } from "../replay/replays.ts";
import type { Rollouts } from "../rollout/rollouts.ts";
import type { Fence } from "../sandbox/fence/fence.ts";
import { sumRows } from "../sandbox/ledger.ts";
import { shownSettings } from "../settings/shown.ts";
import type { Settings } from "../settings.ts";
import type { TailDesk } from "../tail/tail-desk.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import { NotDeployed } from "../threads/deployment.ts";
import type { DataThreads } from "../threads/threads.ts";
import type { AdminAccess } from "./admin-access.ts";
import { nativePlugins } from "./catalogue.ts";
import { Explainer } from "./explain.ts";
import { ExplainInputError, readExplainRequest } from "./explain-input.ts";
import type { LogLevel } from "./log-level.ts";

export interface AdminPortParts {
  readonly settings: Settings;
  readonly control: Control;
  readonly access: AdminAccess;
  readonly tenants: Tenants | null;
  readonly catalogue: PluginCatalogue;
  readonly registry: Registry;
  readonly rollouts: Pick<Rollouts, "tried">;
  readonly fence: Pick<Fence, "inForce">;
  readonly threads: Pick<DataThreads, "collect">;
  readonly tails: TailDesk;
  readonly recordings: Recordings;
  readonly replays: Replays;
  readonly logLevel: LogLevel;
  readonly status: () => Promise<object>;
  readonly log: Logger;
}

export function adminPort(parts: AdminPortParts): AdminPort {
  const { settings, control, access, catalogue, threads, tails, recordings, replays, logLevel, log } = parts;
  /** Made when somebody asks. */
  let explainer: Explainer | null = null;
  // It remembers what names of packages meant.
  parts.registry.records.onChange(() => {
    explainer = null;
  });

  /** What a thread has against a change is for the log too. */
  const deployed = async <T>(change: Promise<T>): Promise<T> => {
    try {
      return await change;
    } catch (error) {
      if (!(error instanceof NotDeployed)) throw error;
      log.error({ reason: error.message }, "a configuration is not put in force; the old one goes on");
      throw new Refusal(503, {
        message: `the configuration is not in force, the old one goes on: ${error.message}`,
      });
    }
  };

  return {
    entities: () => control.index,
    config: () => control.config,
    hash: (workspace = null) => control.hashOf(workspace),
    quotas: (workspace) => control.quotasOf(workspace),
    store: () => control.store,
    write: (write, by) => deployed(control.write(write, by)),
    departure: async (workspace) => (await parts.tenants?.departure(workspace)) ?? null,
    async replace(text, options, by) {
      const outcome = await deployed(control.replace(text, options));
      const deed = { action: "replace", entity: "config", id: null, name: null, workspace: "" } as const;
      if (outcome.ok && outcome.changed)
        await access.audit.note({ ...deed, after: { hash: control.hash } }, by);
      return outcome;
    },
    tokens: access.desk,
    noTenants: () => access.noTenants(),
    note: (deed, by) => access.audit.note(deed, by),
    plan: (request, inTurn) => control.plan(request, inTurn),
    sync: (request, expected, by, inTurn) => deployed(control.sync(request, expected, by, inTurn)),
    alone: (job) => control.alone(job),
    findPlugin: (name, workspace) => catalogue.find(name, workspace),
    plugins: () => nativePlugins(),
    explain(request) {
      try {
        const input = readExplainRequest(request);
        explainer ??= new Explainer(parts.registry, (...asked) => parts.rollouts.tried(...asked));
        return { explained: explainer.explain(control.config, input) };
      } catch (error) {
        if (error instanceof ExplainInputError) return { refused: error.message };
        throw error;
      }
    },
    routerFlavor: () => settings.routerFlavor,
    fenceInForce: () => parts.fence.inForce,
    tail: (filter) => tails.open(filter),
    recordings,
    replay: (workspace, plugin, asked) => replays.run(workspace, plugin, asked),
    pluginUsage: async () => sumRows((await threads.collect()).ledger),
    logLevel: () => logLevel.current,
    setLogLevel: (level, seconds) => logLevel.set(level, seconds),
    status: parts.status,
    info: () => ({ configuration: shownSettings(settings) }),
  };
}
