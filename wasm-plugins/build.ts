/**
 * Builds the example guests: AssemblyScript to WebAssembly, TypeScript to one bundled ES module. A guest whose
 * output is newer than everything that it is made from is left alone.
 *
 * Tests, the demo and the command line call `buildGuests`; run as a script, it builds all of them.
 */
import { execFile } from "node:child_process";
import { copyFile, mkdir, readdir, readFile, rename, stat } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { parse } from "yaml";

export interface BuiltGuest {
  name: string;
  runtime: "extism" | "isolate";
  /** Folder with `plugin.yaml` and the entry: what becomes a package. */
  folder: string;
  /** The artifact's file. */
  entry: string;
}

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(HERE);
const BUILD = join(HERE, "build");
const SHARED = join(HERE, "assembly");

/** Builds what is out of date, and lists every example guest. */
export async function buildGuests(): Promise<BuiltGuest[]> {
  const guests: BuiltGuest[] = [];
  for (const entry of (await readdir(HERE, { withFileTypes: true })).sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    if (!entry.isDirectory() || entry.name === "build" || entry.name === "assembly") continue;
    guests.push(await buildGuest(join(HERE, entry.name), join(BUILD, entry.name)));
  }
  return guests;
}

/** Builds the guest in `source`, a folder with a plugin.yaml, into the folder `target`. */
export async function buildGuest(source: string, target: string): Promise<BuiltGuest> {
  const manifest = parse(await readFile(join(source, "plugin.yaml"), "utf8")) as {
    name: string;
    runtime: "extism" | "isolate";
    entry: string;
  };
  const guest = {
    name: manifest.name,
    runtime: manifest.runtime,
    folder: target,
    entry: join(target, manifest.entry),
  };
  const isWasm = guest.runtime === "extism";
  const madeFrom = isWasm ? [source, SHARED] : [source, join(ROOT, "sdk", "src")];
  if ((await newest(madeFrom)) <= (await modified(guest.entry))) return guest;
  await mkdir(target, { recursive: true });
  // Written beside and moved: two builds at once never show each other half a file.
  const draft = join(target, `.${process.pid}-${basename(guest.entry)}`);
  if (isWasm) await compileAssemblyScript(join(source, "assembly", "index.ts"), draft);
  else await bundleTypeScript(join(source, "plugin.ts"), draft);
  await copyFile(join(source, "plugin.yaml"), join(target, "plugin.yaml"));
  await rename(draft, guest.entry);
  return guest;
}

/** In a process of its own: the compiler's types declare globals of its own, and it keeps a lot of memory. */
async function compileAssemblyScript(source: string, target: string): Promise<void> {
  // A failed assertion becomes a trap; without `--use abort=` the guest would import env.abort.
  const options = "--optimizeLevel 3 --shrinkLevel 1 --runtime incremental --use abort=".split(" ");
  const compiler = join(ROOT, "node_modules", "assemblyscript", "bin", "asc.js");
  try {
    await promisify(execFile)(process.execPath, [compiler, source, "--outFile", target, ...options], {
      cwd: ROOT,
    });
  } catch (error) {
    const { stderr = "", message } = error as { stderr?: string; message: string };
    throw new Error(`${relative(ROOT, source)} does not compile:\n${stderr || message}`);
  }
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

/** When the newest file of some folders was changed, in ms. */
async function newest(folders: string[]): Promise<number> {
  let latest = await modified(fileURLToPath(import.meta.url));
  for (const folder of folders)
    for (const file of await readdir(folder, { recursive: true }))
      latest = Math.max(latest, await modified(join(folder, file)));
  return latest;
}

async function modified(file: string): Promise<number> {
  return (await stat(file).catch(() => null))?.mtimeMs ?? 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { name, runtime, entry } of await buildGuests())
    console.log(`${name} (${runtime}): ${relative(process.cwd(), entry)}, ${(await stat(entry)).size} bytes`);
}
