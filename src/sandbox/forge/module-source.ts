/**
 * Reads the outline of a JavaScript module without running any of it: V8 parses it, and that is all.
 *
 * `node:vm`'s SourceTextModule is V8's own parser, so what it accepts is what the isolate will compile. Linking
 * a module that imports nothing resolves its exports and evaluates nothing. Needs --experimental-vm-modules.
 */
import * as vm from "node:vm";

export type SourceOutline = { ok: true; exports: string[] } | { ok: false; reasons: string[] };

/** The part of vm.SourceTextModule that is used here. */
interface ParsedModule {
  moduleRequests: readonly { specifier: string }[];
  link(linker: () => never): Promise<void>;
  namespace: object;
}

type SourceTextModule = new (
  source: string,
  options: { identifier: string; context: vm.Context },
) => ParsedModule;

export async function inspectModuleSource(bytes: Uint8Array): Promise<SourceOutline> {
  let source: string;
  try {
    source = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return { ok: false, reasons: ["the bundle is not UTF-8 text"] };
  }
  const Module = (vm as unknown as { SourceTextModule?: SourceTextModule }).SourceTextModule;
  if (Module === undefined) throw new Error("checking isolate bundles needs --experimental-vm-modules");
  let parsed: ParsedModule;
  try {
    parsed = new Module(source, { identifier: "plugin.js", context: vm.createContext(Object.create(null)) });
  } catch (error) {
    return { ok: false, reasons: [`the bundle is no ES module: ${syntaxWords(error)}`] };
  }
  const specifiers = [...new Set(parsed.moduleRequests.map(({ specifier }) => specifier))];
  if (specifiers.length > 0)
    return {
      ok: false,
      reasons: specifiers
        .slice(0, 20)
        .map(
          (name) =>
            `imports ${JSON.stringify(name.slice(0, 80))}: bundle everything into the one file (esbuild --bundle)`,
        ),
    };
  try {
    await parsed.link(() => {
      throw new Error("nothing to link");
    });
  } catch (error) {
    return { ok: false, reasons: [`the bundle is no ES module: ${syntaxWords(error)}`] };
  }
  const exports = Object.getOwnPropertyNames(parsed.namespace);
  if (!exports.includes("default"))
    return { ok: false, reasons: ["the bundle has no default export; export default definePlugin({...})"] };
  return { ok: true, exports: exports.slice(0, 100).map((name) => name.slice(0, 100)) };
}

/** What V8 says about text that is no module. V8 wrote it; the author's text can only appear as a short quote. */
function syntaxWords(error: unknown): string {
  const { message } = error as { message?: unknown };
  return String(message).slice(0, 200);
}
