/** From a document without a fault to a configuration. */
import { DEFAULT_WORKSPACE_ID, type EntityName, type GatewayConfig } from "../entities/entities.ts";
import { randomKey } from "../entities/made-up.ts";
import type { Draft } from "./draft.ts";
import { defaultWorkspace, noConfig } from "./empty-config.ts";
import { contentHash, entityContent } from "./identity.ts";
import { inputToKeep, type Origin, type Previous, remember } from "./previous.ts";

/** Sound drafts to the configuration: ids, times, what is made up, and the hash of the content. */
export function seal(drafts: readonly Draft[], now: number, previous: Previous): GatewayConfig {
  const config = noConfig();
  const lists = config as unknown as Record<EntityName, object[]>;
  const origins = new Map<object, Origin>();
  lists.workspaces.push(previous.find("workspaces", DEFAULT_WORKSPACE_ID) ?? defaultWorkspace(now));
  for (const draft of drafts) {
    const { type, value: entity, scope, id, input } = draft;
    if (draft.kept === null) {
      entity.id = id;
      entity.ws_id = type.name === "workspaces" ? id : scope.id;
    }
    const kept = draft.kept ?? previous.sayingTheSame(entity, type);
    const hash = kept && previous.hashOf(kept);
    if (hash) {
      lists[type.name].push(kept);
      origins.set(kept, { input: inputToKeep(type, input), hash });
      continue;
    }
    origins.set(entity, {
      input: inputToKeep(type, input),
      hash: contentHash(entityContent(type.name, entity)),
    });
    const time = type.fractionalTime ? now / 1000 : Math.floor(now / 1000);
    if (entity.created_at === null) entity.created_at = time;
    if (entity.updated_at === null) entity.updated_at = time;
    for (const field of type.madeUpFields) if (entity[field] === null) entity[field] = randomKey();
    lists[type.name].push(entity);
  }
  // Neither the order of entities nor the time of loading changes what a configuration means.
  const hashes = [...origins.values()].map(({ hash }) => hash);
  if (hashes.length > 0) config.hash = contentHash(hashes.sort().join("\n"));
  remember(config, origins);
  return config;
}
