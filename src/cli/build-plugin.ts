/** From the sources of a plugin to its package, whichever language it is written in. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import {
  ASSEMBLYSCRIPT_DIRECTORY,
  absentCompiler,
  compile,
  type Language,
  languageOf,
} from "../../wasm-plugins/compilers.ts";
import { MANIFEST_FILE, parseManifest } from "../registry/manifest.ts";
import { describeViolations, PackError, type Packed, packDirectory } from "./pack.ts";
import { withProgress } from "./progress.ts";

/**
 * Builds what is there as source, and packs it. An entry without sources is taken as it is.
 * @param options.cache directory for what compilers keep.
 * @param options.version in place of the manifest's.
 * @throws {PackError} with file, line and column where a compiler tells them.
 */
export async function buildPlugin(
  directory: string,
  options: {
    readonly cache: string;
    readonly version?: (written: string) => string;
    /** In place of a compiler that is started for this alone. */
    readonly compile?: typeof compile;
  },
): Promise<Packed> {
  const dir = resolve(directory);
  const language = await sourceLanguage(dir);
  if (language !== null && language !== "TypeScript")
    await compileEntry(dir, language, options.cache, options.compile ?? compile);
  return packDirectory(directory, { build: language === "TypeScript", version: options.version });
}

/** The same for one build alone. */
export async function buildOnce(directory: string): Promise<Packed> {
  const cache = await mkdtemp(join(tmpdir(), "gatehouse-build-"));
  try {
    return await buildPlugin(directory, { cache });
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

/** Null if there are no sources that anybody knows. */
export async function sourceLanguage(dir: string): Promise<Language | null> {
  try {
    await readdir(dir);
  } catch (error) {
    throw new PackError([`${dir} cannot be read (${(error as NodeJS.ErrnoException).code})`]);
  }
  return languageOf(dir).catch(() => null);
}

async function compileEntry(
  dir: string,
  language: Language,
  cache: string,
  compiling: typeof compile,
): Promise<void> {
  const text = await readFile(join(dir, MANIFEST_FILE)).catch(() => {
    throw new PackError([`${join(dir, MANIFEST_FILE)} is not there; a plugin begins with it`]);
  });
  const { manifest, violations } = parseManifest(text);
  if (violations) throw new PackError(describeViolations(MANIFEST_FILE, violations));
  const missing = await absentCompiler(language);
  if (missing !== null) throw new PackError([`${language} cannot be compiled here: ${missing}`]);
  try {
    await withProgress(`compiling ${manifest.name} (${language})`, () =>
      compiling(language, dir, join(dir, manifest.entry), cache),
    );
  } catch (error) {
    throw new PackError(compilersWords((error as Error).message, dir));
  }
}

/** What a compiler said, with places as editors open them. */
function compilersWords(text: string, dir: string): string[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) =>
      line.replace(
        /(?:└─ )?in (\S+)\((\d+),(\d+)\)/,
        (_, file, row, column) => `${placeOf(file, dir)}:${row}:${column}`,
      ),
    )
    .filter((line) => line.trim() !== "");
}

/** AssemblyScript's compiler tells files from where it is run. */
function placeOf(file: string, dir: string): string {
  const inside = relative(dir, resolve(ASSEMBLYSCRIPT_DIRECTORY, file));
  return inside.startsWith("..") ? file : inside;
}
