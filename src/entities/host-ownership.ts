/**
 * Whose requests are whose: a workspace's routes and certificates answer only for names that it owns, for paths that it
 * owns below names that nobody does, or at ports that it owns; and no two workspaces own one of those. The router is one
 * index, so this is what keeps tenants' traffic apart.
 */
import { necessary } from "../router/expressions/necessary.ts";
import { parseExpression } from "../router/expressions/syntax.ts";
import { parseHost } from "./hosts.ts";
import type { RelationFault, WorkspaceFacts } from "./relations.ts";

type Fields = Readonly<Record<string, unknown>>;

/** How many hosts a message lists. */
const SHOWN = 10;

/** A route of a tenant matches only what the tenant owns; without hosts it would match everybody's. */
export function* routeHostFaults(route: Fields, workspace: WorkspaceFacts): Generator<RelationFault> {
  const mine = possessions(workspace);
  if (typeof route.expression === "string") return yield* expressionFaults(route.expression, workspace, mine);
  const hosts = route.hosts as readonly string[] | null;
  if (!hosts || hosts.length === 0) {
    const message = `a route of workspace '${workspace.name}' must name hosts that the workspace owns`;
    return yield { path: ["hosts"], message, hint: mine };
  }
  for (const [i, host] of hosts.entries()) {
    if (workspace.owned.owns(host) || workspace.ports.includes(portOf(host))) continue;
    const prefixes = workspace.paths.map(splitPath).filter((owned) => owned.host === host.toLowerCase());
    if (prefixes.length === 0) yield { path: ["hosts", i], message: notOwned(host, workspace), hint: mine };
    else yield* routePathFaults(route, host, prefixes, workspace, mine);
  }
}

/** On a host that others use as well, every path is below one that the workspace owns. */
function* routePathFaults(
  route: Fields,
  host: string,
  prefixes: readonly OwnedPath[],
  { name }: WorkspaceFacts,
  mine: string,
): Generator<RelationFault> {
  const paths = route.paths as readonly string[] | null;
  if (!paths || paths.length === 0) {
    const message = `a route of workspace '${name}' on '${host}' must name paths that the workspace owns there`;
    return yield { path: ["paths"], message, hint: mine };
  }
  for (const [i, path] of paths.entries()) {
    // A pattern begins with `~`; paths are normal, so what begins so matches nothing beside it.
    if (prefixes.some(({ prefix }) => path.startsWith(prefix))) continue;
    yield {
      path: ["paths", i],
      message: `path '${path}' on '${host}' is not owned by workspace '${name}'`,
      hint: mine,
    };
  }
}

function possessions({ name, hosts, paths, ports }: WorkspaceFacts): string {
  const all = [...hosts, ...paths, ...ports.map((port) => `port ${port}`)];
  return all.length === 0
    ? `workspace '${name}' owns no hosts; list them under its 'hosts'`
    : `workspace '${name}' owns: ${all.slice(0, SHOWN).join(", ")}`;
}

/** The port at which a host of a route answers alone; 0 for any. */
function portOf(host: string): number {
  const parts = parseHost(host);
  return typeof parts === "string" ? 0 : (parts.port ?? 0);
}

interface OwnedPath {
  readonly host: string;
  /** From `/` to `/`. */
  readonly prefix: string;
}

