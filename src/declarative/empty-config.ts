/** Configurations that nobody has written yet. */
import { validate } from "@gatehouse/sdk";
import {
  DEFAULT_WORKSPACE,
  DEFAULT_WORKSPACE_ID,
  EMPTY_HASH,
  ENTITIES,
  ENTITY_NAMES,
  type GatewayConfig,
} from "../entities/entities.ts";

/** What a configuration holds before anything is written: the default workspace. */
export function emptyConfig(now = Date.now()): GatewayConfig {
  const config = noConfig();
  config.workspaces.push(defaultWorkspace(now) as never);
  return config;
}

/** Not even that. */
export function noConfig(): GatewayConfig {
  const lists = Object.fromEntries(ENTITY_NAMES.map((name) => [name, []]));
  return { hash: EMPTY_HASH, ...lists } as unknown as GatewayConfig;
}

/** The default workspace, made at a time in milliseconds since the epoch. */
export function defaultWorkspace(now: number): Record<string, unknown> {
  const seconds = Math.floor(now / 1000);
  return {
    ...(validate(ENTITIES.workspaces.schema, { name: DEFAULT_WORKSPACE }).value as object),
    id: DEFAULT_WORKSPACE_ID,
    created_at: seconds,
    updated_at: seconds,
    ws_id: DEFAULT_WORKSPACE_ID,
  };
}
