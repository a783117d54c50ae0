/** What one version of a plugin asks for beyond another, grant by grant. */
import { isObject } from "@gatehouse/sdk";
import { type GuestGrants, NO_GRANTS, SECRET_RESPONSE_HEADERS } from "../sandbox/calls/grants.ts";

/** Of one grant that a consent lists; one version asks for 100 at most. */
const MAX_NAMES = 1000;

/** A grant that is asked for and was not consented to, in the words of `plugin.yaml`. */
export interface Excess {
  readonly grant: string;
  /** The names that are new, or the amount. */
  readonly asked: readonly string[] | number | boolean;
  readonly consented: readonly string[] | number | boolean;
}

/** Whether "*" stands for a name. */
type Covers = (name: string) => boolean;
// By its name a guest is given also what carries clients' keys or who they are, and no "*" covers that. Which headers carry
// keys is up to a workspace's plugins, and may be another one tomorrow.
const NONE: Covers = () => false;
const LISTS: readonly (readonly [
  string,
  "requestHeaders" | "responseHeaders" | "httpHosts" | "secrets",
  Covers,
])[] = [
  ["request_headers", "requestHeaders", NONE],
  ["response_headers", "responseHeaders", (name) => !SECRET_RESPONSE_HEADERS.includes(name)],
  ["http_hosts", "httpHosts", NONE],
  ["secrets", "secrets", NONE],
];
const AMOUNTS = [
  ["request_body_bytes", "requestBodyBytes"],
  ["response_body_bytes", "responseBodyBytes"],
  ["kv_bytes", "kvBytes"],
] as const;
const FLAGS = [
  ["consumer", "consumer"],
  ["log", "log"],
  ["metrics", "metrics"],
] as const;

/** Nothing if all that is asked for was consented to. */
export function excessOf(asked: GuestGrants, consented: GuestGrants): Excess[] {
  const excess: Excess[] = [];
  for (const [grant, key, covers] of LISTS) {
    const known = consented[key];
    const more = asked[key].filter((name) => !known.includes(name) && !(known.includes("*") && covers(name)));
    if (more.length > 0) excess.push({ grant, asked: more, consented: known });
  }
  for (const [grant, key] of AMOUNTS)
    if (asked[key] > consented[key]) excess.push({ grant, asked: asked[key], consented: consented[key] });
  for (const [grant, key] of FLAGS)
    if (asked[key] && !consented[key]) excess.push({ grant, asked: true, consented: false });
  return excess;
}

type Mutable = { -readonly [K in keyof GuestGrants]: GuestGrants[K] };

/** What covers a version, and as much as there is room for of what was consented to before. */
export function joinedGrants(version: GuestGrants, before: GuestGrants): GuestGrants {
  const joined: Mutable = { ...version };
  for (const [, key] of LISTS)
    joined[key] = [...new Set([...version[key], ...before[key]])].slice(0, MAX_NAMES);
  for (const [, key] of AMOUNTS) joined[key] = Math.max(version[key], before[key]);
  for (const [, key] of FLAGS) joined[key] = version[key] || before[key];
  return joined;
}

/** What `grantsToJson` made of grants; what cannot be read of it grants nothing. */
export function grantsFromJson(json: unknown): GuestGrants {
  const grants: Mutable = { ...NO_GRANTS };
  if (!isObject(json)) return grants;
  const amount = (value: unknown) =>
    Number.isSafeInteger(value) && (value as number) > 0 ? Number(value) : 0;
  for (const [name, key] of LISTS) {
    const list = json[name];
    if (Array.isArray(list)) grants[key] = list.filter((one): one is string => typeof one === "string");
  }
  for (const [name, key] of AMOUNTS) grants[key] = amount(json[name]);
  for (const [name, key] of FLAGS) grants[key] = json[name] === true;
  return grants;
}

/** In words: `http_hosts: api.example.com; kv_bytes: 1024 (until now 0)`. */
export function excessText(excess: readonly Excess[]): string {
  return excess
    .map(({ grant, asked, consented }) =>
      typeof asked === "object"
        ? `${grant}: ${asked.join(", ")}`
        : `${grant}: ${asked}${typeof asked === "number" ? ` (until now ${consented})` : ""}`,
    )
    .join("; ");
}
