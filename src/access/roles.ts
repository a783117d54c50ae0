/**
 * Who may do what by the Admin API: one table. What is not in it, only the operator may: an owner of all workspaces.
 */
import { ENTITIES, ENTITY_NAMES } from "../entities/entities.ts";
import { ROLES, type Role, type Standing } from "./standing.ts";

/**
 * `workspace`: within the workspace of the path, which without a name is `default`.
 * `gateway`: it concerns all workspaces, so the token has to be for all.
 * `self`: the workspace that the path names as a thing, by a token of that one or of all.
 * `anywhere`: it tells nothing of any workspace but the token's own, in which it is asked.
 */
export type Reach = "workspace" | "gateway" | "self" | "anywhere";

export interface Rule {
  readonly least: Role;
  readonly reach: Reach;
}

interface Area {
  /** GET and HEAD. */
  readonly read: Rule;
  readonly write: Rule;
}

const rule = (least: Role, reach: Reach): Rule => ({ least, reach });
const OPERATOR: Rule = rule("owner", "gateway");
const ANYWHERE: Area = { read: rule("viewer", "anywhere"), write: rule("viewer", "anywhere") };
const ENTITY: Area = { read: rule("viewer", "workspace"), write: rule("admin", "workspace") };

const COLLECTIONS = ENTITY_NAMES.filter((name) => name !== "workspaces" && !ENTITIES[name].isRelation).map(
  (name) => [ENTITIES[name].collection, ENTITY] as const,
);

/**
 * By the beginning of a path, without the workspace; the longest that fits counts. `/x` as key is `/{workspace}/x` as
 * well, unless that one has a line of its own.
 */
const AREAS: Readonly<Record<string, Area>> = {
  ...Object.fromEntries(COLLECTIONS.map(([collection, area]) => [`/${collection}`, area])),
  "/:workspace/kong": { read: rule("viewer", "workspace"), write: OPERATOR },
  "/": { read: rule("viewer", "anywhere"), write: OPERATOR },
  "/status": { read: rule("viewer", "anywhere"), write: OPERATOR },
  "/endpoints": { read: rule("viewer", "anywhere"), write: OPERATOR },
  // To have something judged changes nothing.
  "/schemas": ANYWHERE,
  "/plugins/enabled": ANYWHERE,
  "/plugins/schema": ANYWHERE,
  "/tags": { read: rule("viewer", "workspace"), write: OPERATOR },
  "/plugin-packages": { read: rule("viewer", "workspace"), write: rule("author", "workspace") },
  // What clients have sent, as far as it is no secret by its name.
  "/recordings": { read: rule("author", "workspace"), write: rule("admin", "workspace") },
  // What a version may do, and who gets it, is said by whoever answers for the workspace.
  "/plugin-packages/:id/channels": ENTITY,
  "/plugin-packages/:id/consent": ENTITY,
  "/author-keys": ENTITY,
  "/plugin-shares": { read: OPERATOR, write: OPERATOR },
  "/plugin-packages/:id/rollouts": ENTITY,
  "/plugin-packages/:id/promote": ENTITY,
  "/plugin-packages/:id/rollback": ENTITY,
  // Without a workspace it is that of all.
  "/plugin-usage": { read: rule("author", "gateway"), write: OPERATOR },
  "/:workspace/plugin-usage": { read: rule("author", "workspace"), write: OPERATOR },
  "/plugin-tail": { read: rule("author", "workspace"), write: OPERATOR },
  "/audit-log": { read: rule("admin", "gateway"), write: OPERATOR },
  "/:workspace/audit-log": { read: rule("admin", "workspace"), write: OPERATOR },
  "/admin-tokens": { read: OPERATOR, write: OPERATOR },
  "/:workspace/admin-tokens": { read: rule("owner", "workspace"), write: rule("owner", "workspace") },
  // A workspace is its name, hosts, limits and egress: what its tenant may have is the operator's to say.
  "/workspaces": { read: rule("viewer", "anywhere"), write: OPERATOR },
  "/workspaces/:id": { read: rule("viewer", "self"), write: OPERATOR },
  // What a request would meet is told by the routes of all workspaces.
  "/explain": { read: OPERATOR, write: rule("viewer", "gateway") },
  "/config": { read: OPERATOR, write: OPERATOR },
  "/:workspace/config": { read: rule("viewer", "workspace"), write: rule("admin", "workspace") },
  "/debug": { read: OPERATOR, write: OPERATOR },
};

const WORKSPACE = "/:workspace";

/**
 * What it takes to call a route.
 * @param path as the route is declared, with `:name` for what varies.
 * @returns null if the table does not know it.
 */
export function listedRule(path: string, method: string): Rule | null {
  const within = path.startsWith(`${WORKSPACE}/`) ? path.slice(WORKSPACE.length) : null;
  const area = (within === null ? undefined : areaOf(path)) ?? areaOf(within ?? path);
  if (area === undefined) return null;
  return method === "GET" || method === "HEAD" ? area.read : area.write;
}

/** The same; what the table does not know takes the operator. */
export const ruleOf = (path: string, method: string): Rule => listedRule(path, method) ?? OPERATOR;

function areaOf(path: string): Area | undefined {
  for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/")))
    if (Object.hasOwn(AREAS, at)) return AREAS[at];
  return undefined;
}

/**
 * Why a request may not be made, in words for whoever makes it; null if it may. Nothing in them depends on what there is
 * in other workspaces, or whether there are any.
 * @param named the workspace of the path; for `self` the thing that the path names.
 */
export function denial({ role, workspace }: Standing, { least, reach }: Rule, named: string): string | null {
  if (workspace !== null) {
    if (reach === "gateway")
      return "This token is for one workspace, and what is asked for concerns the gateway as a whole";
    if (reach !== "anywhere" && named !== workspace)
      return `This token is for workspace '${workspace}' alone; ask under /${workspace}/`;
  }
  return ROLES.indexOf(role) >= ROLES.indexOf(least)
    ? null
    : `This token's role is '${role}', and this takes the role '${least}'`;
}
