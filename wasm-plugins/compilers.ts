/** The compilers of the example guests: which language a folder holds, whether its compiler is here, how it is run. */
import { execFile } from "node:child_process";
import { copyFile, cp, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export type Language = "AssemblyScript" | "TypeScript" | "Go" | "Rust" | "C";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(HERE);
/** The SDK's layer of each language. */
const LAYERS: Readonly<Partial<Record<Language, string>>> = {
  AssemblyScript: join(ROOT, "sdk", "assemblyscript"),
  TypeScript: join(ROOT, "sdk", "src"),
  Go: join(ROOT, "sdk", "go"),
  Rust: join(ROOT, "sdk", "rust"),
};
const RUST_TARGET = "wasm32-unknown-unknown";
/** Rust compiles its dependencies once; on a busy machine that takes a minute. */
const TIMEOUT_MS = 240_000;

/** A file that tells the language of the folder that it is in. */
const SIGNS: readonly (readonly [file: string, language: Language])[] = [
  ["go.mod", "Go"],
  ["Cargo.toml", "Rust"],
  ["main.c", "C"],
  ["assembly", "AssemblyScript"],
  ["plugin.ts", "TypeScript"],
];

export async function languageOf(source: string): Promise<Language> {
  const files = await readdir(source);
  const found = SIGNS.find(([file]) => files.includes(file));
  if (found === undefined)
    throw new Error(
      `${source} holds none of ${SIGNS.map(([file]) => file).join(", ")}: no language is known`,
    );
  return found[1];
}

/** Folders beside its own that a guest of this language is made from. */
export function sharedSources(language: Language): string[] {
  const layer = LAYERS[language];
  return layer === undefined ? [] : [layer];
}

const absent = new Map<Language, Promise<string | null>>();

/** What is missing for a language, and what to do; null if nothing is. */
export function absentCompiler(language: Language): Promise<string | null> {
  const known = absent.get(language) ?? lookFor(language);
  absent.set(language, known);
  return known;
}

async function lookFor(language: Language): Promise<string | null> {
  switch (language) {
    case "Go":
      return (await works("go", ["version"])) ? null : "there is no 'go' (1.24 or newer; https://go.dev/dl)";
    case "C":
      if (!(await works("clang", ["--version"]))) return "there is no 'clang' (Debian package clang)";
      return (await works("wasm-ld", ["--version"])) ? null : "there is no 'wasm-ld' (Debian package lld)";
    case "Rust":
      if (!(await works("cargo", ["--version"]))) return "there is no 'cargo' (https://rustup.rs)";
      if (await hasRustTarget()) return null;
      await works("rustup", ["target", "add", RUST_TARGET]);
      return (await hasRustTarget())
        ? null
        : `Rust has no target ${RUST_TARGET} (rustup target add ${RUST_TARGET})`;
    default:
      return null; // from npm
  }
}

async function hasRustTarget(): Promise<boolean> {
  const args = ["--print", "target-libdir", "--target", RUST_TARGET];
  const printed = await promisify(execFile)("rustc", args).catch(() => null);
  return printed !== null && (await stat(printed.stdout.trim()).catch(() => null)) !== null;
}

async function works(program: string, args: string[]): Promise<boolean> {
  return promisify(execFile)(program, args, { timeout: TIMEOUT_MS }).then(
    () => true,
    () => false,
  );
}

/** Compiles the guest in `source` to the file `target`. `cache` is a folder for what compilers keep. */
export async function compile(
  language: Language,
  source: string,
  target: string,
  cache: string,
): Promise<void> {
  switch (language) {
    case "AssemblyScript":
      return compileAssemblyScript(source, target);
    case "TypeScript":
      return bundleTypeScript(join(source, "plugin.ts"), target);
    case "Go":
      return compileGo(source, target);
    case "Rust":
      return compileRust(source, target, cache);
    case "C":
      return compileC(source, target);
  }
}

/** In a process of its own: the compiler's types declare globals of its own, and it keeps a lot of memory. */
function compileAssemblyScript(source: string, target: string): Promise<void> {
  const compiler = join(ROOT, "node_modules", "assemblyscript", "bin", "asc.js");
  return run(source, process.execPath, [compiler, ...assemblyScriptArguments(source, target)], {
    cwd: ASSEMBLYSCRIPT_DIRECTORY,
  });
}

/** Where the compiler is run: it looks for `@gatehouse/sdk` from there. */
export const ASSEMBLYSCRIPT_DIRECTORY = ROOT;

export function assemblyScriptArguments(source: string, target: string): string[] {
  // A failed assertion becomes a trap; without `--use abort=` the guest would import env.abort.
  const options = "--optimizeLevel 3 --runtime incremental --use abort=".split(" ");
  return [join(source, "assembly", "index.ts"), "--outFile", target, ...options];
}

/** A reactor: `_initialize` starts Go's runtime, and the exports are called for as long as the guest lives. */
function compileGo(source: string, target: string): Promise<void> {
  const args = [
    "build",
    "-trimpath",
    "-buildvcs=false",
    "-buildmode=c-shared",
    "-ldflags=-s -w",
    "-o",
    target,
    ".",
  ];
  const env = { ...process.env, GOOS: "wasip1", GOARCH: "wasm", GOTOOLCHAIN: "local", GOFLAGS: "" };
  return run(source, "go", args, { cwd: source, env });
}

/** In a copy: cargo writes its lock beside the source. The layer that it names is found from there. */
async function compileRust(source: string, target: string, cache: string): Promise<void> {
  const name = relative(HERE, source).replaceAll("/", "-");
  const copy = join(cache, "crates", name);
  const output = join(cache, "rust");
  await mkdir(copy, { recursive: true });
  await cp(source, copy, { recursive: true, force: true });
  const crate = join(copy, "Cargo.toml");
  const written = await readFile(crate, "utf8");
  await writeFile(crate, written.replace(/path = "[^"]*sdk\/rust"/, `path = ${JSON.stringify(LAYERS.Rust)}`));
  const [, library = name] = /^name = "([^"]+)"/m.exec(written) ?? [];
  await run(source, "cargo", ["build", "--release", "--quiet", "--target", RUST_TARGET], {
    cwd: copy,
    env: { ...process.env, CARGO_TARGET_DIR: output, CARGO_TERM_COLOR: "never" },
  });
  await copyFile(join(output, RUST_TARGET, "release", `${library.replaceAll("-", "_")}.wasm`), target);
}

