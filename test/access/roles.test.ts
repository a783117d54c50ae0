/** Every route of the Admin API by every role: who may, and what nobody has thought of is the operator's. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { denial, listedRule, ruleOf } from "../../src/access/roles.ts";
import { ROLES, type Role, type Standing } from "../../src/access/standing.ts";
import { type AdminOptions, adminRoutes } from "../../src/admin/admin.ts";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

/** The least role that may read and write, of the workspace itself and of all workspaces; `-` is nobody. */
type Least = readonly [read: Role | "-", write: Role | "-", allRead: Role | "-", allWrite: Role | "-"];

const ENTITY: Least = ["viewer", "admin", "viewer", "admin"];
const TELLS_NOTHING: Least = ["viewer", "-", "viewer", "owner"];
const OPERATOR: Least = ["-", "-", "owner", "owner"];

/** By the beginning of the path under a workspace, and by that without one where it differs. */
const UNDER: Readonly<Record<string, Least>> = {
  services: ENTITY,
  routes: ENTITY,
  consumers: ENTITY,
  consumer_groups: ENTITY,
  plugins: ENTITY,
  "plugins/enabled": ["viewer", "viewer", "viewer", "viewer"],
  "plugins/schema": ["viewer", "viewer", "viewer", "viewer"],
  upstreams: ENTITY,
  targets: ENTITY,
  certificates: ENTITY,
  snis: ENTITY,
  ca_certificates: ENTITY,
  vaults: ENTITY,
  "key-sets": ENTITY,
  keys: ENTITY,
  "filter-chains": ENTITY,
  acls: ENTITY,
  "basic-auths": ENTITY,
  "hmac-auths": ENTITY,
  jwts: ENTITY,
  "key-auths": ENTITY,
  oauth2: ENTITY,
  schemas: ["viewer", "viewer", "viewer", "viewer"],
  config: ENTITY,
  kong: ["viewer", "-", "viewer", "owner"],
  "workspaces/:id": TELLS_NOTHING,
  tags: ["viewer", "-", "viewer", "owner"],
  "plugin-packages": ["viewer", "author", "viewer", "author"],
  recordings: ["author", "admin", "author", "admin"],
  "plugin-packages/:id/channels": ENTITY,
  "plugin-packages/:id/consent": ENTITY,
  "author-keys": ENTITY,
  "plugin-usage": ["author", "-", "author", "owner"],
  "plugin-tail": ["author", "-", "author", "owner"],
  "audit-log": ["admin", "-", "admin", "owner"],
  "admin-tokens": ["owner", "owner", "owner", "owner"],
};
const AT_THE_TOP: Readonly<Record<string, Least>> = {
  "": TELLS_NOTHING,
  status: TELLS_NOTHING,
  endpoints: TELLS_NOTHING,
  workspaces: TELLS_NOTHING,
  "workspaces/:id": TELLS_NOTHING,
  config: OPERATOR,
  debug: OPERATOR,
  "plugin-shares": OPERATOR,
  explain: ["-", "-", "owner", "viewer"],
  "plugin-usage": ["-", "-", "author", "owner"],
  "audit-log": ["-", "-", "admin", "owner"],
  "admin-tokens": OPERATOR,
};
/** What is asked within the asker's own workspace, whichever the path names. */
const ANYWHERE = ["", "status", "endpoints", "workspaces", "schemas", "plugins/enabled", "plugins/schema"];

const routes = adminRoutes({} as AdminOptions);

function areaOf(table: Readonly<Record<string, Least>>, path: string): string | undefined {
  const parts = path.split("/");
  for (let n = parts.length; n > 0; n--) {
    const area = parts.slice(0, n).join("/");
    if (Object.hasOwn(table, area)) return area;
  }
  return undefined;
}

const reaches = (role: Role, least: Role | "-") =>
  least !== "-" && ROLES.indexOf(role) >= ROLES.indexOf(least);

describe("every route by every role", () => {
  for (const { path } of routes) {
    const isUnder = path.startsWith("/:workspace");
    const rest = path.replace(/^\/:workspace/, "").slice(1);
    const top = isUnder ? undefined : areaOf(AT_THE_TOP, rest);
    const area = top ?? areaOf(UNDER, rest);

    test(`${path}: as the table has it`, () => {
      assert.ok(area !== undefined, `${path} has no line in this test's table: say who may ask it`);
      const least = top === undefined ? (UNDER[area] as Least) : (AT_THE_TOP[top] as Least);
      for (const method of METHODS) {
        const isRead = method === "GET";
        assert.ok(listedRule(path, method) !== null, `${path} has no line in roles.ts`);
        const rule = ruleOf(path, method);
        for (const role of ROLES) {
          const may = (standing: Standing, named: string) => denial(standing, rule, named) === null;
          assert.equal(
            may({ role, workspace: null }, "acme"),
            reaches(role, isRead ? least[2] : least[3]),
            `${method} by ${role} of all workspaces`,
          );
          assert.equal(
            may({ role, workspace: "acme" }, "acme"),
            reaches(role, isRead ? least[0] : least[1]),
            `${method} by ${role} of the workspace`,
          );
          if (!ANYWHERE.includes(area))
            assert.equal(may({ role, workspace: "acme" }, "other"), false, `${method} by ${role} of another`);
        }
      }
    });
  }
});

test("a route that nobody has thought of is for an owner of all workspaces alone", () => {
  for (const path of ["/new", "/:workspace/new", "/new/services", "/:workspace/debug"])
    for (const method of METHODS) {
      assert.deepEqual(ruleOf(path, method), { least: "owner", reach: "gateway" });
      assert.ok(denial({ role: "owner", workspace: "acme" }, ruleOf(path, method), "acme") !== null);
      assert.equal(denial({ role: "owner", workspace: null }, ruleOf(path, method), "acme"), null);
    }
});

test("a refusal is the same sentence for a workspace that there is and for one that there is not", () => {
  const rule = ruleOf("/:workspace/services", "GET");
  const asker: Standing = { role: "viewer", workspace: "acme" };
  assert.equal(denial(asker, rule, "other"), denial(asker, rule, "no-such-one"));
  assert.match(String(denial(asker, rule, "other")), /for workspace 'acme' alone; ask under \/acme\//);
});
