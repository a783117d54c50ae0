/**
 * The built-ins as a tenant would upload them: each one's source, unchanged, bundled into a package for the
 * isolate runtime, with the grants that it needs.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Phase, schemaToJson } from "@gatehouse/sdk";
import { BUILT_INS } from "../../plugins/index.ts";
import { packDirectory } from "../../src/cli/pack.ts";

const MIB = 1 << 20;
const REQUEST = { request_headers: ["*"] };
const RESPONSE = { response_headers: ["*"] };
const IDENTITY = { consumer: true };

interface Asked {
  readonly phases: readonly Phase[];
  readonly grants: Readonly<Record<string, unknown>>;
}

/** What each built-in has to ask for. A package's phases are fixed, so a choice between them is two packages. */
const PACKAGES: Readonly<Record<string, Asked>> = {
  "correlation-id": { phases: ["access", "header_filter"], grants: { ...REQUEST, ...RESPONSE } },
  cors: { phases: ["access", "header_filter"], grants: { ...REQUEST, ...RESPONSE } },
  "key-auth": {
    phases: ["access"],
    grants: { ...REQUEST, ...RESPONSE, ...IDENTITY, log: true, request_body_bytes: MIB },
  },
  "rate-limiting": {
    phases: ["access", "header_filter"],
    grants: { ...REQUEST, ...RESPONSE, ...IDENTITY, kv_bytes: MIB },
  },
  "request-transformer": {
    phases: ["access"],
    grants: { request_headers: ["*", "host"], ...RESPONSE, request_body_bytes: MIB },
  },
  "response-transformer": { phases: ["header_filter"], grants: RESPONSE },
  "response-transformer-json": { phases: ["response"], grants: { ...RESPONSE, response_body_bytes: MIB } },
  prometheus: { phases: ["log"], grants: { ...IDENTITY, metrics: true } },
  "request-termination": { phases: ["access"], grants: { ...REQUEST, ...RESPONSE, request_body_bytes: MIB } },
};

/** Name of the package that runs a built-in with this config. */
export function packageFor(name: string, config: Readonly<Record<string, unknown>> = {}): string {
  const editsJson = Object.values(config).some((edits) => (edits as { json?: unknown } | null)?.json);
  return name === "response-transformer" && editsJson ? "response-transformer-json" : name;
}

/** Bytes of the package of that name. */
export async function packBuiltIn(packageName: string): Promise<Uint8Array> {
  const asked = PACKAGES[packageName];
  const plugin = BUILT_INS.find(({ name }) => name === packageName.replace(/-json$/, ""));
  if (asked === undefined || plugin === undefined)
    throw new Error(`no built-in makes a package '${packageName}'`);
  const { name, version, priority, schema } = plugin;
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-package-"));
  try {
    const source = join(import.meta.dirname, "..", "..", "plugins", `${name}.ts`);
    await writeFile(join(directory, "plugin.ts"), `export { default } from ${JSON.stringify(source)};\n`);
    const manifest = {
      manifest: 1,
      name: packageName,
      version,
      runtime: "isolate",
      entry: "plugin.js",
      phases: asked.phases,
      priority,
      schema: { fields: schemaToJson(schema).fields },
      grants: asked.grants,
    };
    await writeFile(join(directory, "plugin.yaml"), JSON.stringify(manifest, null, 2));
    return (await packDirectory(directory)).bytes;
  } finally {
    await rm(directory, { recursive: true });
  }
}
