/** What decK, and formats before 3.0, say in ways of their own, said in those of a document of format 3.0. */
import { isObject } from "@gatehouse/sdk";
import { ENTITIES, ENTITY_NAMES, type EntityName } from "../entities/entities.ts";
import type { Remark } from "./kong-file.ts";

type Tree = Record<string, unknown>;
type Path = readonly (string | number)[];
type Note = (path: Path, remark: Omit<Remark, "line" | "column">, atKey?: boolean) => void;

/** Of decK and Kong's Enterprise edition alone. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  _konnect: "Konnect is Kong's own service",
  rbac_roles: "roles of Kong's Enterprise edition; tokens of the Admin API have roles here",
  rbac_users: "users of Kong's Enterprise edition; tokens of the Admin API have roles here",
  service_packages: "Konnect is Kong's own service",
  licenses: "there is nothing to license",
  custom_entities: "entities of a plugin's own are not there",
  partials: "partials are not there; write the fields into each plugin's config",
  cloned_plugins: "plugins cannot be cloned under another name",
  custom_plugins: "plugins of one's own are packages here; see 'gatehouse plugin pack'",
};

/** What decK fills in by `_info.defaults`. */
const DEFAULTED: Readonly<Record<string, EntityName>> = {
  service: "services",
  route: "routes",
  upstream: "upstreams",
  target: "targets",
};

export function rewrite(document: Tree, origins: ReadonlyMap<object, Path>, note: Note): Tree {
  const rewriter = new Rewriter(origins, note);
  return rewriter.document(document);
}

class Rewriter {
  readonly #origins: ReadonlyMap<object, Path>;
  readonly #note: Note;

  constructor(origins: ReadonlyMap<object, Path>, note: Note) {
    this.#origins = origins;
    this.#note = note;
  }

  document(source: Tree): Tree {
    const { _format_version: version, _info: info, _workspace: workspace, _plugin_configs: shared } = source;
    const top: Tree = { _format_version: "3.0" };
    const own = ["_format_version", "_info", "_workspace", "_plugin_configs"];
    for (const [key, value] of Object.entries(source)) {
      if (own.includes(key)) continue;
      const why = ELSEWHERE[key];
      if (why === undefined) top[key] = value;
      else this.#leftOut([key], key, why);
    }
    this.#version(version, top);
    this.#info(info, top);
    this.#pluginConfigs(shared, top);
    this.#memberships(top);
    this.#references(top);
    return this.#workspace(workspace, top);
  }

