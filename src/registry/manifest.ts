/**
 * `plugin.yaml`: what a package says about itself and what it asks for. It is written by a stranger, so
 * nothing in it is believed before it is checked: unknown keys, YAML aliases and tags, and limits above the
 * workspace's are refused, and everything that is wrong is reported at once.
 */
import {
  any,
  boolean,
  type ConfigOf,
  type Field,
  integer,
  isObject,
  PHASES,
  type Phase,
  record,
  set,
  string,
  type Violation,
  validate,
} from "@gatehouse/sdk";
import {
  type GuestGrants,
  SECRET_REQUEST_HEADERS,
  SECRET_RESPONSE_HEADERS,
} from "../sandbox/calls/grants.ts";
import { type LimitName, MANIFEST_LIMITS, WORKSPACE_LIMITS } from "../sandbox/limits.ts";
import type { GuestLimits } from "../sandbox/protocol/engine.ts";
import { checkConfigSchema, type SchemaViolation } from "./config-schema.ts";
import { MAX_MANIFEST_BYTES, readManifestText, type TextProblem } from "./manifest-text.ts";

export const MANIFEST_FILE = "plugin.yaml";

const MIB = 1 << 20;

/** Limits that one runtime knows and the other does not: asked for by the wrong one, they would bound nothing. */
export const RUNTIME_LIMITS: readonly (readonly [LimitName, Manifest["runtime"]])[] = [
  ["cpu_ms", "isolate"],
  ["fuel", "extism"],
  ["instances", "extism"],
];

// semver.org's grammar for an exact version, without its capture groups. Numbers have 15 digits at most: what is compared
// by them has to be a safe integer.
const IDENTIFIERS = "[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*";
const PRERELEASE_PART = "(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)";
const PART = "(0|[1-9][0-9]{0,14})";
const SEMVER = new RegExp(
  `^${PART}\\.${PART}\\.${PART}` + `(-${PRERELEASE_PART}(\\.${PRERELEASE_PART})*)?(\\+${IDENTIFIERS})?$`,
);
const NAME = /^[a-z][a-z0-9-]{0,63}$/;

/** Whether a text is an exact version, as semver.org defines it. */
export const isVersion = (text: string): boolean => SEMVER.test(text);
const FILE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/;

/** A check that is one pattern, which the JSON Schema of manifests tells too. */
export interface PatternCheck {
  (value: string): string | undefined;
  readonly pattern: RegExp;
}

const matching = (pattern: RegExp, otherwise: string): PatternCheck =>
  Object.assign((value: string) => (pattern.test(value) ? undefined : otherwise), { pattern });

const headerName = matching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'expected a header name, or "*"');

