/**
 * `/admin-tokens` and `/{workspace}/admin-tokens`: who may speak to the Admin API. The first shows and makes tokens of
 * every kind; the second knows those of its workspace alone. A token itself is shown once, in answer to its creation.
 */
import { integer, record, string, validate } from "@gatehouse/sdk";
import { ROLES, type Role } from "../access/standing.ts";
import { type AdminToken, TOKEN_KIND } from "../access/token-table.ts";
import { schemaViolation } from "../control/refusal.ts";
import { notFound } from "./answers.ts";
import { checkBodyType, readBody } from "./body.ts";
import { checkWritable } from "./entities-api.ts";
import { workspaceId } from "./entity-view.ts";
import { byId, pageOf } from "./page.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Call, Route } from "./routes.ts";

const MAX_BYTES = 16 << 10;
/** What stands for all workspaces. */
const ALL = "*";

/** As a collection. */
const TOKENS = { name: TOKEN_KIND };

const SCHEMA = record({
  name: string({ required: true, lenMin: 1, lenMax: 128 }),
  role: string({ required: true, oneOf: [...ROLES] }),
  workspace: string({ lenMax: 64 }),
  expires_at: integer({ between: [1, 253_402_300_799], description: "Seconds since the epoch." }),
});

export function adminTokenRoutes(port: AdminPort): Route[] {
  return ["", "/:workspace"].flatMap((prefix): Route[] => {
    const scope = (call: Call) => (prefix === "" ? null : workspaceId(port, call));
    return [
      {
        path: `${prefix}/admin-tokens`,
        maxBodyBytes: MAX_BYTES,
        before(call, method) {
          scope(call);
          checkWritable(port, TOKENS, method);
          if (method === "POST") checkBodyType(call);
        },
        GET(call) {
          const page = pageOf(byId(port.tokens.list(scope(call))), call.query, call.path);
          return { status: 200, body: { ...page, data: page.data.map((token) => tokenJson(port, token)) } };
        },
        POST: (call) => create(port, call, scope(call)),
      },
      {
        path: `${prefix}/admin-tokens/:id`,
        before(call, method) {
          scope(call);
          checkWritable(port, TOKENS, method);
        },
        GET(call) {
          const token = port.tokens.find(call.params.id ?? "", scope(call));
          if (token === undefined) throw notFound();
          return { status: 200, body: tokenJson(port, token) };
        },
        async DELETE(call) {
          await port.tokens.revoke(call.params.id ?? "", scope(call), call.author);
          return { status: 204 };
        },
      },
    ];
  });
}

async function create(port: AdminPort, call: Call, scope: string | null): Promise<Answer> {
  const input = await readBody(call, (name) => SCHEMA.fields?.[name as keyof typeof SCHEMA.fields]);
  const { value, violations } = validate(SCHEMA, withoutNulls(input));
  if (violations.length > 0) throw schemaViolation(violations);
  const wrong = (field: string, message: string) => schemaViolation([{ path: [field], message }]);
  const { name, role, workspace: written, expires_at: expiresAt } = value;
  if (expiresAt !== null && expiresAt * 1000 <= Date.now())
    throw wrong("expires_at", "must be in the future, in seconds since the epoch");
  const workspace = scope ?? named();
  if (scope !== null && written !== null && written !== call.params.workspace)
    throw wrong("workspace", `must be '${call.params.workspace}', or left out`);
  const { text, token } = await port.tokens.create(
    { name, role: role as Role, workspace, expiresAt },
    call.author,
  );
  return {
    status: 201,
    body: { ...tokenJson(port, token), token: text },
    headers: { "cache-control": "no-store" },
  };

  function named(): string {
    if (written === null)
      throw wrong("workspace", "required field missing: a workspace, or '*' for all of them");
    if (written === ALL) return "";
    const entity = port.entities().named("workspaces", "", written);
    if (entity === undefined) throw wrong("workspace", `there is no workspace '${written}'`);
    return entity.id;
  }
}

const withoutNulls = (input: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null));

function tokenJson(port: AdminPort, token: AdminToken) {
  const { id, name, role, workspace, createdAt, expiresAt, lastFour } = token;
  return {
    id,
    name,
    role,
    workspace: workspace === "" ? ALL : (port.entities().workspace(workspace)?.name ?? null),
    created_at: createdAt,
    expires_at: expiresAt,
    last_four: lastFour,
  };
}
