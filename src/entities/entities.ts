/**
 * The entities of the gateway, one table. Types, validation, defaults, uniqueness, references, the Admin API's
 * collections and the schema output come from the same values: adding an entity is a line here and its schema.
 */
import type { ConfigOf, Field } from "@gatehouse/sdk";
import { caCertificateSchema, certificateSchema, digestOf, sniSchema } from "./certificates.ts";
import { consumerSchema, keyauthCredentialSchema } from "./consumers.ts";
import { NOT_SERVED } from "./not-served.ts";
import { pluginSchema } from "./plugins.ts";
import { expressionRouteSchema, type RouterFlavor, routeSchema } from "./routes.ts";
import { expandServiceUrl, serviceSchema } from "./services.ts";
import { alignHashing, normalizeTarget, targetSchema, upstreamSchema } from "./upstreams.ts";
import { workspaceSchema } from "./workspaces.ts";

export { OwnedHosts } from "./hosts.ts";
export {
  type CataloguePlugin,
  type PluginCatalogue,
  pluginBaseName,
} from "./plugins.ts";
export { ROUTER_FLAVORS, type RouterFlavor } from "./routes.ts";
export { DEFAULT_WORKSPACE, DEFAULT_WORKSPACE_ID } from "./workspaces.ts";

export interface EntityType {
  /** Key of the collection in files and in `GatewayConfig`: `services`. */
  readonly name: EntityName;
  /** What one is called in messages: `service`. */
  readonly singular: string;
  /** Path of the collection in the Admin API, without slash: `key-auths`. */
  readonly collection: string;
  /** Field beside `id` that finds an entity, in URLs and in references. */
  readonly endpointKey: string;
  readonly schema: Field;
  /** The schema under a flavour of the router, where that is another one. */
  readonly schemaUnder?: Readonly<Partial<Record<RouterFlavor, Field>>>;
  /** Foreign fields to the collections they point to, taken from the schema. */
  readonly foreignKeys: Readonly<Record<string, string>>;
  /** Fields that no two entities of a workspace may share, taken from the schema. */
  readonly uniqueFields: readonly string[];
  /** Fields that the gateway makes up when they are absent, `id` and times aside; taken from the schema. */
  readonly madeUpFields: readonly string[];
  /** Fields whose combination must be unique beside the `unique` ones. Null values count as values. */
  readonly cacheKey?: readonly string[];
  /** Input-only fields that stand for others. */
  readonly shorthands?: Readonly<Record<string, (value: unknown) => Record<string, unknown> | string>>;
  /** Fields that nobody is shown, the Admin API's clients included; taken from the schema. */
  readonly secretFields: readonly string[];
  /** Brings the given fields into the form in which they are kept, before validation. Edits in place. */
  readonly normalize?: (input: Record<string, unknown>) => void;
  /** What a sound entity asks for and this version does not do: by dotted field, why not. */
  readonly notServed?: (entity: Record<string, unknown>) => Readonly<Record<string, string>>;
  /** `created_at` and `updated_at` keep milliseconds as a fraction. */
  readonly fractionalTime?: boolean;
}

function entity<N extends EntityName>(
  name: N,
  singular: string,
  collection: string,
  endpointKey: string,
  schema: Field,
  extra: Partial<EntityType> = {},
): EntityType {
  const fields = Object.entries(schema.fields ?? {});
  const foreignKeys: Record<string, string> = {};
  for (const [field, { type, reference }] of fields) {
    if (type === "foreign" && reference !== undefined) foreignKeys[field] = reference;
  }
  return {
    name,
    singular,
    collection,
    endpointKey,
    schema,
    foreignKeys,
    uniqueFields: fields.filter(([, { unique }]) => unique).map(([field]) => field),
    madeUpFields: fields.filter(([, { auto, required }]) => auto && required).map(([field]) => field),
    secretFields: fields.filter(([, { encrypted }]) => encrypted).map(([field]) => field),
    notServed: NOT_SERVED[name],
    ...extra,
  };
}

/** Parents before children: the order in which a file is loaded and the Admin API lists collections. */
export const ENTITY_NAMES = [
  "workspaces",
  "consumers",
  "certificates",
  "snis",
  "ca_certificates",
  "services",
  "routes",
  "upstreams",
  "targets",
  "plugins",
  "keyauth_credentials",
] as const;
export type EntityName = (typeof ENTITY_NAMES)[number];

