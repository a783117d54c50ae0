/** The smallest sound form of every entity. */
import { readFile } from "node:fs/promises";
import type { EntityName } from "../../src/entities/entities.ts";
import { Authority } from "../support/certificates.ts";

const consumer = { id: "c" };

export async function soundEntities(): Promise<Record<EntityName, Record<string, unknown>>> {
  await using authority = await Authority.create();
  return {
    workspaces: { name: "acme" },
    consumers: { username: "alice" },
    consumer_groups: { name: "gold" },
    consumer_group_consumers: { consumer_group: { id: "g" }, consumer },
    certificates: { ...(await authority.issue("example", ["DNS:example.com"])) },
    snis: { name: "example.com", certificate: { id: "c" } },
    ca_certificates: { cert: await readFile(authority.file, "utf8") },
    services: { host: "example.com" },
    routes: { paths: ["/a"] },
    upstreams: { name: "orders.internal" },
    targets: { target: "10.0.0.1:80", upstream: { id: "u" } },
    plugins: { name: "cors" },
    vaults: { prefix: "my-env", name: "env" },
    key_sets: {},
    keys: { kid: "1", jwk: JSON.stringify({ kty: "oct", kid: "1", k: "c2VjcmV0" }) },
    filter_chains: { route: { id: "r" }, filters: [{ name: "f" }] },
    acls: { consumer, group: "admins" },
    basicauth_credentials: { consumer, username: "alice", password: "open sesame" },
    hmacauth_credentials: { consumer, username: "alice" },
    jwt_secrets: { consumer },
    keyauth_credentials: { consumer, key: "k" },
    oauth2_credentials: { consumer, name: "app" },
  };
}
