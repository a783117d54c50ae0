/** plugin.yaml: what is accepted, what it becomes, and that every refusal names its field. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { violationFields } from "@gatehouse/sdk";
import { stringify } from "yaml";
import {
  checkManifest,
  type Manifest,
  manifestToJson,
  parseManifest,
  withPlace,
} from "../../src/registry/manifest.ts";
import { NO_GRANTS, requestHeaderGrant, responseHeaderGrant } from "../../src/sandbox/calls/grants.ts";
import { WORKSPACE_LIMITS } from "../../src/sandbox/limits.ts";
import { MANIFEST } from "./packages.ts";

function accepted(value: unknown): Manifest {
  const { manifest, violations } = parseManifest(Buffer.from(stringify(value)));
  assert.deepEqual(violations, undefined);
  return manifest as Manifest;
}

function refusedText(text: string | Uint8Array): Record<string, unknown> {
  const { violations } = parseManifest(typeof text === "string" ? Buffer.from(text) : text);
  assert.ok(violations, "expected violations");
  return JSON.parse(JSON.stringify(violationFields(violations.map(withPlace))));
}

const refused = (value: unknown) => refusedText(stringify(value));

test("a manifest of required keys has no grants, no lower limits and the documented defaults", () => {
  assert.deepEqual(accepted(MANIFEST), {
    name: "header-stamp",
    version: "1.2.0",
    runtime: "isolate",
    entry: "plugin.js",
    phases: ["access"],
    priority: 0,
    instance: "resident",
    fail: "closed",
    schema: { fields: [] },
    grants: {
      requestHeaders: [],
      responseHeaders: [],
      requestBodyBytes: 0,
      responseBodyBytes: 0,
      consumer: false,
      log: false,
      metrics: false,
      kvBytes: 0,
      httpHosts: [],
      secrets: [],
    },
    limits: {},
  });
});

test("a full manifest is read, and written back as the same", () => {
  const manifest = accepted({
    ...MANIFEST,
    runtime: "extism",
    entry: "plugin.wasm",
    phases: ["log", "access"],
    priority: 700,
    instance: "per-request",
    fail: "open",
    schema: { fields: [{ header: { type: "string", required: true, default: "x-stamp", match: "^x-" } }] },
    grants: {
      request_headers: ["X-Stamp", "*", "Authorization"],
      response_headers: ["*"],
      request_body_bytes: 1024,
      consumer: true,
      log: true,
      metrics: true,
      kv_bytes: 4096,
      http_hosts: ["API.example.com", "127.0.0.1:9000", "[::1]:80"],
      secrets: ["TOKEN"],
    },
    limits: { fuel: 1000, wall_ms: 5 },
  });
  assert.deepEqual(manifest.phases, ["access", "log"]);
  assert.deepEqual(manifest.grants.requestHeaders, ["x-stamp", "*", "authorization"]);
  assert.deepEqual(manifest.grants.httpHosts, ["api.example.com", "127.0.0.1:9000", "[::1]:80"]);
  assert.deepEqual(manifest.grants.secrets, ["TOKEN"]);
  assert.deepEqual(manifest.limits, { fuel: 1000, wallMs: 5 });
  const again = checkManifest(JSON.parse(JSON.stringify(manifestToJson(manifest))));
  assert.deepEqual(again.manifest, manifest);
});

test("'*' covers every header but those that carry credentials", () => {
  const cases: [string[], string, "request" | "response", boolean][] = [
    [["*"], "accept", "request", true],
    [["*"], "authorization", "request", false],
    [["*"], "cookie", "request", false],
    [["*"], "proxy-authorization", "request", false],
    [["*"], "set-cookie", "response", false],
    [["*", "set-cookie"], "set-cookie", "response", true],
    [["cookie"], "cookie", "request", true],
    [[], "accept", "request", false],
  ];
  for (const [granted, name, side, expected] of cases) {
    const grant =
      side === "request"
        ? requestHeaderGrant({ ...NO_GRANTS, requestHeaders: granted })
        : responseHeaderGrant({ ...NO_GRANTS, responseHeaders: granted });
    assert.equal(grant.allows(name), expected, name);
  }
});

const REFUSED: [title: string, change: object, field: string, message: RegExp][] = [
  [
    "a body filter that may see nothing",
    { phases: ["body_filter"] },
    "grants",
    /body_filter sees nothing without it/,
  ],
  ["another format version", { manifest: 2 }, "manifest", /expected one of: 1/],
  ["an upper-case name", { name: "Stamp" }, "name", /lower-case letters/],
  ["a name that is a path", { name: "a/b" }, "name", /lower-case letters/],
  ["a long name", { name: "a".repeat(65) }, "name", /1 to 64/],
  ["a version range", { version: "^1.2.0" }, "version", /exact version such as 1\.2\.0/],
  ["a version with a leading zero", { version: "1.02.0" }, "version", /exact version/],
  ["a version that no double holds", { version: "9007199254740993.0.0" }, "version", /exact version/],
  ["a number for a version", { version: 1.2 }, "version", /expected a string/],
  ["an unknown runtime", { runtime: "native" }, "runtime", /expected one of: isolate, extism/],
  ["a runtime that is not served", { runtime: "proxy-wasm" }, "runtime", /not served by this version yet/],
  ["an entry in a directory", { entry: "dist/plugin.js" }, "entry", /beside plugin\.yaml/],
  ["an entry that climbs", { entry: "../plugin.js" }, "entry", /beside plugin\.yaml/],
  ["the manifest as entry", { entry: "plugin.yaml" }, "entry", /must not be the manifest/],
  ["no phase", { phases: [] }, "phases", /length must be at least 1/],
  ["an unknown phase", { phases: ["preread"] }, "phases", /expected one of: rewrite, access/],
  ["response beside a filter", { phases: ["response", "header_filter"] }, "phases", /excludes header_filter/],
  ["a priority that is no integer", { priority: 1.5 }, "priority", /expected an integer/],
  ["an unknown instance policy", { instance: "shared" }, "instance", /expected one of: resident/],
  ["an unknown failure policy", { fail: "maybe" }, "fail", /expected one of: closed/],
  ["an unknown key", { command: "rm" }, "command", /unknown field/],
  ["an unknown grant", { grants: { files: true } }, "grants", /unknown field/],
  [
    "a header name with a space",
    { grants: { request_headers: ["a b"] } },
    "grants",
    /expected a header name/,
  ],
  [
    "a header name with a line break",
    { grants: { request_headers: ["a\r\nb"] } },
    "grants",
    /expected a header name/,
  ],
  ["a body grant above the cap", { grants: { request_body_bytes: 1 << 30 } }, "grants", /between 0 and/],
  ["a wildcard host", { grants: { http_hosts: ["*.example.com"] } }, "grants", /expected host or host:port/],
  ["a host with a scheme", { grants: { http_hosts: ["http://a"] } }, "grants", /expected host or host:port/],
  ["a decimal address", { grants: { http_hosts: ["2130706433"] } }, "grants", /URLs show it: '127.0.0.1'/],
  ["an address with hexadecimal parts", { grants: { http_hosts: ["0x7f.1:80"] } }, "grants", /: '127.0.0.1'/],
  ["a long IPv6 address", { grants: { http_hosts: ["[0:0:0:0:0:0:0:1]"] } }, "grants", /: '\[::1\]'/],
  ["a secret that climbs", { grants: { secrets: ["../other/TOKEN"] } }, "grants", /expected a secret's name/],
  ["a host with port 0", { grants: { http_hosts: ["a:0"] } }, "grants", /expected host or host:port/],
  ["no grants where the key stands", { grants: null }, "grants", /required field missing/],
  ["an unknown limit", { limits: { disk: 1 } }, "limits", /unknown field/],
  ["fuel for JavaScript", { limits: { fuel: 5 } }, "limits", /runtime 'extism' only/],
  ["CPU time for WASM", { runtime: "extism", limits: { cpu_ms: 5 } }, "limits", /runtime 'isolate' only/],
  ["a limit of zero", { limits: { fuel: 0 } }, "limits", /greater than 0/],
  ["a schema that is no schema", { schema: [] }, "schema", /expected \{ fields/],
  ["a schema with checks in code", { schema: { fields: [], run: "x" } }, "schema", /unknown field/],
  [
    "a schema that points to entities",
    { schema: { fields: [{ a: { type: "foreign", reference: "services" } }] } },
    "schema",
    /type must be one of/,
  ],
  [
    "a schema with a look-ahead",
    { schema: { fields: [{ a: { type: "string", match: "(?=a)" } }] } },
    "schema",
    /not a valid regex/,
  ],
  [
    "a schema with an endless pattern",
    { schema: { fields: [{ a: { type: "string", match: "a".repeat(2000) } }] } },
    "schema",
    /longer than 1024/,
  ],
  [
    "a schema whose pattern multiplies its counts",
    { schema: { fields: [{ a: { type: "string", match: "((a{99}){99}){99}" } }] } },
    "schema",
    /not a valid regex|smaller counts/,
  ],
  [
    "a schema with more patterns than are worth compiling",
    {
      schema: {
        fields: Array.from({ length: 101 }, (_, i) => ({
          [`a${i}`]: { type: "string", match: `\\pL{${i}}` },
        })),
      },
    },
    "schema",
    /more than 100 patterns/,
  ],
  [
    "a schema whose patterns are long together",
    {
      schema: {
        fields: Array.from({ length: 9 }, (_, i) => ({
          [`a${i}`]: { type: "string", match: `${i}${"a".repeat(999)}` },
        })),
      },
    },
    "schema",
    /more than 8192 characters/,
  ],
  [
    "a default that would be matched for seconds",
    {
      schema: {
        fields: [{ a: { type: "string", match: "(.{0,99}){10}$", default: `${"a".repeat(15_000)}\n` } }],
      },
    },
    "schema",
    /too long/,
  ],
  [
    "defaults that would be matched for seconds together",
    {
      schema: {
        fields: [
          {
            a: {
              type: "array",
              elements: { type: "string", match: "(.{0,99}){10}$" },
              default: Array.from({ length: 500 }, () => "aaa"),
            },
          },
        ],
      },
    },
    "schema",
    /too long/,
  ],
  [
    "a default that breaks its own rule",
    { schema: { fields: [{ a: { type: "integer", between: [1, 2], default: 3 } }] } },
    "schema",
    /between 1 and 2/,
  ],
];

for (const [title, change, field, message] of REFUSED) {
  test(`a manifest is refused with ${title}`, () => {
    const fields = refused({ ...MANIFEST, ...change });
    assert.deepEqual(Object.keys(fields), [field]);
    assert.match(JSON.stringify(fields[field]), message);
  });
}

for (const [name, ceiling] of [
  ["memory_bytes", WORKSPACE_LIMITS.memoryBytes],
  ["cpu_ms", WORKSPACE_LIMITS.cpuMs],
  ["fuel", WORKSPACE_LIMITS.fuel],
  ["wall_ms", WORKSPACE_LIMITS.wallMs],
  ["output_bytes", WORKSPACE_LIMITS.outputBytes],
  ["header_count", WORKSPACE_LIMITS.headerCount],
  ["header_bytes", WORKSPACE_LIMITS.headerBytes],
  ["host_calls", WORKSPACE_LIMITS.hostCalls],
] as const) {
  test(`${name} may be the workspace's limit and no more`, () => {
    const manifest = { ...MANIFEST, runtime: name === "fuel" ? "extism" : "isolate" };
    accepted({ ...manifest, limits: { [name]: ceiling } });
    const fields = refused({ ...manifest, limits: { [name]: ceiling + 1 } });
    assert.match(
      JSON.stringify(fields),
      new RegExp(`may only lower the workspace's limit, which is ${ceiling}`),
    );
  });
}

test("everything that is wrong is named at once", () => {
  const fields = refused({ manifest: 1, name: "Bad", version: "1", extra: true, grants: { log: "yes" } });
  assert.deepEqual(Object.keys(fields).sort(), [
    "entry",
    "extra",
    "grants",
    "name",
    "phases",
    "runtime",
    "version",
  ]);
});

test("every violation has its line, the column of the value or of an unknown key, and the order of the text", () => {
  const text = `# a comment
manifest: 1
name: Bad
version: "1"
runtime: isolate
entry: plugin.js
extra: true
phases:
  - access
  - nowhere
schema:
  fields:
    - ok: { type: string }
    - list:
        type: array
        elements: { type: strin }
    - range: { type: integer, between: 5, least: 3 }
    - range: { type: string }
limits:
  fuel: 0
grants: { log: "yes" }
`;
  const { violations = [] } = parseManifest(Buffer.from(text));
  assert.deepEqual(
    violations.map(({ path, line, column }) => `${line}:${column} ${path.join(".")}`),
    [
      "3:7 name",
      "4:10 version",
      "7:1 extra",
      "10:5 phases.1",
      "16:19 schema.0",
      "17:40 schema.1",
      "17:43 schema.2",
      "18:7 schema.3",
      "20:9 limits.fuel",
      "21:16 grants.log",
    ],
  );
  assert.deepEqual(
    violations.slice(5, 8).map(({ message }) => message.replace(/; allowed: .*/, "")),
    [
      "schema.range.between: expected two numbers",
      "schema.range.least: unknown rule",
      "schema: field 'range' is declared twice",
    ],
  );
});

