/**
 * Every field of every entity as `/schemas/...` tells it: type, what it may be, what it is when absent. In short, after
 * the name: `*` required, `=x` default, `[a,b]` between, `∈` one of, `→` reference, `u` unique (`U` across workspaces).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { schemaToJson } from "@gatehouse/sdk";
import { ENTITIES, ENTITY_NAMES, type EntityName } from "../../src/entities/entities.ts";

type Json = Record<string, unknown>;

function facts(name: string, field: Json): string[] {
  const inner = (field.elements ?? field.values) as Json | undefined;
  const words = [
    `${name}${field.required ? "*" : ""}`,
    `${field.type}${inner ? `<${inner.type}>` : ""}`,
    field.default === undefined || field.type === "record" ? "" : `=${JSON.stringify(field.default)}`,
    field.between ? JSON.stringify(field.between) : "",
    field.len_min === undefined ? "" : `len≥${field.len_min}`,
    inner?.between ? JSON.stringify(inner.between) : "",
    field.one_of ? `∈${(field.one_of as unknown[]).join(",")}` : "",
    inner?.one_of ? `∈${(inner.one_of as unknown[]).join(",")}` : "",
    field.reference ? `→${field.reference}` : "",
    field.on_delete ? String(field.on_delete) : "",
    field.unique_across_ws ? "U" : field.unique ? "u" : "",
    field.starts_with ? `^${field.starts_with}` : "",
    field.uuid ? "uuid" : "",
    inner?.uuid ? "uuid" : "",
    field.timestamp ? "time" : "",
    field.auto ? "auto" : "",
    field.referenceable ? "ref" : "",
    field.encrypted ? "enc" : "",
  ];
  const own = words.filter((word) => word !== "").join(" ");
  const nested = (field.fields ?? inner?.fields ?? []) as Json[];
  return [own, ...nested.flatMap((each) => all(each, `${name}.`))];
}

const all = (single: Json, prefix = "") =>
  Object.entries(single).flatMap(([name, field]) => facts(prefix + name, field as Json));

const ID = "id string uuid auto";
const CREATED = "created_at integer time auto";
const UPDATED = "updated_at integer time auto";
const TAGS = "tags set<string>";
const NAME = "name string u";
const CONSUMER = "consumer* foreign →consumers cascade";
const PROTOCOLS = "∈grpc,grpcs,http,https,tcp,tls,tls_passthrough,udp";
const HASH = "∈none,consumer,ip,header,cookie,path,query_arg,uri_capture";
const COUNT = "integer =0 [0,255]";

const FACTS: Partial<Record<EntityName, string[]>> = {
  consumers: [ID, CREATED, UPDATED, "username string u", "custom_id string u", TAGS],
  consumer_groups: [ID, CREATED, UPDATED, "name* string u", TAGS],
  certificates: [
    ...[ID, CREATED, UPDATED, "cert* string ref", "key* string ref enc"],
    ...["cert_alt string ref", "key_alt string ref enc", TAGS],
  ],
  snis: [ID, CREATED, UPDATED, "name* string U", "certificate* foreign →certificates cascade", TAGS],
  ca_certificates: [ID, CREATED, UPDATED, "cert* string", "cert_digest string u", TAGS],
  services: [
    ...[ID, CREATED, UPDATED, NAME],
    "retries integer =5 [0,32767]",
    `protocol* string ="http" ${PROTOCOLS}`,
    "host* string",
    "port* integer =80 [0,65535]",
    "path string ^/",
    "connect_timeout integer =60000 [1,2147483646]",
    "write_timeout integer =60000 [1,2147483646]",
    "read_timeout integer =60000 [1,2147483646]",
    TAGS,
    "client_certificate foreign →certificates",
    "tls_verify boolean",
    "tls_verify_depth integer [0,64]",
    "ca_certificates array<string> uuid",
    "enabled* boolean =true",
  ],
  routes: [
    ...[ID, CREATED, UPDATED, NAME],
    `protocols* set<string> =["http","https"] len≥1 ${PROTOCOLS}`,
    "methods set<string>",
    "hosts array<string>",
    "paths array<string>",
    "headers map<array>",
    "snis set<string>",
    ...["sources set<record>", "sources.ip string", "sources.port integer [0,65535]"],
    ...["destinations set<record>", "destinations.ip string", "destinations.port integer [0,65535]"],
    "https_redirect_status_code* integer =426 ∈426,301,302,307,308",
    "regex_priority integer =0 [0,2147483647]",
    "strip_path* boolean =true",
    'path_handling string ="v0" ∈v0,v1',
    "preserve_host* boolean =false",
    "request_buffering* boolean =true",
    "response_buffering* boolean =true",
    "service foreign →services",
    TAGS,
  ],
  upstreams: [
    ...[ID, CREATED, UPDATED, "name* string u"],
    'algorithm string ="round-robin" ∈consistent-hashing,least-connections,round-robin,latency',
    `hash_on string ="none" ${HASH}`,
    `hash_fallback string ="none" ${HASH}`,
    ...["hash_on_header string", "hash_fallback_header string", "hash_on_cookie string"],
    'hash_on_cookie_path string ="/" ^/',
    ...["hash_on_query_arg string", "hash_fallback_query_arg string"],
    ...["hash_on_uri_capture string", "hash_fallback_uri_capture string"],
    "slots integer =10000 [10,65536]",
    "healthchecks* record",
    "healthchecks.active* record",
    'healthchecks.active.type string ="http" ∈tcp,http,https,grpc,grpcs',
    "healthchecks.active.timeout number =1 [0,65535]",
    "healthchecks.active.concurrency integer =10 [1,2147483648]",
    'healthchecks.active.http_path string ="/" ^/',
    "healthchecks.active.https_sni string",
    "healthchecks.active.https_verify_certificate* boolean =true",
    "healthchecks.active.headers map<array>",
    "healthchecks.active.healthy* record",
    "healthchecks.active.healthy.interval number =0 [0,65535]",
    "healthchecks.active.healthy.http_statuses set<integer> =[200,302] [100,999]",
    `healthchecks.active.healthy.successes ${COUNT}`,
    "healthchecks.active.unhealthy* record",
    "healthchecks.active.unhealthy.interval number =0 [0,65535]",
    "healthchecks.active.unhealthy.http_statuses set<integer> =[429,404,500,501,502,503,504,505] [100,999]",
    `healthchecks.active.unhealthy.tcp_failures ${COUNT}`,
    `healthchecks.active.unhealthy.timeouts ${COUNT}`,
    `healthchecks.active.unhealthy.http_failures ${COUNT}`,
    "healthchecks.passive* record",
    'healthchecks.passive.type string ="http" ∈tcp,http,https,grpc,grpcs',
    "healthchecks.passive.healthy* record",
    "healthchecks.passive.healthy.http_statuses set<integer> =[200,201,202,203,204,205,206,207,208,226,300,301,302,303,304,305,306,307,308] [100,999]",
    `healthchecks.passive.healthy.successes ${COUNT}`,
    "healthchecks.passive.unhealthy* record",
    "healthchecks.passive.unhealthy.http_statuses set<integer> =[429,500,503] [100,999]",
    `healthchecks.passive.unhealthy.tcp_failures ${COUNT}`,
    `healthchecks.passive.unhealthy.timeouts ${COUNT}`,
    `healthchecks.passive.unhealthy.http_failures ${COUNT}`,
    "healthchecks.threshold number =0 [0,100]",
    TAGS,
    "host_header string",
    "client_certificate foreign →certificates",
    "use_srv_name boolean =false",
  ],
  targets: [
    ...[ID, "created_at number time auto", "updated_at number time auto"],
    ...["upstream* foreign →upstreams cascade", "target* string", "weight integer =100 [0,65535]", TAGS],
  ],
  plugins: [
    ...[ID, CREATED, UPDATED, "name* string", "instance_name string u"],
    "route foreign →routes cascade",
    "service foreign →services cascade",
    "consumer foreign →consumers cascade",
    "config any",
    `protocols* set<string> =["grpc","grpcs","http","https"] ${PROTOCOLS}`,
    "enabled* boolean =true",
    TAGS,
  ],
  vaults: [
    ID,
    "prefix* string U",
    "name* string",
    "description string",
    "config any",
    CREATED,
    UPDATED,
    TAGS,
  ],
  key_sets: [ID, NAME, TAGS, CREATED, UPDATED],
  keys: [
    ...[ID, "set foreign →key_sets cascade", NAME, "kid* string", "jwk string ref", "pem record"],
    ...["pem.private_key string ref enc", "pem.public_key string ref", TAGS, CREATED, UPDATED],
  ],
  filter_chains: [
    ...[ID, NAME, "enabled* boolean =true"],
    ...["route foreign →routes cascade u", "service foreign →services cascade u"],
    ...["filters* array<record> len≥1", "filters.name* string", "filters.enabled* boolean =true"],
    ...["filters.config any", CREATED, UPDATED, TAGS],
  ],
  acls: [ID, CREATED, CONSUMER, "group* string", TAGS],
  basicauth_credentials: [ID, CREATED, CONSUMER, "username* string u", "password* string enc", TAGS],
  hmacauth_credentials: [ID, CREATED, CONSUMER, "username* string u", "secret string auto enc", TAGS],
  jwt_secrets: [
    ...[ID, CREATED, CONSUMER, "key string u auto", "secret string auto enc", "rsa_public_key string"],
    'algorithm string ="HS256" ∈HS256,HS384,HS512,RS256,RS384,RS512,ES256,ES384,ES512,PS256,PS384,PS512,EdDSA',
    TAGS,
  ],
  keyauth_credentials: [ID, CREATED, CONSUMER, "key string u auto", TAGS, "ttl integer [0,100000000]"],
  oauth2_credentials: [
    ...[ID, CREATED, CONSUMER, "name* string", "client_id string u auto", "client_secret string auto enc"],
    ...["hash_secret* boolean =false", "redirect_uris array<string>", TAGS],
    'client_type* string ="confidential" ∈confidential,public',
  ],
};

/** Those that Kong's community edition does not have. */
const OWN: EntityName[] = ["workspaces", "consumer_group_consumers"];

