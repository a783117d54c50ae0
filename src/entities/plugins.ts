/**
 * plugins: a plugin put in force at a scope (global, service, route, consumer and their combinations). Its
 * `config` has a schema of its own, which the catalogue finds by the plugin's name.
 */
import { any, boolean, type Field, foreign, record, set, string, type ValidateOptions } from "@gatehouse/sdk";
import { id, MAX_TEXT, name, PROTOCOLS, tags, timestamp } from "./fields.ts";

export const pluginSchema = record({
  id: id(),
  created_at: timestamp(),
  updated_at: timestamp(),
  name: string({
    required: true,
    lenMax: MAX_TEXT,
    description: "Which plugin: `key-auth`, or `name@1.2.0`, `name@^1.2` or `name@stable` of a package.",
  }),
  instance_name: name({ description: "The name of this use of it." }),
  route: foreign("routes", { onDelete: "cascade", description: "For its requests alone." }),
  service: foreign("services", { onDelete: "cascade", description: "For its requests alone." }),
  consumer: foreign("consumers", { onDelete: "cascade", description: "For its requests alone." }),
  config: any({ description: "Checked by the plugin's own schema." }),
  protocols: set(string({ oneOf: PROTOCOLS }), {
    required: true,
    default: ["grpc", "grpcs", "http", "https"],
    description: "Protocols of requests that it is for.",
  }),
  enabled: boolean({ required: true, default: true, description: "Whether it is in force." }),
  tags: tags(),
});

/** A plugin that can be put in force: built in, or uploaded to the workspace that asks. */
export interface CataloguePlugin {
  /** The name before `@`: the one that chains, scopes and messages use. */
  readonly name: string;
  readonly version: string;
  readonly priority: number;
  /** Schema of `config`. */
  readonly schema: Field;
  /** Foreign fields that this plugin may not be scoped by, e.g. `["consumer"]`. */
  readonly forbids?: readonly string[];
  /**
   * For a name that may mean several versions: the one of them that an entity with this config gets, and the config as
   * that one has it. Absent for the others.
   */
  readonly fit?: (
    config: unknown,
    compile: ValidateOptions["compile"],
  ) => { readonly plugin: CataloguePlugin; readonly config: unknown };
}

/** One door to every plugin that a configuration may name, whatever runs it. */
export interface PluginCatalogue {
  /**
   * @param name as the entity writes it: `key-auth`, `header-stamp@1.2.0`, `acme/header-stamp@1.2.0`.
   * @param workspaceName whose entity it is; a package of another workspace is found only if it is shared.
   * @returns the plugin, or why there is none; an empty `missing` leaves the wording to the caller.
   */
  find(name: string, workspaceName: string): CataloguePlugin | { readonly missing: string };
  /** Names that a message may suggest to that workspace in place of an unknown one. */
  names?(workspaceName: string): readonly string[];
}

/** The part of a plugin's name that a scope can hold once: without version and without its owner. */
export function pluginBaseName(name: string): string {
  const at = name.indexOf("@");
  const slash = name.indexOf("/");
  return name.slice(slash + 1, at === -1 ? undefined : at);
}