test("what is missing has the place of what should hold it", () => {
  const { violations = [] } = parseManifest(Buffer.from("\nmanifest: 1\ngrants: {}\n"));
  assert.ok(violations.length > 1);
  assert.deepEqual(new Set(violations.map(({ line }) => line)), new Set([2]));
});

test("a schema of 120 fields with their rules fits into a manifest", () => {
  const field = (i: number) => ({ [`field_${i}`]: { type: "string", required: true, default: "x" } });
  const schema = { fields: Array.from({ length: 120 }, (_, i) => field(i)) };
  assert.deepEqual(accepted({ ...MANIFEST, schema }).schema, schema);
});

const HOSTILE: [title: string, text: string | Uint8Array, message: RegExp][] = [
  [
    "aliases that multiply",
    "a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]\n",
    /an anchor \(&name\) is not allowed.*\(line 1\)/,
  ],
  ["an alias", "name: x\nentry: *a\n", /an alias \(\*name\) is not allowed.*\(line 2\)/],
  ["a tag", "name: !!js/function 'x'\n", /a tag.*\(line 1\)/],
  ["a directive", "%YAML 1.1\n---\nname: x\n", /a directive.*\(line 1\)/],
  ["a key twice", "name: a\nname: b\n", /unique/],
  ["brackets without end", `name: ${"[".repeat(10_000)}`, /nested or indented deeper than 64.*\(line 1\)/],
  [
    "brackets over many lines",
    `name:\n${" [\n".repeat(65)}`,
    /nested or indented deeper than 64.*\(line 65\)/,
  ],
  ["lists in lists without end", "- ".repeat(5000), /nested or indented deeper than 64.*\(line 1\)/],
  ["maps in maps without end", "a: ".repeat(5000), /nested or indented deeper than 64.*\(line 1\)/],
  ["brackets that close nothing", "name: x\n]]]", /']' closes nothing.*\(line 2\)/],
  ["commas in a row", "name: [\n ,,,", /',' follows '\['.*\(line 2\)/],
  ["colons in a row", "name: {a: : b}", /':' follows ':'.*\(line 1\)/],
  ["many anchors", "&a ".repeat(5000), /an anchor.*\(line 1\)/],
  ["many keys", "k:\n".repeat(5000), /more than 5000 parts.*\(line 1\d\d\d\)/],
  ["many escapes", `"${"\\q".repeat(5001)}"`, /more than 5000 parts.*\(line 1\)/],
  ["many lines in one value", `a: |\n${" x\n".repeat(5001)}`, /more than 5000 parts/],
  ["many faults", "a: 1\n".repeat(100), /unique \(line 2, column 1\)".*"and 79 more"/],
  ["bytes that are not UTF-8", Buffer.from([0x61, 0x3a, 0x20, 0xff]), /cannot be read/],
  ["more bytes than a manifest may have", `name: ${"a".repeat(17_000)}`, /longer than 16384 bytes/],
  ["a list", "- 1\n", /expected fields such as/],
  ["nothing", "", /expected fields such as/],
  ["a key that reaches for the prototype", "__proto__: {name: x}\n", /unknown field/],
];

for (const [title, text, message] of HOSTILE) {
  test(`a file with ${title} is refused with a reason`, () => {
    assert.match(JSON.stringify(refusedText(text)), message);
  });
}
