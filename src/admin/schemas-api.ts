/**
 * `/schemas/...`: the schemas of entities, plugins and vaults, from which tools fill in defaults and draw forms, and
 * whether an entity would be sound. References and what is there already are not looked at.
 */
import { fieldsToJson, isObject, schemaToJson, type Violation, violationFields } from "@gatehouse/sdk";
import { ENTITIES, type EntityName, type EntityType, schemaOf } from "../entities/entities.ts";
import { inspect } from "../entities/inspect.ts";
import { VAULT_SCHEMAS } from "../entities/vaults.ts";
import { notFound, numbered, Refusal, unsupportedType, violationMessage } from "./answers.ts";
import { workspaceId, workspaceName } from "./entities-api.ts";
import type { AdminPort } from "./port.ts";
import type { Call, Route } from "./routes.ts";

/** Longest entity that is judged, in bytes. */
const MAX_ENTITY_BYTES = 1 << 20;
const JSON_TYPE = "application/json";

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
    {
      path: `${prefix}/schemas/:name/validate`,
      maxBodyBytes: MAX_ENTITY_BYTES,
      before(call, method) {
        if (method === "POST" && call.type !== JSON_TYPE) throw unsupportedType([JSON_TYPE]);
      },
      POST(call) {
        workspaceId(port, call);
        judge(port, typeNamed(call), jsonOf(call), workspaceName(call));
        return { status: 200, body: { message: "schema validation successful" } };
      },
    },
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

function jsonOf({ body }: Call): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    value = undefined;
  }
  if (!isObject(value)) throw new Refusal(400, { message: "Cannot parse JSON body" });
  return value;
}

/** @throws {Refusal} with everything that is wrong with an entity. */
function judge(port: AdminPort, type: EntityType, given: Record<string, unknown>, workspace: string): void {
  const wrong: Violation[] = [];
  const input = { ...given };
  for (const [name, expand] of Object.entries(type.shorthands ?? {})) {
    if (!Object.hasOwn(input, name)) continue;
    const fields = expand(input[name]);
    delete input[name];
    if (typeof fields === "string") wrong.push({ path: [name], message: fields });
    else for (const [field, value] of Object.entries(fields)) input[field] ??= value;
  }
  type.normalize?.(input);
  const context = {
    plugins: { find: port.findPlugin },
    flavor: port.routerFlavor(),
    patterns: new Map(),
  };
  wrong.push(...inspect(type, input, workspace, context).findings);
  if (wrong.length === 0) return;
  const fields = violationFields(wrong);
  throw numbered("schemaViolation", violationMessage(fields), { fields });
}
