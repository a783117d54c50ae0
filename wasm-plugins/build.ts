/**
 * Builds the example guests: AssemblyScript, Go, Rust and C to WebAssembly, TypeScript to one bundled ES module. A
 * guest whose output is newer than everything that it is made from is left alone.
 *
 * Tests, the demo and the command line call `buildGuests`; run as a script, it builds all of them. A guest whose
 * compiler is not on this machine is left out, and the reason is told.
 */
import { copyFile, mkdir, readdir, readFile, rename, stat } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { absentCompiler, compile, type Language, languageOf, sharedSources } from "./compilers.ts";

export interface BuiltGuest {
  name: string;
  runtime: "extism" | "isolate";
  language: Language;
  /** Folder with `plugin.yaml` and the entry: what becomes a package. */
  folder: string;
  /** The artifact's file. */
  entry: string;
}

/** An example guest that cannot be built on this machine. */
export interface AbsentGuest {
  name: string;
  /** What is missing and what to do. */
  reason: string;
}

const HERE = dirname(fileURLToPath(import.meta.url));
const BUILD = join(HERE, "build");

/** Names of all example guests. */
export async function guestNames(): Promise<string[]> {
  const entries = await readdir(HERE, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return folders.filter((name) => name !== "build").sort();
}

/**
 * Builds what is out of date, and lists the guests that are there now: all of them, or those of `names`. Whoever
 * wants to know why one is left out passes `absent`; otherwise it is written to stderr.
 * @throws {Error} with the compiler's words if a guest does not compile, or if one of `names` cannot be built here.
 */
export async function buildGuests(names?: readonly string[], absent?: AbsentGuest[]): Promise<BuiltGuest[]> {
  const guests: BuiltGuest[] = [];
  for (const name of names ?? (await guestNames())) {
    const source = join(HERE, name);
    const reason = await absentCompiler(await languageOf(source));
    if (reason === null) {
      guests.push(await buildGuest(source, join(BUILD, name)));
      continue;
    }
    if (names !== undefined) throw new Error(`the example guest '${name}' cannot be built: ${reason}`);
    if (absent !== undefined) absent.push({ name, reason });
    else process.stderr.write(`the example guest '${name}' is left out: ${reason}\n`);
  }
  return guests;
}

/** Builds the guest in `source`, a folder with a plugin.yaml, into the folder `target`. */
export async function buildGuest(source: string, target: string): Promise<BuiltGuest> {
  const language = await languageOf(source);
  const manifest = parse(await readFile(join(source, "plugin.yaml"), "utf8")) as {
    name: string;
    runtime: "extism" | "isolate";
    entry: string;
  };
  const { name, runtime } = manifest;
  const guest = { name, runtime, language, folder: target, entry: join(target, manifest.entry) };
  if ((await newest([source, ...sharedSources(language)])) <= (await modified(guest.entry))) return guest;
  await mkdir(target, { recursive: true });
  // Written beside and moved: two builds at once never show each other half a file.
  const draft = join(target, `.${process.pid}-${basename(guest.entry)}`);
  await compile(language, source, draft, join(BUILD, ".cache"));
  await copyFile(join(source, "plugin.yaml"), join(target, "plugin.yaml"));
  await rename(draft, guest.entry);
  return guest;
}

/** When the newest file of some folders was changed, in ms. */
async function newest(folders: string[]): Promise<number> {
  let latest = Math.max(
    await modified(fileURLToPath(import.meta.url)),
    await modified(join(HERE, "compilers.ts")),
  );
  for (const folder of folders)
    for (const file of await readdir(folder, { recursive: true }))
      latest = Math.max(latest, await modified(join(folder, file)));
  return latest;
}

async function modified(file: string): Promise<number> {
  return (await stat(file).catch(() => null))?.mtimeMs ?? 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { name, language, entry } of await buildGuests())
    console.log(
      `${name} (${language}): ${relative(process.cwd(), entry)}, ${(await stat(entry)).size} bytes`,
    );
}
