/** What the Admin API's parts that speak of the registry have in common: who is meant, and how refusals are answered. */
import { type Field, type Violation, validate } from "@gatehouse/sdk";
import type { Deed } from "../access/audit.ts";
import { schemaViolation } from "../control/refusal.ts";
import { type Line, RegistryRefusal } from "../registry/desk.ts";
import type { Registry, StoredPackage } from "../registry/registry.ts";
import { StoreUnavailable } from "../stores/store.ts";
import { answerTo, notFound, numbered, Refusal } from "./answers.ts";
import { readBody } from "./body.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import type { AdminPort } from "./port.ts";
import type { Call } from "./routes.ts";

/** Of a body that says what to do with a package. */
export const MAX_REGISTRY_BODY = 16 << 10;

/** Does something with the registry. @throws {Refusal} for what it refuses. */
export async function asked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StoreUnavailable)
      throw new Refusal(
        503,
        {
          message: `the registry cannot be written to, nothing was changed, and requests are served as before: ${error.message}`,
        },
        { "retry-after": "1" },
      );
    if (!(error instanceof RegistryRefusal)) throw error;
    const { kind, message } = error;
    if (kind === "notFound") throw notFound(message);
    if (kind === "conflict") throw numbered("uniqueViolation", message);
    throw answerTo(schemaViolation([{ path: ["@entity"], message }]));
  }
}

/** The fields of a body. @throws {Refusal} 400 */
export async function readFields<T>(call: Call, schema: Field<T>): Promise<T> {
  const fields = schema.fields ?? {};
  const input = await readBody(call, (name) => (Object.hasOwn(fields, name) ? fields[name] : undefined));
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null));
  const { value, violations } = validate(schema, given);
  if (violations.length > 0) throw refused(violations);
  return value;
}

export const refused = (violations: readonly Violation[]): Refusal => answerTo(schemaViolation(violations));

/** The plugin that a path names, of the path's own workspace. */
export function ownLine(port: AdminPort, call: Call): Line {
  return {
    workspace: workspaceName(call),
    workspaceId: workspaceId(port, call),
    name: call.params.id ?? "",
  };
}

/**
 * The same of one that has been published. A workspace may also name `owner/plugin`, shared to it.
 * @throws {Refusal} 404
 */
export function usedLine(port: AdminPort, registry: Registry, call: Call): Line {
  const line = ownLine(port, call);
  const slash = line.name.indexOf("/");
  const owner = slash === -1 ? line.workspace : line.name.slice(0, slash);
  const name = line.name.slice(slash + 1);
  const entity = port.entities().named("workspaces", "", owner);
  const isThere =
    entity !== undefined &&
    registry.resolver.mayUse(line.workspace, owner, name) &&
    registry.tables.packages.line(owner, name).length > 0;
  if (!isThere) throw notFound();
  return { workspace: owner, workspaceId: entity.id, name };
}

/** Resolves once what has changed in the registry is in force as far as it can be. */
export const settled = (port: AdminPort): Promise<void> => port.alone(async () => {});

/** What is said of a package in the audit log. */
export function packageDeed(
  port: AdminPort,
  action: Deed["action"],
  { workspace, id, manifest }: StoredPackage,
  about: object,
): Deed {
  const of = { version: manifest.version, ...about };
  return {
    action,
    entity: "plugin_packages",
    id,
    name: manifest.name,
    workspace: port.entities().named("workspaces", "", workspace)?.id ?? "",
    ...(action === "delete" ? { before: of } : { after: of }),
  };
}

/** The same of something that belongs to a plugin. */
export function lineDeed(
  action: Deed["action"],
  entity: string,
  { workspaceId: workspace, name }: Line,
  said: { readonly before?: object | null; readonly after?: object | null },
): Deed {
  return { action, entity, id: null, name, workspace, ...said };
}