/**
 * Freestanding: no library is linked, and nothing is exported but what says so. Linked in a step of its own, because
 * clang would hand the module to whatever wasm-opt it finds on the path.
 */
async function compileC(source: string, target: string): Promise<void> {
  const object = `${target}.o`;
  const compiling = [
    "--target=wasm32",
    "-mbulk-memory",
    "-ffreestanding",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
  ];
  const options = { cwd: source };
  await run(source, "clang", [...compiling, "-c", "-o", object, join(source, "main.c")], options);
  const linking = ["--no-entry", "--strip-all", "-z", "stack-size=16384"];
  await run(source, "wasm-ld", [...linking, "-o", target, object], options);
  await rm(object);
}

async function bundleTypeScript(source: string, target: string): Promise<void> {
  const { build } = await import("esbuild");
  await build({
    entryPoints: [source],
    outfile: target,
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2024",
    charset: "utf8",
    logLevel: "silent",
  });
}

async function run(
  source: string,
  program: string,
  args: string[],
  options: { cwd: string; env?: NodeJS.ProcessEnv },
): Promise<void> {
  try {
    await promisify(execFile)(program, args, { ...options, timeout: TIMEOUT_MS });
  } catch (error) {
    const { stderr = "", message } = error as { stderr?: string; message: string };
    throw new Error(`${relative(ROOT, source)} does not compile:\n${stderr || message}`);
  }
}