function splitPath(owned: string): OwnedPath {
  const slash = owned.indexOf("/");
  return { host: owned.slice(0, slash), prefix: owned.slice(slash) };
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

/** Who owns what, as workspaces list it. The first that lists something owns it. */
export interface Owners {
  readonly hosts: ReadonlyMap<string, WorkspaceFacts>;
  readonly ports: ReadonlyMap<number, WorkspaceFacts>;
  /** By host. */
  readonly paths: ReadonlyMap<string, readonly { readonly prefix: string; readonly owner: WorkspaceFacts }[]>;
}

export function hostOwners(workspaces: Iterable<WorkspaceFacts>): Owners {
  const hosts = new Map<string, WorkspaceFacts>();
  const ports = new Map<number, WorkspaceFacts>();
  const paths = new Map<string, { prefix: string; owner: WorkspaceFacts }[]>();
  for (const owner of workspaces) {
    for (const host of owner.hosts) if (!hosts.has(host)) hosts.set(host, owner);
    for (const port of owner.ports) if (!ports.has(port)) ports.set(port, owner);
    for (const { host, prefix } of owner.paths.map(splitPath)) {
      const others = paths.get(host);
      if (others === undefined) paths.set(host, [{ prefix, owner }]);
      else others.push({ prefix, owner });
    }
  }
  return { hosts, ports, paths };
}

/**
 * Two workspaces cannot own one thing: neither the same host nor one below the other's wildcard, no port, no path below
 * the other's, and no path of a host that is the other's.
 */
export function* hostOwnerFaults(workspace: WorkspaceFacts, owners: Owners): Generator<RelationFault> {
  const isOthers = (other: WorkspaceFacts | undefined) => other !== undefined && other.id !== workspace.id;
  for (const [i, host] of workspace.hosts.entries()) {
    const name = [host, ...wildcardsAbove(host)].find((each) => isOthers(owners.hosts.get(each)));
    if (name === undefined) continue;
    yield taken(
      ["hosts", i],
      `host '${host}'`,
      owners.hosts.get(name),
      name === host ? null : `through '${name}'`,
    );
  }
  for (const [i, port] of workspace.ports.entries())
    if (isOthers(owners.ports.get(port)))
      yield taken(["ports", i], `port ${port}`, owners.ports.get(port), null);
  for (const [i, path] of workspace.paths.entries()) {
    const { host, prefix } = splitPath(path);
    const name = [host, ...wildcardsAbove(host)].find((each) => isOthers(owners.hosts.get(each)));
    if (name !== undefined) {
      yield taken(
        ["paths", i],
        `host '${host}'`,
        owners.hosts.get(name),
        name === host ? null : `through '${name}'`,
      );
      continue;
    }
    const all = owners.paths.get(host) ?? [];
    // Of two in one file the later one is at fault.
    const own = all.findIndex((each) => each.owner.id === workspace.id && each.prefix === prefix);
    const other = all
      .slice(0, own < 0 ? all.length : own)
      .find(
        (each) => isOthers(each.owner) && (prefix.startsWith(each.prefix) || each.prefix.startsWith(prefix)),
      );
    if (other === undefined) continue;
    const through = other.prefix === prefix ? null : `through '${host}${other.prefix}'`;
    yield taken(["paths", i], `path '${path}'`, other.owner, through);
  }
}

/**
 * The same from above: a wildcard that a workspace is given covers names that others have had before, and a host may have
 * paths of others. Loading a file finds it from below, at whoever has the name or path.
 */
export function* coveredHostFaults(workspace: WorkspaceFacts, owners: Owners): Generator<RelationFault> {
  const places = new Map(workspace.hosts.map((host, i) => [host, i]));
  for (const [host, other] of owners.hosts) {
    if (other.id === workspace.id) continue;
    const wildcard = wildcardsAbove(host).find((name) => places.has(name));
    if (wildcard === undefined) continue;
    yield taken(
      ["hosts", places.get(wildcard) as number],
      `host '${host}'`,
      other,
      `'${wildcard}' covers it`,
    );
  }
  for (const [host, paths] of owners.paths) {
    const other = paths.find(({ owner }) => owner.id !== workspace.id);
    const name = [host, ...wildcardsAbove(host)].find((each) => places.has(each));
    if (other === undefined || name === undefined) continue;
    const hint = `'${name}' would take it from that workspace`;
    yield taken(["hosts", places.get(name) as number], `path '${host}${other.prefix}'`, other.owner, hint);
  }
}

const taken = (
  path: RelationFault["path"],
  what: string,
  owner: WorkspaceFacts | undefined,
  hint: string | null,
): RelationFault => ({ path, message: `${what} is owned by workspace '${owner?.name}' already`, hint });

function wildcardsAbove(host: string): string[] {
  const name = host.startsWith("*.") ? host.slice(2) : host;
  const out: string[] = [];
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1))
    out.push(`*${name.slice(dot)}`);
  return out;
}
