/**
 * `/schemas/...`: the schemas of entities, plugins and vaults, from which tools fill in defaults and draw forms, and
 * whether an entity would be sound. References and what is there already are not looked at.
 */
import { type Field, fieldsToJson, schemaToJson, type Violation } from "@gatehouse/sdk";
import { type Input, withoutShorthands } from "../control/input.ts";
import { checkSound } from "../control/refusal.ts";
import { ENTITIES, type EntityName, type EntityType, schemaOf } from "../entities/entities.ts";
import { inspect } from "../entities/inspect.ts";
import { VAULT_SCHEMAS } from "../entities/vaults.ts";
import { notFound } from "./answers.ts";
import { checkBodyType, MAX_ENTITY_BYTES, readBody } from "./body.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import type { AdminPort } from "./port.ts";
import type { Call, Route } from "./routes.ts";

export function schemaRoutes(port: AdminPort): Route[] {
  return ["", "/:workspace"].flatMap((prefix): Route[] => [
    {
      path: `${prefix}/schemas/:name`,
      GET(call) {
        workspaceId(port, call);
        const { type: _, ...body } = schemaToJson(schemaOf(typeNamed(call), port.routerFlavor()));
        return { status: 200, body };
      },
    },
    // The two that have schemas of their own below them would take `validate` for one of those.
    ...([":name", "plugins", "vaults"] as const).map((name) => ({
      path: `${prefix}/schemas/${name}/validate`,
      maxBodyBytes: MAX_ENTITY_BYTES,
      before(call: Call, method: string) {
        if (method === "POST") checkBodyType(call);
      },
      POST: async (call: Call) => {
        workspaceId(port, call);
        const type = name === ":name" ? typeNamed(call) : ENTITIES[name];
        const workspace = workspaceName(call);
        judge(port, type, await readBody(call, fieldOf(port, type, workspace)), workspace);
        return { status: 200, body: { message: "schema validation successful" } };
      },
    })),
    {
      path: `${prefix}/schemas/plugins/:name`,
      GET(call) {
        workspaceId(port, call);
        const name = call.params.name ?? "";
        const plugin = port.findPlugin(name, workspaceName(call));
        if ("missing" in plugin) throw notFound(`No plugin named '${name}'`);
        // A scope that a plugin forbids is a field that can only be null.
        const forbidden = (plugin.forbids ?? []).map((scope) => ({
          [scope]: { type: "foreign", reference: `${scope}s`, eq: null },
        }));
        const { protocols } = ENTITIES.plugins.schema.fields ?? {};
        const shared = protocols ? fieldsToJson({ protocols }) : [];
        const config = { ...schemaToJson(plugin.schema), required: true };
        return { status: 200, body: { fields: [...forbidden, ...shared, { config }] } };
      },
    },
    {
      path: `${prefix}/schemas/vaults/:name`,
      GET(call) {
        workspaceId(port, call);
        const name = call.params.name ?? "";
        if (!Object.hasOwn(VAULT_SCHEMAS, name)) throw notFound(`No vault named '${name}'`);
        const config = schemaToJson(VAULT_SCHEMAS[name as keyof typeof VAULT_SCHEMAS]);
        return { status: 200, body: { fields: [{ config: { ...config, required: true } }] } };
      },
    },
  ]);
}

function typeNamed(call: Call): EntityType {
  const name = call.params.name ?? "";
  if (!Object.hasOwn(ENTITIES, name)) throw notFound(`No entity named '${name}'`);
  return ENTITIES[name as EntityName];
}

/** The schema by which a form's field is read; a plugin's config has one of its own. */
function fieldOf(port: AdminPort, type: EntityType, workspace: string) {
  const fields = schemaOf(type, port.routerFlavor()).fields ?? {};
  return (name: string, input: Readonly<Record<string, unknown>>): Field | undefined => {
    const plugin =
      type.name === "plugins" && name === "config" ? port.findPlugin(String(input.name), workspace) : null;
    if (plugin !== null) return "missing" in plugin ? undefined : plugin.schema;
    return Object.hasOwn(fields, name) ? fields[name] : undefined;
  };
}

/** @throws {Refusal} with everything that is wrong with an entity. */
function judge(port: AdminPort, type: EntityType, given: Input, workspace: string): void {
  const wrong: Violation[] = [];
  const input = { ...withoutShorthands(type, given, wrong) };
  type.normalize?.(input);
  const context = {
    plugins: { find: port.findPlugin },
    flavor: port.routerFlavor(),
    patterns: new Map(),
  };
  const { findings } = inspect(type, input, workspace, context);
  checkSound(wrong, findings);
}