for (const name of ENTITY_NAMES.filter((each) => !OWN.includes(each))) {
  test(`/schemas/${name} tells Kong's fields in order, with types, bounds and defaults`, () => {
    const { fields } = schemaToJson(ENTITIES[name].schema) as { fields: Json[] };
    assert.deepEqual(
      fields.flatMap((field) => all(field)),
      FACTS[name],
    );
  });
}

const conditional = (if_field: string, if_match: object, then_field: string, then_match: object) => ({
  conditional: { if_field, if_match, then_field, then_match },
});

const CHECKS: Partial<Record<EntityName, object[]>> = {
  consumers: [{ at_least_one_of: ["custom_id", "username"] }],
  services: [
    conditional("protocol", { one_of: ["tcp", "tls", "udp", "grpc", "grpcs"] }, "path", { eq: null }),
    ...["client_certificate", "tls_verify", "tls_verify_depth", "ca_certificates"].map((field) =>
      conditional("protocol", { not_one_of: ["https", "tls"] }, field, { eq: null }),
    ),
  ],
  keys: [{ mutually_exclusive: ["jwk", "pem"] }, { at_least_one_of: ["jwk", "pem"] }],
  filter_chains: [{ only_one_of: ["service", "route"] }],
};

test("rules over several fields that have a name are told beside the fields", () => {
  for (const [name, checks] of Object.entries(CHECKS))
    assert.deepEqual(schemaToJson(ENTITIES[name as EntityName].schema).entity_checks, checks, name);
  const jwt = schemaToJson(ENTITIES.jwt_secrets.schema).entity_checks as object[];
  assert.equal(jwt.length, 10);
});
