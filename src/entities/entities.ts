/**
 * The entities of the gateway, one table. Types, validation, defaults, uniqueness, references, the Admin API's
 * collections and the schema output come from the same values: adding an entity is a line here and its schema.
 */
import type { ConfigOf, Field, OnDelete } from "@gatehouse/sdk";
import { caCertificateSchema, certificateSchema, digestOf, sniSchema } from "./certificates.ts";
import { consumerGroupConsumerSchema, consumerGroupSchema, consumerSchema } from "./consumers.ts";
import {
  aclSchema,
  basicauthCredentialSchema,
  hmacauthCredentialSchema,
  jwtSecretSchema,
  keyauthCredentialSchema,
  oauth2CredentialSchema,
} from "./credentials.ts";
import { filterChainSchema } from "./filter-chains.ts";
import { keySchema, keySetSchema } from "./keys.ts";
import { NOT_SERVED } from "./not-served.ts";
import { pluginSchema } from "./plugins.ts";
import { expressionRouteSchema, type RouterFlavor, routeSchema } from "./routes.ts";
import { expandServiceUrl, serviceSchema } from "./services.ts";
import { alignHashing, normalizeTarget, targetSchema, upstreamSchema } from "./upstreams.ts";
import { vaultSchema } from "./vaults.ts";
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
  /** The same under a parent: `key-auth`. */
  readonly nestedCollection: string;
  /** Field beside `id` that finds an entity, in URLs and in references. */
  readonly endpointKey: string;
  readonly schema: Field;
  /** The schema under a flavour of the router, where that is another one. */
  readonly schemaUnder?: Readonly<Partial<Record<RouterFlavor, Field>>>;
  /** Foreign fields to the collections they point to, taken from the schema. */
  readonly foreignKeys: Readonly<Record<string, string>>;
  /** What deleting the other does, by foreign field; taken from the schema. */
  readonly onDelete: Readonly<Record<string, OnDelete>>;
  /** Fields that no two entities of a workspace may share, taken from the schema. */
  readonly uniqueFields: readonly string[];
  /** Those of them that no two entities of the gateway may share, taken from the schema. */
  readonly globallyUniqueFields: readonly string[];
  /** Fields that the gateway makes up when they are absent, `id` and times aside; taken from the schema. */
  readonly madeUpFields: readonly string[];
  /** Fields whose combination must be unique beside the `unique` ones. Null values count as values. */
  readonly cacheKey?: readonly string[];
  /** Input-only fields that stand for others. */
  readonly shorthands?: Readonly<Record<string, (value: unknown) => Record<string, unknown> | string>>;
  /** Fields that nobody is shown, the Admin API's clients included: private keys. */
  readonly secretFields: readonly string[];
  /** Fields that are as good as a password: the Admin API's clients see them, messages and logs never quote them. */
  readonly quietFields: readonly string[];
  /** Fields of such an entity that are kept as a hash (passwords.ts) of what is given. */
  readonly hashedFields?: (entity: Readonly<Record<string, unknown>>) => readonly string[];
  /** It ties two others together and has no endpoints of its own: theirs write and read it. */
  readonly isRelation?: boolean;
  /** Why there can be none, if so: the message of Kong's endpoints, and that of a file. */
  readonly unavailable?: { readonly endpoint: string; readonly file: string };
  /** Whose it can only be: entities of it in another workspace than `default` are refused, for this reason. */
  readonly operatorOnly?: string;
  /** Brings the given fields into the form in which they are kept, before validation. Edits in place. */
  readonly normalize?: (input: Record<string, unknown>) => void;
  /** What a sound entity asks for and this version does not do: by dotted field, why not. */
  readonly notServed?: (entity: Record<string, unknown>) => Readonly<Record<string, string>>;
  /** `created_at` and `updated_at` keep milliseconds as a fraction. */
  readonly fractionalTime?: boolean;
}

function entity(
  name: EntityName,
  singular: string,
  collection: string,
  endpointKey: string,
  schema: Field,
  extra: Partial<EntityType> = {},
): EntityType {
  const fields = Object.entries(schema.fields ?? {});
  const named = (wanted: (field: Field) => unknown) =>
    fields.filter(([, field]) => wanted(field)).map(([field]) => field);
  const foreign = named(({ type }) => type === "foreign");
  const ofForeign = <T>(value: (field: Field) => T): Record<string, T> =>
    Object.fromEntries(foreign.map((field) => [field, value(schema.fields?.[field] as Field)]));
  return {
    name,
    singular,
    collection,
    nestedCollection: collection,
    endpointKey,
    schema,
    foreignKeys: ofForeign(({ reference }) => reference as string),
    onDelete: ofForeign(({ onDelete = "restrict" }) => onDelete),
    uniqueFields: named(({ unique }) => unique),
    globallyUniqueFields: named(({ uniqueAcrossWs }) => uniqueAcrossWs),
    madeUpFields: named(({ auto, uuid, timestamp }) => auto && !uuid && !timestamp),
    secretFields: [],
    quietFields: [],
    notServed: NOT_SERVED[name],
    ...extra,
  };
}

/** Parents before children: the order in which a file is loaded and the Admin API lists collections. */
export const ENTITY_NAMES = [
  "workspaces",
  "consumers",
  "consumer_groups",
  "consumer_group_consumers",
  "certificates",
  "snis",
  "ca_certificates",
  "services",
  "routes",
  "upstreams",
  "targets",
  "plugins",
  "vaults",
  "key_sets",
  "keys",
  "filter_chains",
  "acls",
  "basicauth_credentials",
  "hmacauth_credentials",
  "jwt_secrets",
  "keyauth_credentials",
  "oauth2_credentials",
] as const;
export type EntityName = (typeof ENTITY_NAMES)[number];