  #leftOut(path: Path, field: string, message: string): void {
    this.#note(path, { kind: "left out", entity: null, field, message, hint: null }, true);
  }

  #changed(path: Path, field: string, message: string, atKey = true): void {
    this.#note(path, { kind: "changed", entity: null, field, message, hint: null }, atKey);
  }

  #version(version: unknown, top: Tree): void {
    const text = String(version ?? "");
    if (version !== "3.0")
      this.#changed(["_format_version"], "_format_version", `${text || "absent"}: written as 3.0`);
    if (text !== "1.1" && text !== "2.1" && text !== "1" && text !== "2") return;
    for (const { node } of entitiesIn(top, "routes")) {
      const { paths } = node;
      if (!Array.isArray(paths)) continue;
      node.paths = paths.map((path, i) => {
        // Before 3.0 a path with anything beside these was a pattern.
        if (typeof path !== "string" || /^[a-zA-Z0-9.\-_~/%]*$/.test(path)) return path;
        this.#changed(
          [...this.#originOf(node), "paths", i],
          "paths",
          `'${path}' is a pattern: written as '~${path}'`,
          false,
        );
        return `~${path}`;
      });
    }
  }

  #info(info: unknown, top: Tree): void {
    if (!isObject(info)) return;
    const { select_tags: tags, defaults, ...rest } = info;
    for (const key of Object.keys(rest))
      this.#leftOut(["_info", key], `_info.${key}`, "says something to decK alone");
    if (Array.isArray(tags) && tags.length > 0) {
      const all = tags.filter((tag) => typeof tag === "string");
      this.#changed(
        ["_info", "select_tags"],
        "_info.select_tags",
        `every entity gets the tags: ${all.join(", ")}`,
      );
      for (const kind of ENTITY_NAMES) {
        if (ENTITIES[kind].schema.fields?.tags === undefined) continue;
        for (const { node } of entitiesIn(top, kind))
          node.tags = [...new Set([...(Array.isArray(node.tags) ? node.tags : []), ...all])];
      }
    }
    if (!isObject(defaults)) return;
    for (const [name, values] of Object.entries(defaults)) {
      const kind = DEFAULTED[name];
      if (kind === undefined || !isObject(values)) {
        this.#leftOut(["_info", "defaults", name], `_info.defaults.${name}`, "is no default that decK has");
        continue;
      }
      this.#changed(["_info", "defaults", name], `_info.defaults.${name}`, `written into each of ${kind}`);
      for (const { node } of entitiesIn(top, kind))
        for (const [field, value] of Object.entries(values)) node[field] ??= structuredClone(value);
    }
  }

  /** Configs that plugins share by name. */
  #pluginConfigs(shared: unknown, top: Tree): void {
    const configs = isObject(shared) ? shared : {};
    for (const { node } of entitiesIn(top, "plugins")) {
      if (!Object.hasOwn(node, "_config")) continue;
      const { _config: name } = node;
      delete node._config;
      const path = [...this.#originOf(node), "_config"];
      const found = typeof name === "string" && Object.hasOwn(configs, name) ? configs[name] : undefined;
      if (!isObject(found)) {
        this.#leftOut(path, "_config", `there is no '${String(name)}' under _plugin_configs`);
        continue;
      }
      this.#changed(path, "_config", `'${String(name)}' is written into the plugin's config`);
      node.config = { ...structuredClone(found), ...(isObject(node.config) ? node.config : {}) };
    }
  }

  /** `consumers[].groups` and `consumer_groups[].consumers` are entities of their own. */
  #memberships(top: Tree): void {
    const ties = new Map<string, Tree>();
    const tie = (path: Path, group: unknown, consumer: unknown) => {
      if (typeof group !== "string" || typeof consumer !== "string") {
        this.#leftOut(path, "", "a consumer is put in a group by the names of both");
        return;
      }
      ties.set(JSON.stringify([group, consumer]), { consumer_group: group, consumer });
    };
    const nameOf = (member: unknown, key: string) => (isObject(member) ? (member[key] ?? member.id) : member);
    for (const { node } of entitiesIn(top, "consumers")) {
      if (!Array.isArray(node.groups)) continue;
      const path = [...this.#originOf(node), "groups"];
      for (const [i, group] of node.groups.entries())
        tie([...path, i], nameOf(group, "name"), node.username ?? node.id);
      this.#changed(path, "groups", "written as consumer_group_consumers");
      delete node.groups;
    }
    for (const { node } of entitiesIn(top, "consumer_groups")) {
      if (!Array.isArray(node.consumers)) continue;
      const path = [...this.#originOf(node), "consumers"];
      for (const [i, consumer] of node.consumers.entries())
        tie([...path, i], node.name ?? node.id, nameOf(consumer, "username"));
      this.#changed(path, "consumers", "written as consumer_group_consumers");
      delete node.consumers;
    }
    if (ties.size === 0) return;
    const there = top.consumer_group_consumers;
    top.consumer_group_consumers = [...(Array.isArray(there) ? there : []), ...ties.values()];
  }

  /** `service: { name: x }` is `service: x`. */
  #references(top: Tree): void {
    for (const kind of ENTITY_NAMES) {
      const { foreignKeys } = ENTITIES[kind];
      for (const { node } of entitiesIn(top, kind))
        for (const [field, parent] of Object.entries(foreignKeys)) {
          const value = node[field];
          if (!isObject(value)) continue;
          const key = value.id ?? value[ENTITIES[parent as EntityName].endpointKey];
          if (typeof key !== "string") continue;
          this.#changed([...this.#originOf(node), field], field, `written as '${key}'`);
          node[field] = key;
        }
    }
  }

  #workspace(name: unknown, top: Tree): Tree {
    if (name === undefined || name === null || name === "default") return top;
    this.#changed(["_workspace"], "_workspace", `its entities are written under workspace '${String(name)}'`);
    const { _format_version: version, _transform: transform, ...entities } = top;
    return {
      _format_version: version,
      ...(transform === undefined ? {} : { _transform: transform }),
      workspaces: [{ name, ...entities }],
    };
  }

  #originOf(node: Tree): Path {
    return this.#origins.get(node) ?? [];
  }
}

/** All of a collection, wherever they are nested. */
function* entitiesIn(node: Tree, kind: EntityName): Generator<{ node: Tree }> {
  for (const collection of [...ENTITY_NAMES] as readonly string[]) {
    const list = node[collection];
    if (!Array.isArray(list)) continue;
    for (const item of list) {
      if (!isObject(item)) continue;
      if (collection === kind) yield { node: item };
      yield* entitiesIn(item, kind);
    }
  }
}