export const ENTITIES: Readonly<Record<EntityName, EntityType>> = {
  workspaces: entity("workspaces", "workspace", "workspaces", "name", workspaceSchema),
  consumers: entity("consumers", "consumer", "consumers", "username", consumerSchema),
  certificates: entity("certificates", "certificate", "certificates", "id", certificateSchema),
  snis: entity("snis", "sni", "snis", "name", sniSchema),
  ca_certificates: entity("ca_certificates", "ca_certificate", "ca_certificates", "id", caCertificateSchema, {
    normalize(authority) {
      authority.cert_digest ??= digestOf(authority.cert);
    },
  }),
  services: entity("services", "service", "services", "name", serviceSchema, {
    shorthands: { url: expandServiceUrl },
  }),
  routes: entity("routes", "route", "routes", "name", routeSchema, {
    schemaUnder: { expressions: expressionRouteSchema },
    normalize(route) {
      // For gRPC the default of strip_path is the other one.
      const { protocols } = route;
      if (
        route.strip_path === undefined &&
        Array.isArray(protocols) &&
        protocols.some((p) => /^grpcs?$/.test(p))
      )
        route.strip_path = false;
    },
  }),
  upstreams: entity("upstreams", "upstream", "upstreams", "name", upstreamSchema, {
    normalize: alignHashing,
  }),
  targets: entity("targets", "target", "targets", "target", targetSchema, {
    cacheKey: ["upstream", "target"],
    fractionalTime: true,
    normalize(target) {
      if (typeof target.target === "string") target.target = normalizeTarget(target.target);
    },
  }),
  plugins: entity("plugins", "plugin", "plugins", "instance_name", pluginSchema, {
    cacheKey: ["name", "route", "service", "consumer"],
  }),
  keyauth_credentials: entity(
    "keyauth_credentials",
    "key-auth credential",
    "key-auths",
    "key",
    keyauthCredentialSchema,
  ),
};

export const schemaOf = (type: EntityType, flavor: RouterFlavor): Field =>
  type.schemaUnder?.[flavor] ?? type.schema;

type Sound<T> = Omit<T, "id" | "created_at" | "updated_at"> & {
  readonly id: string;
  /** Seconds since the epoch. */
  readonly created_at: number;
  /** Workspace that it belongs to. Internal: never on the wire. */
  readonly ws_id: string;
} & ("updated_at" extends keyof T ? { readonly updated_at: number } : unknown);

export type Certificate = Sound<ConfigOf<typeof certificateSchema>>;
export type Sni = Sound<ConfigOf<typeof sniSchema>>;
export type CaCertificate = Sound<ConfigOf<typeof caCertificateSchema>>;
export type Service = Sound<ConfigOf<typeof serviceSchema>>;
export type Route = Sound<ConfigOf<typeof routeSchema>> & {
  /** Absent unless the router's flavour is `expressions`. */
  readonly expression?: string | null;
  readonly priority?: number;
};
export type Consumer = Sound<ConfigOf<typeof consumerSchema>>;
export type Upstream = Sound<ConfigOf<typeof upstreamSchema>>;
export type Target = Sound<ConfigOf<typeof targetSchema>>;
export type KeyAuthCredential = Sound<ConfigOf<typeof keyauthCredentialSchema>>;
export type Workspace = Sound<ConfigOf<typeof workspaceSchema>>;
export type PluginEntity = Omit<Sound<ConfigOf<typeof pluginSchema>>, "config"> & {
  /** Validated by the plugin's schema, defaults filled in. */
  readonly config: Readonly<Record<string, unknown>>;
};

/** Everything that a gateway serves, as plain data: it is posted to the data threads as it is. */
export interface GatewayConfig {
  /** 32 hexadecimal digits that change if and only if the content does; 32 zeros when empty. */
  hash: string;
  workspaces: Workspace[];
  certificates: Certificate[];
  snis: Sni[];
  ca_certificates: CaCertificate[];
  services: Service[];
  routes: Route[];
  upstreams: Upstream[];
  targets: Target[];
  consumers: Consumer[];
  keyauth_credentials: KeyAuthCredential[];
  plugins: PluginEntity[];
}

export const EMPTY_HASH = "0".repeat(32);
