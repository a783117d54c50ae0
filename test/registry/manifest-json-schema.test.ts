/** What editors and readers are told of plugin.yaml is what the registry does. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "yaml";
import { checkManifest } from "../../src/registry/manifest.ts";
import { manifestJsonSchema } from "../../src/registry/manifest-json-schema.ts";
import { JSON_SCHEMA, manifestReference, REFERENCE } from "../../src/registry/reference.ts";
import { MANIFEST } from "./packages.ts";

const ROOT = join(import.meta.dirname, "../..");
const fits = new Ajv2020({ strictTypes: false, formats: { regex: true } }).compile(manifestJsonSchema());

test("docs/plugin-manifest.md and sdk/plugin.schema.json say what the code says; if not: npm run docs:manifest", () => {
  assert.equal(readFileSync(REFERENCE, "utf8"), manifestReference());
  assert.deepEqual(JSON.parse(readFileSync(JSON_SCHEMA, "utf8")), manifestJsonSchema());
});

test("the manifest of every example fits the JSON Schema", () => {
  const files = globSync("{plugins/examples,wasm-plugins}/*/plugin.yaml", { cwd: ROOT });
  assert.ok(files.length >= 10, String(files));
  for (const file of files) {
    const isFit = fits(parse(readFileSync(join(ROOT, file), "utf8")));
    assert.ok(isFit, `${file}: ${JSON.stringify(fits.errors)}`);
  }
});

const field = (rules: object) => ({ schema: { fields: [{ a: rules }] } });

/** Refused by both, each with what it would take to be accepted by both. */
const PAIRS: [what: string, wrong: object, right: object][] = [
  ["an unknown key", { extra: 1 }, {}],
  ["another format", { manifest: 2 }, { manifest: 1 }],
  ["a name in upper case", { name: "Stamp" }, { name: "stamp-2" }],
  ["a range for a version", { version: "^1.0.0" }, { version: "1.0.0-rc.1+x" }],
  ["a runtime that is not served", { runtime: "proxy-wasm" }, { runtime: "isolate" }],
  ["an entry in a folder", { entry: "dist/plugin.js" }, { entry: "plugin.mjs" }],
  ["no phase", { phases: [] }, { phases: ["log"] }],
  ["an unknown phase", { phases: ["preread"] }, { phases: ["access", "log"] }],
  ["response beside a filter", { phases: ["response", "header_filter"] }, { phases: ["response", "log"] }],
  [
    "a body filter that sees nothing",
    { phases: ["body_filter"], grants: { response_body_bytes: 0 } },
    { phases: ["body_filter"], grants: { response_body_bytes: 1 } },
  ],
  ["a body filter without grants", { phases: ["body_filter"] }, { phases: ["header_filter"] }],
  ["a priority in parts", { priority: 1.5 }, { priority: -10 }],
  ["another policy", { fail: "maybe" }, { fail: "open" }],
  ["an unknown grant", { grants: { files: true } }, { grants: { log: true } }],
  [
    "a header that is none",
    { grants: { request_headers: ["a b"] } },
    { grants: { request_headers: ["*", "a"] } },
  ],
  ["a secret with a slash", { grants: { secrets: ["a/b"] } }, { grants: { secrets: ["a.b"] } }],
  [
    "more than a body may have",
    { grants: { request_body_bytes: 2 ** 24 } },
    { grants: { request_body_bytes: 1 } },
  ],
  ["a limit of nothing", { limits: { wall_ms: 0 } }, { limits: { wall_ms: 1 } }],
  ["fuel for an isolate", { limits: { fuel: 5 } }, { limits: { cpu_ms: 5 } }],
  ["an unknown type", field({ type: "date" }), field({ type: "string" })],
  ["an unknown rule", field({ type: "string", least: 1 }), field({ type: "string", len_min: 1 })],
  [
    "a rule of another form",
    field({ type: "integer", between: 5 }),
    field({ type: "integer", between: [1, 5] }),
  ],
  ["a flag in words", field({ type: "string", required: "yes" }), field({ type: "string", required: true })],
  ["a list of nothing", field({ type: "array" }), field({ type: "array", elements: { type: "any" } })],
  ["a map of nothing", field({ type: "map" }), field({ type: "map", values: { type: "number" } })],
  [
    "a record of nothing",
    field({ type: "record" }),
    field({ type: "record", fields: [{ b: { type: "set", elements: { type: "string" } } }] }),
  ],
  [
    "two names in one field",
    { schema: { fields: [{ a: { type: "any" }, b: { type: "any" } }] } },
    { schema: { fields: [] } },
  ],
  [
    "a schema without fields",
    { schema: {} },
    { schema: { fields: [{ a_1: { type: "boolean", default: false } }] } },
  ],
];

for (const [what, wrong, right] of PAIRS)
  test(`${what} is refused by the JSON Schema as by the registry`, () => {
    for (const [change, isSound] of [
      [wrong, false],
      [right, true],
    ] as const) {
      const manifest = { ...MANIFEST, ...change };
      assert.equal(fits(manifest), isSound, JSON.stringify(fits.errors));
      assert.equal(checkManifest(manifest).violations === undefined, isSound);
    }
  });

for (const name of ["manifest", "name", "version", "runtime", "entry", "phases"] as const)
  test(`a manifest without ${name} is refused by both`, () => {
    const { [name]: _, ...rest } = MANIFEST;
    assert.equal(fits(rest), false);
    assert.ok(checkManifest(rest).violations);
  });
