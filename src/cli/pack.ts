/**
 * From an author's directory to the bytes of a package: the manifest is checked as the gateway will check it,
 * and the entry is taken as it is, or bundled from `plugin.ts` when it was not built yet.
 */
import { readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseDocument } from "yaml";
import { MAX_PACKAGE_BYTES, pack } from "../registry/archive.ts";
import { MANIFEST_FILE, type Manifest, type ManifestViolation, parseManifest } from "../registry/manifest.ts";
import { digestOf } from "../registry/package.ts";

/** What an isolate plugin is bundled from. */
export const SOURCE_FILE = "plugin.ts";

/** What an author has to change; each reason stands on a line of its own. */
export class PackError extends Error {
  override name = "PackError";
  readonly reasons: readonly string[];

  constructor(reasons: readonly string[]) {
    super(reasons.join("\n"));
    this.reasons = reasons;
  }
}

export interface Packed {
  readonly bytes: Uint8Array;
  /** `sha256:` of the bytes: the same as the gateway will answer. */
  readonly id: string;
  readonly manifest: Manifest;
  /** Whether the entry was bundled from `plugin.ts` just now. */
  readonly built: boolean;
}

/**
 * @param options.build bundles `plugin.ts` although the entry is there.
 * @param options.version in place of the manifest's.
 * @throws {PackError}
 */
export async function packDirectory(
  directory: string,
  options: { readonly build?: boolean; readonly version?: (written: string) => string } = {},
): Promise<Packed> {
  const dir = resolve(directory);
  const written = await readOptional(join(dir, MANIFEST_FILE));
  if (!written)
    throw new PackError([`${join(directory, MANIFEST_FILE)} is not there; a plugin begins with it`]);
  const { manifest, violations } = parseManifest(written);
  if (violations) throw new PackError(describeViolations(MANIFEST_FILE, violations));
  const entry = options.build ? undefined : await readOptional(join(dir, manifest.entry));
  const artifact = entry ?? (await bundle(dir, directory, manifest));
  const version = options.version?.(manifest.version) ?? manifest.version;
  const bytes = await pack(
    new Map([
      [MANIFEST_FILE, version === manifest.version ? written : withVersion(written, version)],
      [manifest.entry, artifact],
    ]),
  );
  if (bytes.length > MAX_PACKAGE_BYTES)
    throw new PackError([`the package has ${bytes.length} bytes; at most ${MAX_PACKAGE_BYTES} are allowed`]);
  return { bytes, id: digestOf(bytes), manifest: { ...manifest, version }, built: entry === undefined };
}

function withVersion(written: Uint8Array, version: string): Uint8Array {
  const document = parseDocument(Buffer.from(written).toString("utf8"));
  document.set("version", version);
  return Buffer.from(document.toString());
}

/** One line per violation: `plugin.yaml:12:9: limits.fuel: value must be greater than 0`. */
export function describeViolations(file: string, violations: readonly ManifestViolation[]): string[] {
  return violations.map(({ path, message, line, column }) => {
    const place = [file, line, column].filter((part) => part !== undefined).join(":");
    const field = path.filter((step) => step !== "@entity" && step !== file).join(".");
    return field === "" ? `${place}: ${message}` : `${place}: ${field}: ${message}`;
  });
}

/** Bundles `plugin.ts` and what it imports into one ES module, the same bytes wherever the directory lies. */
async function bundle(dir: string, shown: string, manifest: Manifest): Promise<Uint8Array> {
  const source = join(dir, SOURCE_FILE);
  const hasSource = (await stat(source).catch(() => null))?.isFile() === true;
  if (manifest.runtime !== "isolate" || !hasSource)
    throw new PackError([
      manifest.runtime === "isolate"
        ? `${shown} holds neither '${manifest.entry}' nor ${SOURCE_FILE}; write ${SOURCE_FILE}, or build the entry first`
        : `${shown} does not hold '${manifest.entry}', which entry names; build it first`,
    ]);
  const { build } = await import("esbuild");
  try {
    const { outputFiles } = await build({
      entryPoints: [source],
      absWorkingDir: dir,
      bundle: true,
      write: false,
      format: "esm",
      platform: "neutral",
      mainFields: ["module", "main"],
      target: "es2024",
      charset: "utf8",
      // Without it esbuild writes the path of every source into the bundle, and so the author's machine.
      minifyWhitespace: true,
      // The contract that this gateway keeps, wherever the plugin's directory lies.
      alias: {
        "@gatehouse/sdk/web": fileURLToPath(import.meta.resolve("@gatehouse/sdk/web")),
        "@gatehouse/sdk": fileURLToPath(import.meta.resolve("@gatehouse/sdk")),
      },
      logLevel: "silent",
    });
    return (outputFiles[0] as { contents: Uint8Array }).contents;
  } catch (error) {
    const { errors } = error as { errors?: { text: string; location: Place | null }[] };
    if (!errors) throw error;
    throw new PackError(
      errors.map(({ text, location }) =>
        location ? `${location.file}:${location.line}:${location.column + 1}: ${text}` : text,
      ),
    );
  }
}

interface Place {
  file: string;
  line: number;
  /** Counts from 0. */
  column: number;
}

async function readOptional(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new PackError([`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`]);
  }
}
