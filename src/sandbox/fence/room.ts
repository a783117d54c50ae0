/**
 * The folder that cordons live in: the entry points bundled to plain JavaScript (half the memory and start
 * time of stripped TypeScript), the node binary, and isolated-vm's addon. Nothing else can be seen from
 * inside the operating system's fence, which makes this folder's parent the root of the file system.
 *
 *     <prefix>/cordon/root/     "/" inside the fence
 *       room/                   node, isolate.cjs, wasm.cjs, bootstrap.js, isolated-vm.node, enter, seal.filter, probe.js, forge.js
 *       lib/ lib64/             the shared libraries that node and the addon load, and no others
 */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build, stop } from "esbuild";
import type { EngineKind } from "../protocol/engine.ts";
import { librariesOf } from "./room-libraries.ts";
import { enterProgram } from "./seccomp/enter-program.ts";
import { sealFile } from "./seccomp/seal-file.ts";
import { SEAL_FILE } from "./seccomp/seal-place.ts";

export interface Room {
  /** What the fence makes `/`. */
  readonly root: string;
  /** The room itself, as seen from outside; `/room` from inside the fence. */
  readonly folder: string;
  /** File names within the room. */
  readonly node: string;
  readonly entries: Readonly<Record<EngineKind, string>>;
  /** The program that a cordon is entered by, with and without a filter of system calls; null on processors without one. */
  readonly enter: { readonly filtered: string; readonly plain: string } | null;
  readonly probe: string;
  readonly forge: string;
}

/** src/sandbox/, whose entry points are bundled. */
const SANDBOX = dirname(dirname(fileURLToPath(import.meta.url)));
/** CommonJS: a cordon starts in 3 ms less without Node's other loader. */
const ENTRIES: Readonly<Record<EngineKind, string>> = { isolate: "isolate.cjs", wasm: "wasm.cjs" };
const ENTER = { filtered: "enter-filtered", plain: "enter" };
const PROBE = "probe.js";
const FORGE = "forge.js";
/** Mount points and links that an earlier version made here. */
const FORMER = ["usr", "proc", "lib", "lib64", "lib32"];

/** Bundles and places everything below `<prefix>/cordon`. A tenth of a second. */
export async function prepareRoom(
  prefix: string,
  engines: readonly EngineKind[] = ["isolate", "wasm"],
): Promise<Room> {
  const root = resolve(prefix, "cordon", "root");
  const folder = join(root, "room");
  for (const name of FORMER) forget(join(root, name));
  makeFolder(root, folder);

  const addon = isolatedVmAddon();
  for (const library of await librariesOf(process.execPath, addon)) {
    const shelf = join(root, dirname(library));
    makeFolder(root, shelf);
    placeFile(shelf, basename(library), realpathSync(library));
  }

  for (const engine of engines)
    place(folder, ENTRIES[engine], await bundle(`cordon/${engine}-main.ts`, "cjs"));
  const bootstrap = await bundle("cordon/bootstrap.ts", "iife");
  place(folder, "bootstrap.js", `(() => {\n${bootstrap}\nreturn runtime.default;\n})()`);
  place(folder, PROBE, await bundle("cordon/probe-main.ts", "esm"));
  place(folder, FORGE, await bundle("forge/forge-child.ts", "esm"));
  await stop(); // esbuild's helper process has nothing left to do
  place(folder, "package.json", '{"type": "module"}');
  placeFile(folder, "isolated-vm.node", addon);
  placeFile(folder, "node", process.execPath);
  if ((statSync(join(folder, "node")).mode & 0o001) === 0) chmodSync(join(folder, "node"), 0o755);
  const seal = sealFile();
  if (seal !== null) place(folder, SEAL_FILE, seal);
  const enter = placeEnter(folder);
  return { root, folder, node: "node", entries: ENTRIES, enter, probe: PROBE, forge: FORGE };
}

function placeEnter(folder: string): Room["enter"] {
  for (const [kind, name] of Object.entries(ENTER)) {
    const program = enterProgram(kind === "filtered");
    if (program === null) return null;
    place(folder, name, program, 0o755);
  }
  return ENTER;
}

/** Every directory from the root down can be entered by the cordon's user, whatever the umask is. */
function makeFolder(root: string, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (let at = folder; at.startsWith(root); at = dirname(at)) chmodSync(at, 0o755);
}

async function bundle(entry: string, format: "esm" | "cjs" | "iife"): Promise<string> {
  const result = await build({
    entryPoints: [join(SANDBOX, entry)],
    bundle: true,
    write: false,
    format,
    ...(format === "iife" ? { globalName: "runtime", platform: "neutral" } : { platform: "node" }),
    mainFields: ["module", "main"],
    // The text stays in memory, and an isolate has its own copy. Names stay, for who reads a stack.
    minifyWhitespace: true,
    minifySyntax: true,
    target: "esnext",
    logLevel: "silent",
  });
  const [file] = result.outputFiles;
  if (file === undefined) throw new Error(`bundling ${entry} gave no output`);
  return file.text;
}

/** Where node-gyp-build finds the addon that fits this machine: built on it, or shipped with the package. */
function isolatedVmAddon(): string {
  const require = createRequire(import.meta.url);
  const main = require.resolve("isolated-vm");
  const gyp = createRequire(main)("node-gyp-build") as { path(folder: string): string };
  return gyp.path(dirname(main));
}

/** Replaces a file in one step: a cordon that is just starting sees the old one or the new one. */
function place(folder: string, name: string, content: string | Buffer, mode = 0o644): void {
  const fresh = join(folder, `.${name}.${randomBytes(6).toString("hex")}`);
  writeFileSync(fresh, content);
  chmodSync(fresh, mode);
  renameSync(fresh, join(folder, name));
}

/** A hard link where the file system allows one, else a copy that is kept while the original is the same. */
function placeFile(folder: string, name: string, from: string): void {
  const to = join(folder, name);
  const source = statSync(from);
  if (existsSync(to)) {
    const there = statSync(to);
    if (there.ino === source.ino && there.dev === source.dev) return;
    if (there.size === source.size && there.mtimeMs >= source.mtimeMs && there.mode & 0o004) return;
  }
  const fresh = join(folder, `.${name}.${randomBytes(6).toString("hex")}`);
  try {
    linkSync(from, fresh);
  } catch {
    copyFileSync(from, fresh);
    chmodSync(fresh, 0o755);
  }
  renameSync(fresh, to);
}

function forget(path: string): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (there.isSymbolicLink() || readdirSync(path).length === 0) rmSync(path, { recursive: true });
}
