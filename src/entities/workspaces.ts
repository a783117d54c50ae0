/**
 * workspaces: the tenants of one gateway. Every other entity belongs to one; `default` is the operator's. A
 * workspace's routes match only hosts that it owns, which is what keeps the one router index apart.
 */
import { boolean, integer, record, set, string } from "@gatehouse/sdk";
import { checkNetwork } from "../egress/networks.ts";
import { workspaceLimitsField } from "../sandbox/limits.ts";
import { quotasField } from "../tenancy/quotas.ts";
import { id, MAX_TEXT, tags, timestamp } from "./fields.ts";
import { checkOwnedHost, checkOwnedPath } from "./hosts.ts";

export const DEFAULT_WORKSPACE = "default";
/** The id that Kong gives its default workspace without a database. */
export const DEFAULT_WORKSPACE_ID = "0dc6f45b-8f8d-40d2-a504-473544ee190b";

const networks = (description: string) =>
  set(string({ lenMax: 64, check: checkNetwork }), { required: true, default: [], description });

export const workspaceSchema = record({
  id: id(),
  created_at: timestamp(),
  updated_at: timestamp(),
  // Stands in URLs of the Admin API and in file names, so it is stricter than other names.
  name: string({
    required: true,
    unique: true,
    lenMax: 64,
    check: (value: string) =>
      /^[a-z0-9][a-z0-9_-]*$/.test(value)
        ? undefined
        : "must be lower-case letters, digits, '-' and '_', starting with a letter or digit",
  }),
  comment: string({ lenMax: MAX_TEXT }),
  hosts: set(string({ lenMax: MAX_TEXT, check: checkOwnedHost }), {
    required: true,
    default: [],
    description: "Hosts that its routes may match: names, addresses, or '*.name' for all below a name.",
  }),
  paths: set(string({ lenMax: MAX_TEXT, check: checkOwnedPath }), {
    required: true,
    default: [],
    description:
      "Paths that its routes may match on hosts that belong to no workspace: 'name/prefix/', for all below.",
  }),
  ports: set(integer({ between: [1, 65_535] }), {
    required: true,
    default: [],
    description:
      "Ports of proxy_listen that are its own: what arrives there reaches no other workspace's routes, and its routes " +
      "may match 'name:port' there, unless the name is another workspace's.",
  }),
  // The operator's to write, as a workspace is: who may change what is in a workspace may not change this.
  egress: record(
    {
      allow: networks(
        "What its services and plugins may connect to although it is loopback, link-local or such.",
      ),
      deny: networks("What they, and its guests, may not connect to."),
      guest_allow: networks("What its guests may fetch from although it is private, loopback or such."),
    },
    { description: "Where the gateway connects to for it; goes before the settings `egress_*`." },
  ),
  plugin_limits: workspaceLimitsField(),
  quotas: quotasField(),
  require_signature: boolean({
    default: false,
    description:
      "Whether only plugin packages are taken and used that an author has signed whose key is registered.",
  }),
  tags: tags(),
});
