/**
 * What can only be judged with all entities at hand: uniqueness, references, plugins and their scopes, and
 * that no workspace matches hosts of another.
 */
import type { EntityName } from "../entities/entities.ts";
import { pluginBaseName } from "../entities/plugins.ts";
import { DEFAULT_WORKSPACE } from "../entities/workspaces.ts";
import { necessary } from "../router/expressions/necessary.ts";
import { parseExpression } from "../router/expressions/syntax.ts";
import type { Draft, Faults, Scope } from "./draft.ts";
import { nearest } from "./nearest.ts";

/** Finds entities by id or endpoint key within a workspace, and refuses a second one of the same. */
export class Directory {
  readonly #byId = new Map<EntityName, Map<string, Draft>>();
  /** By workspace, by collection and field (or `@` for the rule over several), then by value. */
  readonly #unique = new Map<Scope, Map<string, Map<string, Draft>>>();
  readonly #faults: Faults;

  constructor(faults: Faults) {
    this.#faults = faults;
  }

  add(draft: Draft): void {
    const { type, scope, input } = draft;
    const byId = entry(this.#byId, type.name);
    const other = byId.get(draft.id);
    if (!other) byId.set(draft.id, draft);
    else if (typeof input.id === "string" || typeof other.input.id === "string")
      this.#twice(draft, other, ["id"], `primary key set to '${draft.id}'`);
    for (const field of type.uniqueFields) {
      const value = input[field];
      if (typeof value !== "string") continue;
      const other = this.#first(scope, field, value, draft);
      if (!other) continue;
      const shown = type.name === "keyauth_credentials" ? "***" : value;
      this.#twice(draft, other, [field], `${field} set to '${shown}'`);
    }
    const name = input[type.endpointKey];
    if (typeof name !== "string") return;
    const byKey = entry(scope.byKey, type.name);
    if (!byKey.has(name)) byKey.set(name, draft);
  }

  /** Resolves the references of an entity into `{ id }` values. */
  resolve(draft: Draft): void {
    for (const [field, parent] of Object.entries(draft.parents)) draft.value[field] = { id: parent.id };
    for (const [field, text] of Object.entries(draft.references)) {
      const reference = draft.type.foreignKeys[field] as EntityName;
      const found = this.find(reference, text, draft.scope);
      if (found) {
        draft.value[field] = { id: found.id };
        continue;
      }
      const inWorkspace = draft.scope.name === DEFAULT_WORKSPACE ? "" : ` of workspace '${draft.scope.name}'`;
      const near = nearest(text, draft.scope.byKey.get(reference)?.keys() ?? []);
      const message = `invalid reference '${field}: ${text}' (no such entry in '${reference}'${inWorkspace})`;
      this.#faults.entity(draft, [field], message, near === null ? null : `did you mean '${near}'?`);
      draft.sound = false;
    }
  }

  find(name: EntityName, text: string, scope: Scope): Draft | undefined {
    const byKey = scope.byKey.get(name)?.get(text);
    if (byKey) return byKey;
    const byId = this.#byId.get(name)?.get(text);
    return byId?.scope === scope ? byId : undefined;
  }

  /** The rule over several fields, once references are known. */
  checkCacheKey(draft: Draft): void {
    const { type, value, scope } = draft;
    if (!type.cacheKey || !draft.sound) return;
    const parts = type.cacheKey.map((field) => {
      const part = value[field];
      if (type.name === "plugins" && field === "name") return pluginBaseName(String(part));
      return (part as { id?: string } | null)?.id ?? (part as string | null) ?? "";
    });
    const other = this.#first(scope, "@", parts.join("\n"), draft);
    if (!other) return;
    const given = type.cacheKey.filter((_, i) => parts[i] !== "");
    const shown = given.map(
      (field) => draft.references[field] ?? label(draft.parents[field]) ?? String(value[field]),
    );
    this.#twice(draft, other, [given.at(-1)!], `${given.join(", ")} set to '${shown.join(", ")}'`);
  }

  /** Whoever has the value already, or nobody: then it is this one's. */
  #first(scope: Scope, field: string, value: string, draft: Draft): Draft | undefined {
    let groups = this.#unique.get(scope);
    if (!groups) {
      groups = new Map();
      this.#unique.set(scope, groups);
    }
    const values = entry(groups, `${draft.type.name} ${field}`);
    const other = values.get(value);
    if (!other) values.set(value, draft);
    return other;
  }

  #twice(draft: Draft, other: Draft, field: readonly string[], what: string): void {
    const message = `uniqueness violation: '${draft.type.name}' entity with ${what} already declared`;
    this.#faults.entity(draft, field, message, `the first is on line ${this.#faults.line(other.path)}`);
  }
}

