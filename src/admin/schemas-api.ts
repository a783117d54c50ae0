/** `GET /schemas/...`: the schemas of entities and plugins, from which tools fill in defaults and draw forms. */
import { fieldsToJson, schemaToJson } from "@gatehouse/sdk";
import { ENTITIES, type EntityName, schemaOf } from "../entities/entities.ts";
import { notFound } from "./answers.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import type { AdminPort } from "./port.ts";
import type { Route } from "./routes.ts";

export function schemaRoutes(port: AdminPort): Route[] {
  return ["", "/:workspace"].flatMap((prefix): Route[] => [
    {
      path: `${prefix}/schemas/:name`,
      GET(call) {
        workspaceId(port, call);
        const name = call.params.name ?? "";
        if (!Object.hasOwn(ENTITIES, name)) throw notFound(`No entity named '${name}'`);
        const { type: _, ...body } = schemaToJson(
          schemaOf(ENTITIES[name as EntityName], port.routerFlavor()),
        );
        return { status: 200, body };
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
  ]);
}
