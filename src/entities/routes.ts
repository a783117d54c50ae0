/** routes: which requests reach which service. Fields, defaults and rules are Kong's. */
import { array, boolean, foreign, integer, map, record, set, string } from "@gatehouse/sdk";
import { compileExpression, FAILED_VALIDATION } from "../router/expressions/route-expression.ts";
import { EXPRESSION_LIMITS, ExpressionError } from "../router/expressions/syntax.ts";
import {
  checkToken,
  id,
  MAX_TEXT,
  methods,
  name,
  PROTOCOLS,
  type Protocol,
  port,
  tags,
  text,
  timestamp,
} from "./fields.ts";
import { checkHost, checkRouteHost } from "./hosts.ts";
import { checkHeaderPattern, checkRouterPath } from "./paths.ts";

const address = () =>
  record(
    { ip: text(), port: integer(port) },
    { checks: [{ kind: "at_least_one_of", fields: ["ip", "port"] }] },
  );

/** Each may be a regular expression, which takes a tenth of a millisecond to judge, and longer to try. */
const MAX_PATHS = 1000;
const MAX_HEADERS = 50;
const MAX_HEADER_VALUES = 100;

const FIELDS = {
  id: id(),
  created_at: timestamp(),
  updated_at: timestamp(),
  name: name({ description: "The name of the route." }),
  protocols: set(string({ oneOf: PROTOCOLS }), {
    required: true,
    lenMin: 1,
    default: ["http", "https"],
    description: "How requests may come.",
    check: (protocols: readonly unknown[]) => checkProtocolGroups(protocols as readonly Protocol[]),
  }),
  methods: methods("Methods that it matches."),
  hosts: array(string({ lenMax: MAX_TEXT, check: checkRouteHost }), {
    description: "Hosts that it matches: `host[:port]`; one `*` as the first or last label stands for any.",
  }),
  paths: array(string({ lenMax: MAX_TEXT, check: checkRouterPath }), {
    lenMax: MAX_PATHS,
    description: "Paths that it matches: `/prefix`, or `~/` and a regular expression.",
  }),
  headers: map(array(string({ lenMax: MAX_TEXT, check: checkHeaderValue }), { lenMax: MAX_HEADER_VALUES }), {
    lenMax: MAX_HEADERS,
    keys: string({ lenMax: 1024, check: checkHeaderKey }),
    description:
      "Header fields that a request must have, each with one of the values; `~*` begins a regular expression.",
  }),
  snis: set(string({ lenMax: MAX_TEXT, check: checkSni }), {
    description: "Names that a client of TLS asks for.",
  }),
  sources: set(address(), { description: "Where a stream comes from." }),
  destinations: set(address(), { description: "Where a stream arrives." }),
  https_redirect_status_code: integer({
    required: true,
    default: 426,
    oneOf: [426, 301, 302, 307, 308],
    description: "Answer to a request that came by HTTP where only HTTPS may.",
  }),
  regex_priority: integer({
    default: 0,
    between: [0, 2 ** 31 - 1],
    description: "Among routes with regular expressions, higher is tried first.",
  }),
  strip_path: boolean({
    required: true,
    default: true,
    description: "Whether the part of the path that matched is taken away; false for gRPC.",
  }),
  path_handling: string({
    default: "v0",
    oneOf: ["v0", "v1"],
    description: "How paths of service and request are joined; v0 in any case.",
  }),
  preserve_host: boolean({
    required: true,
    default: false,
    description: "Whether upstreams see the client's Host.",
  }),
  request_buffering: boolean({
    required: true,
    default: true,
    description: "Whether request bodies may be held back.",
  }),
  response_buffering: boolean({
    required: true,
    default: true,
    description: "Whether response bodies may be held back.",
  }),
  service: foreign("services", { description: "Where requests go; none where a plugin answers." }),
  tags: tags(),
};

/** Which kinds of routes there are (setting `router_flavor`). */
export const ROUTER_FLAVORS = ["traditional_compatible", "expressions"] as const;
export type RouterFlavor = (typeof ROUTER_FLAVORS)[number];

export const routeSchema = record(FIELDS, { checks: [{ kind: "custom", run: checkRoute }] });

/** Under the flavour `expressions` routes may have an expression in place of classic conditions. */
export const expressionRouteSchema = record(
  {
    ...FIELDS,
    expression: string({
      lenMax: EXPRESSION_LIMITS.length,
      description: "What a request must be for the route to match, in Kong's expressions language.",
    }),
    priority: integer({
      required: true,
      default: 0,
      between: [0, 2 ** 46 - 1],
      description: "Among routes with an expression, higher is tried first.",
    }),
  },
  { checks: [{ kind: "custom", run: checkRoute }] },
);

