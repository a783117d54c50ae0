/**
 * `/audit-log` and `/{workspace}/audit-log`: who has changed what, newest first. The first is of the whole gateway, all
 * workspaces included.
 */
import { type AuditEntry, StoreUnavailable, UnfitValue } from "../stores/store.ts";
import { notFound, numbered, Refusal } from "./answers.ts";
import { workspaceId } from "./entity-view.ts";
import { readSize } from "./page.ts";
import type { AdminPort } from "./port.ts";
import type { Call, Route } from "./routes.ts";

export function auditRoutes(port: AdminPort): Route[] {
  return ["", "/:workspace"].map(
    (prefix): Route => ({
      path: `${prefix}/audit-log`,
      async GET(call) {
        const scope = prefix === "" ? null : workspaceId(port, call);
        const store = port.store();
        if (store === null)
          throw notFound("There is no audit log without a database: changes are lines of the gateway's log");
        const { entries, next: offset } = await page(store, scope, call);
        const data = entries.map((entry) => entryJson(port, entry));
        if (offset === null) return { status: 200, body: { data, next: null } };
        const query = new URLSearchParams({ offset });
        if (call.query.size !== undefined) query.set("size", String(call.query.size));
        return { status: 200, body: { data, offset, next: `${call.path}?${query}` } };
      },
    }),
  );
}

async function page(
  store: NonNullable<ReturnType<AdminPort["store"]>>,
  scope: string | null,
  { query: { size, offset } }: Call,
) {
  try {
    return await store.audit(scope, readSize(size), offset === undefined ? null : String(offset));
  } catch (error) {
    if (error instanceof StoreUnavailable)
      throw new Refusal(
        503,
        { message: `the store cannot be read: ${error.message}` },
        { "retry-after": "1" },
      );
    if (!(error instanceof UnfitValue)) throw error;
    throw numbered("invalidOffset", `'${String(offset).slice(0, 100)}' is not a valid offset`);
  }
}

function entryJson(port: AdminPort, { at, workspace, body }: AuditEntry): object {
  const name = port.entities().workspace(workspace)?.name ?? workspace;
  return { at: new Date(at).toISOString(), workspace: workspace === "" ? null : name, ...body };
}
