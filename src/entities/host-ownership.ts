/**
 * Whose hosts are whose: a workspace's routes and certificates answer only for names that it owns, and no two
 * workspaces own one name. The router is one index, so this is what keeps tenants' traffic apart.
 */
import { necessary } from "../router/expressions/necessary.ts";
import { parseExpression } from "../router/expressions/syntax.ts";
import type { RelationFault, WorkspaceFacts } from "./relations.ts";

type Fields = Readonly<Record<string, unknown>>;

/** How many hosts a message lists. */
const SHOWN = 10;

/** A route of a tenant matches only names that the tenant owns; without hosts it would match everybody's. */
export function* routeHostFaults(route: Fields, workspace: WorkspaceFacts): Generator<RelationFault> {
  const mine =
    workspace.hosts.length === 0
      ? `workspace '${workspace.name}' owns no hosts; list them under its 'hosts'`
      : `workspace '${workspace.name}' owns: ${workspace.hosts.slice(0, SHOWN).join(", ")}`;
  if (typeof route.expression === "string") return yield* expressionFaults(route.expression, workspace, mine);
  const hosts = route.hosts as readonly string[] | null;
  if (!hosts || hosts.length === 0) {
    const message = `a route of workspace '${workspace.name}' must name hosts that the workspace owns`;
    return yield { path: ["hosts"], message, hint: mine };
  }
  for (const [i, host] of hosts.entries())
    if (!workspace.owned.owns(host))
      yield { path: ["hosts", i], message: notOwned(host, workspace), hint: mine };
}

const notOwned = (host: string, { name }: WorkspaceFacts) =>
  `host '${host}' is not owned by workspace '${name}'`;

/** The same of an expression: it must ask for owned hosts where nothing goes round them. */
function* expressionFaults(
  expression: string,
  workspace: WorkspaceFacts,
  mine: string,
): Generator<RelationFault> {
  const { owned, name } = workspace;
  const { hosts } = necessary(parseExpression(expression));
  const stranger = hosts?.find(({ kind, text }) => {
    if (kind === "exact") return !owned.owns(text);
    // `=^ ".a.com"` is `*.a.com`; without the dot, or with `^=`, it reaches names of others.
    return kind === "prefix" || !text.startsWith(".") || !owned.owns(`*${text}`);
  });
  if (hosts !== null && stranger === undefined) return;
  const message =
    stranger === undefined
      ? `an expression of workspace '${name}' must ask for hosts that the workspace owns: ` +
        `http.host == "…" && ( … )`
      : notOwned(stranger.text, workspace);
  yield { path: ["expression"], message, hint: mine };
}

/** A certificate is shown only for names of its workspace; `*` is everybody's. */
export function* sniHostFaults(sni: Fields, workspace: WorkspaceFacts): Generator<RelationFault> {
  const name = String(sni.name).toLowerCase();
  if (name !== "*" && workspace.owned.owns(name)) return;
  const mine = workspace.hosts.slice(0, SHOWN).join(", ");
  const hint =
    mine === ""
      ? `workspace '${workspace.name}' owns no hosts`
      : `workspace '${workspace.name}' owns: ${mine}`;
  yield { path: ["name"], message: notOwned(name, workspace), hint };
}

/** Who owns which host, as workspaces list them. The first that lists one owns it. */
export function hostOwners(workspaces: Iterable<WorkspaceFacts>): ReadonlyMap<string, WorkspaceFacts> {
  const owners = new Map<string, WorkspaceFacts>();
  for (const workspace of workspaces)
    for (const host of workspace.hosts) if (!owners.has(host)) owners.set(host, workspace);
  return owners;
}

/** Two workspaces cannot own one name: neither the same nor one below the other's wildcard. */
export function* hostOwnerFaults(
  workspace: WorkspaceFacts,
  owners: ReadonlyMap<string, WorkspaceFacts>,
): Generator<RelationFault> {
  for (const [i, host] of workspace.hosts.entries()) {
    for (const name of [host, ...wildcardsAbove(host)]) {
      const other = owners.get(name);
      if (other === undefined || other.id === workspace.id) continue;
      const message = `host '${host}' is owned by workspace '${other.name}' already`;
      yield { path: ["hosts", i], message, hint: name === host ? null : `through '${name}'` };
      break;
    }
  }
}

/**
 * The same from above: a wildcard that a workspace is given covers names that others have had before. Loading a file
 * finds it from below, at whoever has the name.
 */
export function* coveredHostFaults(
  workspace: WorkspaceFacts,
  owners: ReadonlyMap<string, WorkspaceFacts>,
): Generator<RelationFault> {
  const places = new Map(workspace.hosts.map((host, i) => [host, i]));
  for (const [host, other] of owners) {
    if (other.id === workspace.id) continue;
    const wildcard = wildcardsAbove(host).find((name) => places.has(name));
    if (wildcard === undefined) continue;
    const message = `host '${host}' is owned by workspace '${other.name}' already`;
    yield { path: ["hosts", places.get(wildcard) as number], message, hint: `'${wildcard}' covers it` };
  }
}

function wildcardsAbove(host: string): string[] {
  const name = host.startsWith("*.") ? host.slice(2) : host;
  const out: string[] = [];
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1))
    out.push(`*${name.slice(dot)}`);
  return out;
}