function checkHeaderKey(key: string): string | undefined {
  if (key.toLowerCase() === "host")
    return "cannot contain 'host' header, which must be specified in the 'hosts' attribute";
  return checkToken(key);
}

/** A value, or `~*` and a regular expression that ignores case. */
function checkHeaderValue(value: string): string | undefined {
  return value.startsWith("~*") ? checkHeaderPattern(value.slice(2)) : undefined;
}

function checkSni(sni: string): string | undefined {
  return sni.includes("*") ? checkRouteHost(sni) : checkHost(sni.replace(/\.$/, ""));
}

const GROUPS: readonly (readonly Protocol[])[] = [
  ["http", "https"],
  ["tcp", "tls", "udp"],
  ["tls_passthrough"],
  ["grpc", "grpcs"],
];

function checkProtocolGroups(protocols: readonly Protocol[]): string | undefined {
  const found = GROUPS.filter((group) => group.some((protocol) => protocols.includes(protocol)));
  if (found.length < 2) return undefined;
  return `these sets are mutually exclusive: ${found.map((group) => `('${group.join("', '")}')`).join(", ")}`;
}

/** What a route of a protocol must match by: at least one of these. The first protocol that applies decides. */
const REQUIRED: readonly [Protocol, readonly string[]][] = [
  ["https", ["methods", "hosts", "headers", "paths", "snis"]],
  ["http", ["methods", "hosts", "headers", "paths"]],
  ["grpcs", ["hosts", "headers", "paths", "snis"]],
  ["grpc", ["hosts", "headers", "paths"]],
  ["tls_passthrough", ["snis"]],
  ["tls", ["sources", "destinations", "snis"]],
  ["tcp", ["sources", "destinations"]],
  ["udp", ["sources", "destinations"]],
];

function checkRoute(route: Record<string, unknown>): Record<string, string> | undefined {
  const protocols = route.protocols as readonly Protocol[];
  const has = (...names: Protocol[]) => names.some((protocol) => protocols.includes(protocol));
  const isSet = (field: string) => {
    const value = route[field];
    return typeof value === "object" && value !== null && Object.keys(value).length > 0;
  };
  const wrong: Record<string, string> = {};
  const forbid = (fields: readonly string[], kinds: string) => {
    for (const field of fields) {
      if (isSet(field)) wrong[field] = `cannot set '${field}' when 'protocols' is ${kinds}`;
    }
  };
  const isExpression = typeof route.expression === "string";
  const classic = CLASSIC_FIELDS.filter(isSet);
  if (isExpression) checkExpression(route, classic, wrong);
  else if (classic.length > 0 && typeof route.priority === "number" && route.priority > 0)
    wrong.priority = `${FAILED_VALIDATION}cannot set 'priority' with ${CLASSIC_NAMES} simultaneously`;
  for (const [protocol, fields] of REQUIRED) {
    if (isExpression || !protocols.includes(protocol)) continue;
    if (!fields.some(isSet))
      wrong["@entity"] = `must set one of '${fields.join("', '")}' when 'protocols' is '${protocol}'`;
    break;
  }
  if (has("http", "https")) forbid(["sources", "destinations"], "'http' or 'https'");
  if (has("grpc", "grpcs")) {
    forbid(["methods", "sources", "destinations"], "'grpc' or 'grpcs'");
    if (route.strip_path === true)
      wrong.strip_path = "cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'";
  }
  if (has("tcp", "tls", "udp", "tls_passthrough"))
    forbid(["methods", "hosts", "paths", "headers"], "'tcp', 'tls', 'tls_passthrough' or 'udp'");
  if (isSet("snis") && !has("grpcs", "https", "tls", "tls_passthrough"))
    wrong.snis = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'";
  return Object.keys(wrong).length > 0 ? wrong : undefined;
}

const CLASSIC_FIELDS = ["methods", "hosts", "paths", "headers", "snis", "sources", "destinations"];
const CLASSIC_NAMES = "'methods', 'hosts', 'paths', 'headers', 'snis', 'sources' or 'destinations'";

/** An expression stands in place of the classic conditions, and must be one. */
function checkExpression(
  route: Record<string, unknown>,
  classic: readonly string[],
  wrong: Record<string, string>,
): void {
  if (classic.length > 0) {
    wrong.expression = `${FAILED_VALIDATION}cannot set 'expression' with ${CLASSIC_NAMES} simultaneously`;
    return;
  }
  if (typeof route.regex_priority === "number" && route.regex_priority !== 0)
    wrong.regex_priority = `${FAILED_VALIDATION}cannot set 'regex_priority' with 'expression' simultaneously`;
  try {
    compileExpression(route.expression as string, route.protocols as readonly string[]);
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    wrong.expression = FAILED_VALIDATION + error.message;
  }
}
