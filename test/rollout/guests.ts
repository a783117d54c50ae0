/** Versions of plugins for roll-outs: each says who it is, in every phase, and some do harm. */
import binaryen from "binaryen";
import { build } from "esbuild";
import { packFiles } from "../gateway/packages.ts";

export interface Version {
  readonly version: string;
  readonly name?: string;
  readonly phases?: readonly string[];
  readonly priority?: number;
  readonly grants?: object;
  readonly schema?: object;
  /** Done in `access`, before anything else. */
  readonly harm?: string;
}

const GRANTS = { request_headers: ["x-access"], response_headers: ["x-version"] };

/**
 * An isolate plugin: the upstream is told of its version by `x-access`, the client by `x-version`, which is set in
 * whichever phase of the response it has.
 */
export async function packVersion(of: Version): Promise<Uint8Array> {
  const { version, name = "stamp", phases = ["access", "header_filter"], priority = 10, harm = "" } = of;
  const hooks = {
    access: `access(ctx) { ${harm}; ctx.request.headers.set("x-access", "${version}"); }`,
    header_filter: `headerFilter(ctx) { ctx.response.headers.set("x-version", "${version}"); }`,
    response: `response(ctx) { ctx.response.headers.set("x-version", "${version}"); }`,
  };
  const source = `import { definePlugin, record, reply } from "@gatehouse/sdk";
    let calls = 0;
    export default definePlugin({ name: "${name}", version: "${version}", priority: ${priority}, schema: record({}),
      create: (config, host) => ({ ${phases.map((phase) => hooks[phase as keyof typeof hooks]).join(", ")} }) });`;
  const built = await build({
    stdin: { contents: source, resolveDir: import.meta.dirname, loader: "ts" },
    ...{ bundle: true, write: false, format: "esm", platform: "neutral", target: "esnext" },
  });
  return packFiles(
    {
      ...{ manifest: 1, name, version, runtime: "isolate", entry: "plugin.js", phases, priority },
      ...{ grants: of.grants ?? GRANTS, schema: of.schema ?? { fields: [] } },
    },
    "plugin.js",
    built.outputFiles[0]?.contents as Uint8Array,
  );
}

/** A WASM plugin that does nothing, in so many rounds. */
export function packRounds(name: string, version: string, rounds: number): Promise<Uint8Array> {
  const module = binaryen.parseText(`(module (memory 1) (func (export "access") (result i32) (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const ${rounds}))))
    (i32.const 0)))`);
  const code = module.emitBinary();
  module.dispose();
  const manifest = {
    manifest: 1,
    name,
    version,
    runtime: "extism",
    entry: "plugin.wasm",
    phases: ["access"],
  };
  return packFiles(manifest, "plugin.wasm", code);
}