function entry<K>(maps: Map<K, Map<string, Draft>>, key: K): Map<string, Draft> {
  let map = maps.get(key);
  if (!map) {
    map = new Map();
    maps.set(key, map);
  }
  return map;
}

function label(draft: Draft | undefined): string | undefined {
  if (!draft) return undefined;
  const name = draft.input[draft.type.endpointKey];
  return typeof name === "string" ? name : draft.id;
}

/** A route of a tenant matches only names that the tenant owns; without hosts it would match everybody's. */
export function checkOwnership(route: Draft, faults: Faults): void {
  const { scope } = route;
  if (scope.name === DEFAULT_WORKSPACE) return;
  const mine =
    scope.hosts.length === 0
      ? `workspace '${scope.name}' owns no hosts; list them under its 'hosts'`
      : `workspace '${scope.name}' owns: ${scope.hosts.slice(0, 10).join(", ")}`;
  if (typeof route.value.expression === "string") return checkExpressionOwnership(route, faults, mine);
  const hosts = route.value.hosts as readonly string[] | null;
  if (!hosts || hosts.length === 0) {
    const message = `a route of workspace '${scope.name}' must name hosts that the workspace owns`;
    faults.entity(route, ["hosts"], message, mine);
    return;
  }
  hosts.forEach((host, i) => {
    if (!scope.owned.owns(host))
      faults.entity(route, ["hosts", i], `host '${host}' is not owned by workspace '${scope.name}'`, mine);
  });
}

/** The same of an expression: it must ask for owned hosts where nothing goes round them. */
function checkExpressionOwnership(route: Draft, faults: Faults, mine: string): void {
  const { scope, value } = route;
  const { hosts } = necessary(parseExpression(value.expression as string));
  const stranger = hosts?.find(({ kind, text }) => {
    if (kind === "exact") return !scope.owned.owns(text);
    // `=^ ".a.com"` is `*.a.com`; without the dot, or with `^=`, it reaches names of others.
    return kind === "prefix" || !text.startsWith(".") || !scope.owned.owns(`*${text}`);
  });
  if (hosts !== null && stranger === undefined) return;
  const message =
    stranger === undefined
      ? `an expression of workspace '${scope.name}' must ask for hosts that the workspace owns: ` +
        `http.host == "…" && ( … )`
      : `host '${stranger.text}' is not owned by workspace '${scope.name}'`;
  faults.entity(route, ["expression"], message, mine);
}

/** Two workspaces cannot own one name: neither the same nor one below the other's wildcard. */
export function checkHostOwners(
  scopes: readonly (Scope & { readonly draft: Draft })[],
  faults: Faults,
): void {
  const owners = new Map<string, { scope: Scope; host: string }>();
  for (const scope of scopes) {
    for (const host of scope.hosts) if (!owners.has(host)) owners.set(host, { scope, host });
  }
  for (const scope of scopes) {
    scope.hosts.forEach((host, i) => {
      const other = [host, ...wildcardsAbove(host)]
        .map((name) => owners.get(name))
        .find((owner) => owner !== undefined && owner.scope !== scope);
      if (other)
        faults.entity(
          scope.draft,
          ["hosts", i],
          `host '${host}' is owned by workspace '${other.scope.name}' already`,
          other.host === host ? null : `through '${other.host}'`,
        );
    });
  }
}

function wildcardsAbove(host: string): string[] {
  const name = host.startsWith("*.") ? host.slice(2) : host;
  const out: string[] = [];
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1))
    out.push(`*${name.slice(dot)}`);
  return out;
}

/** A plugin's protocols must meet those of what it is scoped to. */
export function checkPluginProtocols(
  plugin: Draft,
  routes: ReadonlyMap<string, Draft>,
  routesOf: ReadonlyMap<string, readonly Draft[]>,
  faults: Faults,
): void {
  const protocols = plugin.value.protocols as readonly string[];
  const meets = (route: Draft) =>
    (route.value.protocols as readonly string[]).some((p) => protocols.includes(p));
  const routeId = (plugin.value.route as { id: string } | null)?.id;
  const serviceId = (plugin.value.service as { id: string } | null)?.id;
  const route = routeId === undefined ? undefined : routes.get(routeId);
  if (route && !meets(route))
    faults.entity(plugin, ["protocols"], "must match the associated route's protocols");
  const siblings = (serviceId === undefined ? undefined : routesOf.get(serviceId)) ?? [];
  if (!route && siblings.length > 0 && !siblings.some(meets))
    faults.entity(
      plugin,
      ["protocols"],
      "must match the protocols of at least one route pointing to this Plugin's service",
    );
}