export const ENTITIES: Readonly<Record<EntityName, EntityType>> = {
  workspaces: entity("workspaces", "workspace", "workspaces", "name", workspaceSchema),
  consumers: entity("consumers", "consumer", "consumers", "username", consumerSchema),
  consumer_groups: entity(
    "consumer_groups",
    "consumer group",
    "consumer_groups",
    "name",
    consumerGroupSchema,
  ),
  consumer_group_consumers: entity(
    "consumer_group_consumers",
    "membership",
    "consumer_group_consumers",
    "id",
    consumerGroupConsumerSchema,
    { cacheKey: ["consumer_group", "consumer"], isRelation: true },
  ),
  certificates: entity("certificates", "certificate", "certificates", "id", certificateSchema, {
    secretFields: ["key", "key_alt"],
  }),
  snis: entity("snis", "sni", "snis", "name", sniSchema),
  ca_certificates: entity("ca_certificates", "ca_certificate", "ca_certificates", "id", caCertificateSchema, {
    normalize(authority) {
      if (authority.cert !== undefined) authority.cert_digest ??= digestOf(authority.cert);
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
  vaults: entity("vaults", "vault", "vaults", "prefix", vaultSchema, {
    operatorOnly: "vaults are the operator's, as what they reach is",
  }),
  key_sets: entity("key_sets", "key set", "key-sets", "name", keySetSchema),
  keys: entity("keys", "key", "keys", "name", keySchema, {
    cacheKey: ["kid", "set"],
    secretFields: ["jwk", "pem.private_key"],
  }),
  filter_chains: entity("filter_chains", "filter chain", "filter-chains", "name", filterChainSchema, {
    unavailable: {
      endpoint: "this endpoint is only available when wasm is enabled",
      file: "filter chains are not served; packages of plugins run WebAssembly in their place",
    },
  }),
  acls: entity("acls", "acl", "acls", "group", aclSchema, { cacheKey: ["consumer", "group"] }),
  basicauth_credentials: entity(
    "basicauth_credentials",
    "basic-auth credential",
    "basic-auths",
    "username",
    basicauthCredentialSchema,
    { nestedCollection: "basic-auth", quietFields: ["password"], hashedFields: () => ["password"] },
  ),
  hmacauth_credentials: entity(
    "hmacauth_credentials",
    "hmac-auth credential",
    "hmac-auths",
    "username",
    hmacauthCredentialSchema,
    { nestedCollection: "hmac-auth", quietFields: ["secret"] },
  ),
  jwt_secrets: entity("jwt_secrets", "jwt credential", "jwts", "key", jwtSecretSchema, {
    nestedCollection: "jwt",
    quietFields: ["secret"],
  }),
  keyauth_credentials: entity(
    "keyauth_credentials",
    "key-auth credential",
    "key-auths",
    "key",
    keyauthCredentialSchema,
    { nestedCollection: "key-auth", quietFields: ["key"] },
  ),
  oauth2_credentials: entity(
    "oauth2_credentials",
    "oauth2 credential",
    "oauth2",
    "client_id",
    oauth2CredentialSchema,
    {
      quietFields: ["client_secret"],
      hashedFields: ({ hash_secret: hashed }) => (hashed === true ? ["client_secret"] : []),
    },
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
export type ConsumerGroup = Sound<ConfigOf<typeof consumerGroupSchema>>;
export type ConsumerGroupConsumer = Sound<ConfigOf<typeof consumerGroupConsumerSchema>>;
export type Upstream = Sound<ConfigOf<typeof upstreamSchema>>;
export type Target = Sound<ConfigOf<typeof targetSchema>>;
export type Vault = Omit<Sound<ConfigOf<typeof vaultSchema>>, "config"> & {
  /** Validated by the schema of its kind, defaults filled in. */
  readonly config: Readonly<Record<string, unknown>>;
};
export type KeySet = Sound<ConfigOf<typeof keySetSchema>>;
export type Key = Sound<ConfigOf<typeof keySchema>>;
export type FilterChain = Sound<ConfigOf<typeof filterChainSchema>>;
export type Acl = Sound<ConfigOf<typeof aclSchema>>;
export type BasicAuthCredential = Sound<ConfigOf<typeof basicauthCredentialSchema>>;
export type HmacAuthCredential = Sound<ConfigOf<typeof hmacauthCredentialSchema>>;
export type JwtSecret = Sound<ConfigOf<typeof jwtSecretSchema>>;
export type OAuth2Credential = Sound<ConfigOf<typeof oauth2CredentialSchema>>;
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
  consumer_groups: ConsumerGroup[];
  consumer_group_consumers: ConsumerGroupConsumer[];
  plugins: PluginEntity[];
  vaults: Vault[];
  key_sets: KeySet[];
  keys: Key[];
  filter_chains: FilterChain[];
  acls: Acl[];
  basicauth_credentials: BasicAuthCredential[];
  hmacauth_credentials: HmacAuthCredential[];
  jwt_secrets: JwtSecret[];
  keyauth_credentials: KeyAuthCredential[];
  oauth2_credentials: OAuth2Credential[];
}

export const EMPTY_HASH = "0".repeat(32);
