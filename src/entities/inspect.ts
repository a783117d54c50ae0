/**
 * Whether an entity is sound for itself: its schema, the schema of a plugin's config, what is the operator's alone, what
 * this version does not do. A file that is loaded, a single write and a row of a store are all judged here.
 */
import { type Field, type Violation, validate } from "@gatehouse/sdk";
import type { RE2JS } from "re2js";
import { boundedPatterns } from "../registry/config-schema.ts";
import { type EntityType, type RouterFlavor, schemaOf } from "./entities.ts";
import { operatorOnlyFaults } from "./operator-only.ts";
import type { CataloguePlugin, PluginCatalogue } from "./plugins.ts";
import { referenceFaults } from "./references.ts";
import { DEFAULT_WORKSPACE } from "./workspaces.ts";

type Path = readonly (string | number)[];

export interface InspectionContext {
  readonly plugins: PluginCatalogue;
  readonly flavor: RouterFlavor;
  /** Patterns of plugins' schemas that were compiled: they may be a stranger's, so they run in linear time. */
  readonly patterns: Map<string, RE2JS>;
}

export interface Finding extends Violation {
  /** The schema that it comes from, and where that begins in the entity; null for a rule beside the schema. */
  readonly of: { readonly schema: Field; readonly prefix: Path } | null;
  /** What to do. */
  readonly hint?: string;
  /** No such plugin: there may be one with a name much like it. */
  readonly unknownPlugin?: true;
}

export interface Inspection {
  /** With defaults; sound only if there are no findings. */
  readonly value: Record<string, unknown>;
  readonly findings: readonly Finding[];
}

/**
 * @param input own fields as they were written, shorthands expanded; foreign fields as `{ id }`.
 * @param workspace name of the workspace that it belongs to.
 */
export function inspect(
  type: EntityType,
  input: Readonly<Record<string, unknown>>,
  workspace: string,
  context: InspectionContext,
): Inspection {
  const schema = schemaOf(type, context.flavor) as Field<Record<string, unknown>>;
  const { value, violations } = validate(schema, input);
  const findings: Finding[] = violations.map((violation) => ({ ...violation, of: { schema, prefix: [] } }));
  const plugin = type.name === "plugins" ? inspectPlugin(input, value, workspace, context, findings) : null;
  for (const fault of operatorOnlyFaults(type, input, workspace)) findings.push({ ...fault, of: null });
  if (workspace === DEFAULT_WORKSPACE) {
    // The config of a plugin has a schema of its own.
    const { config, ...own } = input;
    const faults =
      plugin === null
        ? referenceFaults(input, schema)
        : [...referenceFaults(own, schema), ...referenceFaults(config, plugin.schema, ["config"])];
    for (const fault of faults) findings.push({ ...fault, of: null });
  }
  if (type.unavailable) findings.push({ path: [], message: type.unavailable.file, of: null });
  if (findings.length > 0) return { value, findings };
  for (const [field, message] of Object.entries(type.notServed?.(value) ?? {}))
    findings.push({ path: field.split("."), message, of: null });
  return { value, findings };
}

function inspectPlugin(
  input: Readonly<Record<string, unknown>>,
  value: Record<string, unknown>,
  workspace: string,
  { plugins, patterns }: InspectionContext,
  findings: Finding[],
): CataloguePlugin | null {
  const { name } = input;
  if (typeof name !== "string" || name === "") return null;
  const found = plugins.find(name, workspace);
  if ("missing" in found) {
    const standard = `plugin '${name}' not enabled; add it to the 'plugins' configuration property`;
    findings.push({ path: ["name"], message: found.missing || standard, of: null, unknownPlugin: true });
    return null;
  }
  const compile = boundedPatterns(patterns);
  const { plugin, config } = found.fit?.(input.config ?? {}, compile) ?? {
    plugin: found,
    config: input.config,
  };
  const { schema } = plugin;
  const checked = validate(schema, config ?? {}, { compile });
  for (const { path, message } of checked.violations)
    findings.push({ path: ["config", ...path], message, of: { schema, prefix: ["config"] } });
  if (checked.violations.length === 0) value.config = checked.value;
  for (const field of plugin.forbids ?? []) {
    if (input[field] === undefined || input[field] === null) continue;
    const hint = `plugin '${name}' cannot be scoped by ${field}`;
    findings.push({ path: [field], message: "value must be null", of: null, hint });
  }
  return plugin;
}
