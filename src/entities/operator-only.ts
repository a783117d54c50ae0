/**
 * What only the operator's own configuration may say, because it touches the host: references to secrets and the
 * environment of the gateway's process, and fields of built-in plugins that name files or devices of the machine. In a
 * tenant's workspace they are refused when it is loaded, wherever they stand, so that nothing that resolves or uses
 * them ever sees a tenant's.
 */
import { isObject } from "@gatehouse/sdk";
import type { EntityType } from "./entities.ts";
import { type Path, texts } from "./references.ts";
import { DEFAULT_WORKSPACE } from "./workspaces.ts";

interface OperatorField {
  readonly field: Path;
  readonly what: string;
}

/**
 * Fields of built-in plugins, by plugin, from the top of `config` (an empty way is the plugin as a whole): all of Kong's
 * that touch the host, whether the plugin is there yet or not. A plugin that is added with such a field is added here.
 * A package that somebody uploaded touches no host, whatever its fields are called: its name has an `@`.
 */
export const OPERATOR_FIELDS: Readonly<Record<string, readonly OperatorField[]>> = {
  "file-log": [{ field: ["path"], what: "a file that the gateway writes" }],
  "grpc-gateway": [{ field: ["proto"], what: "a file that the gateway reads" }],
  "grpc-web": [{ field: ["proto"], what: "a file that the gateway reads" }],
  syslog: [{ field: [], what: "the machine's own log" }],
};

/** `{vault://name/key}` as the whole value, as Kong has it. */
const VAULT = /^\{vault:\/\//;
/** `${NAME}` anywhere. */
const ENVIRONMENT = /\$\{[A-Z_][A-Z0-9_]*\}/;

/** Of an entity as it was written: what a workspace other than `default` may not say. */
export function* operatorOnlyFaults(
  type: EntityType,
  input: Readonly<Record<string, unknown>>,
  workspace: string,
): Generator<{ readonly path: Path; readonly message: string }> {
  if (workspace === DEFAULT_WORKSPACE) return;
  const where = `workspace '${workspace}'`;
  for (const { path, text } of texts(input, [])) {
    if (VAULT.test(text))
      yield { path, message: `${where} may not refer to vaults, which are the operator's; write the value` };
    else if (ENVIRONMENT.test(text)) {
      const what = "may not refer to the gateway's environment, which is the operator's; write the value";
      yield { path, message: `${where} ${what}` };
    }
  }
  if (type.operatorOnly) yield { path: [], message: `${where} may not have it: ${type.operatorOnly}` };
  if (type.name !== "plugins") return;
  for (const { field, what } of operatorFields(String(input.name))) {
    if (field.length > 0 && !isGiven(input.config, field)) continue;
    const path = field.length === 0 ? ["name"] : ["config", ...field];
    yield { path, message: `${where} may not use ${what}; only workspace 'default' may` };
  }
}

function operatorFields(plugin: string): readonly OperatorField[] {
  return Object.hasOwn(OPERATOR_FIELDS, plugin) ? (OPERATOR_FIELDS[plugin] ?? []) : [];
}

function isGiven(config: unknown, field: Path): boolean {
  let at: unknown = config;
  for (const step of field) at = isObject(at) ? at[step as string] : null;
  return at !== null && at !== undefined;
}