function hostAndPort(value: string): string | undefined {
  const parts = /^([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/.exec(
    value.toLowerCase(),
  );
  const port = parts?.[2] === undefined ? 443 : Number(parts[2]);
  if (!parts || port < 1 || port > 65535)
    return "expected host or host:port, without scheme, path or wildcard";
  // An address that is written in another way than URLs are compared in would never be granted.
  const named = URL.parse(`https://${parts[1]}`)?.hostname;
  if (named !== parts[1]) return `expected a host as URLs show it${named ? `: '${named}'` : ""}`;
  return undefined;
}

const names = (check: (value: string) => string | undefined, description: string, most: number) =>
  set(string({ lenMax: 256, check }), { required: true, default: [], lenMax: most, description });

const grantsSchema = record(
  {
    request_headers: names(
      headerName,
      `Request headers it sees and may change; "*" for all but ${SECRET_REQUEST_HEADERS.join(", ")}.`,
      100,
    ),
    response_headers: names(
      headerName,
      `Response headers; "*" for all but ${SECRET_RESPONSE_HEADERS.join(", ")}.`,
      100,
    ),
    request_body_bytes: integer({
      required: true,
      default: 0,
      between: [0, 10 * MIB],
      description: "Most of a request body that crosses.",
    }),
    response_body_bytes: integer({
      required: true,
      default: 0,
      between: [0, 10 * MIB],
      description: "Most of a response body that crosses.",
    }),
    consumer: boolean({
      required: true,
      default: false,
      description: "Whether it learns and may set who the consumer is.",
    }),
    log: boolean({
      required: true,
      default: false,
      description: "Whether it may write to the gateway's log.",
    }),
    metrics: boolean({ required: true, default: false, description: "Whether it may record metrics." }),
    kv_bytes: integer({
      required: true,
      default: 0,
      between: [0, 64 * MIB],
      description: "Most that its keys and values take in the store; above 0 it may count windows too.",
    }),
    http_hosts: names(hostAndPort, "Hosts that it may call: `host` for https, or `host:port`.", 32),
    secrets: names(
      matching(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/, "expected a secret's name"),
      "Secrets that it may read.",
      32,
    ),
  },
  { required: true, description: "What it asks for; each needs consent." },
);

function limitsSchema(ceilings: Readonly<GuestLimits>) {
  const fields = MANIFEST_LIMITS.map(([name, { key, bounds, unit }]) => [
    name,
    integer({
      gt: 0,
      description: `Most ${unit}: ${bounds}.`,
      check: (value) =>
        value > ceilings[key] ? `may only lower the workspace's limit, which is ${ceilings[key]}` : undefined,
    }),
  ]);
  return record(Object.fromEntries(fields) as Record<string, Field<number, false>>, {
    required: true,
    description: "Lower limits than the workspace's.",
  });
}

type ManifestSchema = ReturnType<typeof newManifestSchema>;

/** Made once for the same ceilings: a registry reads thousands of manifests when it opens. */
const schemas = new WeakMap<Readonly<GuestLimits>, ManifestSchema>();

/** The schema of a manifest whose limits lie below these. */
export function manifestSchema(ceilings: Readonly<GuestLimits>): ManifestSchema {
  const known = schemas.get(ceilings) ?? newManifestSchema(ceilings);
  schemas.set(ceilings, known);
  return known;
}

function newManifestSchema(ceilings: Readonly<GuestLimits>) {
  return record(
    {
      manifest: integer({ required: true, oneOf: [1], description: "Version of this format." }),
      name: string({
        required: true,
        description: "Name of the plugin.",
        check: matching(NAME, "expected 1 to 64 lower-case letters, digits and '-', beginning with a letter"),
      }),
      version: string({
        required: true,
        lenMax: 64,
        description: "Exact version, as semver.org defines it.",
        check: matching(SEMVER, "expected an exact version such as 1.2.0"),
      }),
      runtime: string({
        required: true,
        oneOf: ["isolate", "extism", "proxy-wasm"],
        description: "What runs the entry.",
        check: (value) =>
          value === "proxy-wasm"
            ? "'proxy-wasm' is not served by this version yet; use isolate or extism"
            : undefined,
      }),
      entry: string({
        required: true,
        description: "The one other file of the package: bundled ESM for isolate, .wasm otherwise.",
        check: Object.assign(
          (value: string) => {
            if (value === MANIFEST_FILE) return "must not be the manifest itself";
            return FILE_NAME.test(value) ? undefined : "expected the name of a file beside plugin.yaml";
          },
          { pattern: FILE_NAME },
        ),
      }),
      phases: set(string({ oneOf: PHASES }), {
        required: true,
        lenMin: 1,
        description: "Hooks that it has.",
      }),
      priority: integer({
        required: true,
        default: 0,
        between: [-(2 ** 31), 2 ** 31 - 1],
        description: "Higher runs earlier; Kong's scale.",
      }),
      instance: string({
        required: true,
        default: "resident",
        oneOf: ["resident", "per-request"],
        description:
          "Whether variables of one call are there in the next, or every request gets a fresh instance.",
      }),
      fail: string({
        required: true,
        default: "closed",
        oneOf: ["closed", "open"],
        description: "What a request gets when the plugin fails: an error, or its way without the plugin.",
      }),
      schema: any({
        required: true,
        default: { fields: [] },
        description: "Schema of `config`, as Kong's /schemas output.",
      }),
      grants: grantsSchema,
      limits: limitsSchema(ceilings),
    },
    {
      checks: [
        {
          kind: "custom",
          run({ phases, grants, limits, runtime }) {
            const hooks = phases as readonly Phase[];
            const wrong: Record<string, string> = {};
            const filters = hooks.filter((phase) => phase === "header_filter" || phase === "body_filter");
            if (hooks.includes("response") && filters.length > 0)
              wrong.phases = `'response' sees the whole response and excludes ${filters.join(" and ")}`;
            const asked = grants as Record<string, unknown>;
            if (hooks.includes("body_filter") && asked.response_body_bytes === 0)
              wrong["grants.response_body_bytes"] =
                "body_filter sees nothing without it: give the most of a chunk";
            const lowered = limits as Record<string, unknown>;
            for (const [limit, owner] of RUNTIME_LIMITS)
              if (typeof lowered[limit] === "number" && runtime !== owner)
                wrong[`limits.${limit}`] = `bounds guests of runtime '${owner}' only`;
            return wrong;
          },
        },
      ],
    },
  );
}

type Checked = ConfigOf<ManifestSchema>;

/** The limits that a manifest lowers; the others are the workspace's. */
export type Limits = Readonly<Partial<GuestLimits>>;

/** A sound manifest. Plain data: it is stored as JSON and posted to threads. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly runtime: "isolate" | "extism";
  readonly entry: string;
  readonly phases: readonly Phase[];
  readonly priority: number;
  readonly instance: "resident" | "per-request";
  readonly fail: "closed" | "open";
  /** Schema of the plugin's config as JSON; `schemaFromJson` accepts it. */
  readonly schema: { readonly fields: readonly unknown[] };
  readonly grants: GuestGrants;
  readonly limits: Limits;
}

/** What is wrong with a manifest, and where in its text: lines and columns count from 1. */
export interface ManifestViolation extends Violation {
  readonly line?: number;
  readonly column?: number;
}

export type ParsedManifest =
  | { readonly manifest: Manifest; readonly violations?: undefined; readonly entry?: undefined }
  | {
      readonly manifest?: undefined;
      /** In the order of the text. */
      readonly violations: readonly ManifestViolation[];
      /** The file that it names, where it names one. */
      readonly entry?: string;
    };

/** Reads the bytes of a `plugin.yaml`. Never throws for what they hold: everything wrong with them is told. */
export function parseManifest(
  bytes: Uint8Array,
  ceilings: Readonly<GuestLimits> = WORKSPACE_LIMITS,
): ParsedManifest {
  const refused = (...problems: readonly TextProblem[]): ParsedManifest => ({
    violations: problems.map((problem, i) => ({
      ...problem,
      path: problems.length === 1 ? [MANIFEST_FILE] : [MANIFEST_FILE, i],
    })),
  });
  const wrong = (message: string) => refused({ message });
  if (bytes.length > MAX_MANIFEST_BYTES) return wrong(`longer than ${MAX_MANIFEST_BYTES} bytes`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return wrong("cannot be read: it is not UTF-8");
  }
  const read = readManifestText(text);
  if (read.problems !== undefined) return refused(...read.problems);
  const { value, locate } = read;
  if (!isObject(value)) return wrong("expected fields such as `name: hello`, one a line");
  const checked = checkManifest(value, ceilings);
  if (checked.violations === undefined) return checked;
  const violations = checked.violations
    .map(({ at, ...violation }) => ({ ...violation, ...locate(at ?? violation.path, isOfKey(violation)) }))
    .sort((a, b) => a.line - b.line || a.column - b.column);
  return { ...checked, violations };
}

/** Whether the name of a field is what is wrong, and not its value. */
function isOfKey({ message }: Violation): boolean {
  return message === "unknown field" || message.includes("unknown rule");
}

/** A violation as text, with its place: for answers whose readers have the text but no other way to the line. */
export function withPlace({ path, message, line, column }: ManifestViolation): Violation {
  const place = column === undefined ? `line ${line}` : `line ${line}, column ${column}`;
  return { path, message: line === undefined ? message : `${message} (${place})` };
}

type CheckedManifest =
  | Exclude<ParsedManifest, { violations: object }>
  | {
      readonly manifest?: undefined;
      readonly violations: readonly (Violation & Partial<SchemaViolation>)[];
      readonly entry?: string;
    };

/** Checks a manifest that was parsed already, with the keys of `plugin.yaml`. */
export function checkManifest(
  value: unknown,
  ceilings: Readonly<GuestLimits> = WORKSPACE_LIMITS,
): CheckedManifest {
  const checked = validate(manifestSchema(ceilings), value);
  const violations: (Violation & Partial<SchemaViolation>)[] = [...checked.violations];
  const schema = isObject(value) ? (value.schema ?? { fields: [] }) : { fields: [] };
  violations.push(...checkConfigSchema(schema));
  if (violations.length > 0)
    return isObject(value) && typeof value.entry === "string"
      ? { violations, entry: value.entry }
      : { violations };
  return { manifest: toManifest(checked.value as Checked) };
}

function toManifest(checked: Checked): Manifest {
  const { grants, limits } = checked;
  const lowered: Partial<GuestLimits> = {};
  for (const [name, { key }] of MANIFEST_LIMITS) {
    const value = limits[name];
    if (typeof value === "number") lowered[key] = value;
  }
  return {
    name: checked.name,
    version: checked.version,
    runtime: checked.runtime as Manifest["runtime"],
    entry: checked.entry,
    phases: PHASES.filter((phase) => checked.phases.includes(phase)),
    priority: checked.priority,
    instance: checked.instance,
    fail: checked.fail,
    schema: checked.schema as Manifest["schema"],
    grants: toGrants(grants),
    limits: lowered,
  };
}

function toGrants(grants: Checked["grants"]): GuestGrants {
  const lower = (list: readonly string[]) => [...new Set(list.map((name) => name.toLowerCase()))];
  return {
    requestHeaders: lower(grants.request_headers),
    responseHeaders: lower(grants.response_headers),
    requestBodyBytes: grants.request_body_bytes,
    responseBodyBytes: grants.response_body_bytes,
    consumer: grants.consumer,
    log: grants.log,
    metrics: grants.metrics,
    kvBytes: grants.kv_bytes,
    httpHosts: lower(grants.http_hosts),
    secrets: grants.secrets,
  };
}

/** The manifest in the words of `plugin.yaml`: `checkManifest` of it gives the same manifest again. */
export function manifestToJson(manifest: Manifest): Record<string, unknown> {
  const { grants, limits, ...rest } = manifest;
  const lowered = MANIFEST_LIMITS.flatMap(([name, { key }]) =>
    limits[key] === undefined ? [] : [[name, limits[key]]],
  );
  return { manifest: 1, ...rest, grants: grantsToJson(grants), limits: Object.fromEntries(lowered) };
}

export function grantsToJson(grants: GuestGrants): Record<string, unknown> {
  return {
    request_headers: grants.requestHeaders,
    response_headers: grants.responseHeaders,
    request_body_bytes: grants.requestBodyBytes,
    response_body_bytes: grants.responseBodyBytes,
    consumer: grants.consumer,
    log: grants.log,
    metrics: grants.metrics,
    kv_bytes: grants.kvBytes,
    http_hosts: grants.httpHosts,
    secrets: grants.secrets,
  };
}
