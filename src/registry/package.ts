/** A package as a whole: archive and manifest together, and nothing in it that the manifest does not name. */
import { createHash } from "node:crypto";
import type { Violation } from "@gatehouse/sdk";
import { WORKSPACE_LIMITS } from "../sandbox/limits.ts";
import type { GuestLimits } from "../sandbox/protocol/engine.ts";
import { ArchiveError, unpack } from "./archive.ts";
import { MANIFEST_FILE, type Manifest, parseManifest, withPlace } from "./manifest.ts";

export interface OpenedPackage {
  readonly manifest: Manifest;
  /** The bytes of the entry. */
  readonly artifact: Uint8Array;
}

export type Opened =
  | { readonly opened: OpenedPackage; readonly violations?: undefined }
  | { readonly opened?: undefined; readonly violations: readonly Violation[] };

/** `sha256:` and 64 hexadecimal digits: the identity of a package, or of any bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Several messages about one field; one alone needs no list. */
export function violationsOf(field: string, messages: readonly string[]): Violation[] {
  return messages.map((message, i) => ({ path: messages.length === 1 ? [field] : [field, i], message }));
}

/** Opens the bytes of a `.tgz`. Never throws for what they hold: everything wrong with them is a violation. */
export async function openPackage(
  bytes: Uint8Array,
  ceilings: Readonly<GuestLimits> = WORKSPACE_LIMITS,
): Promise<Opened> {
  let files: ReadonlyMap<string, Uint8Array>;
  try {
    files = await unpack(bytes);
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    return { violations: [{ path: ["package"], message: error.message }] };
  }
  const written = files.get(MANIFEST_FILE);
  if (!written) return { violations: [{ path: [MANIFEST_FILE], message: "not in the package" }] };
  const parsed = parseManifest(written, ceilings);
  const entry = parsed.manifest?.entry ?? parsed.entry;
  const wrong = (parsed.violations ?? []).map(withPlace);
  // Without a name every file may be the one that was meant.
  if (entry === undefined) return { violations: wrong };
  const strays = [...files.keys()].filter((name) => name !== MANIFEST_FILE && name !== entry);
  wrong.push(
    ...violationsOf(
      "package",
      strays.map(
        (name) => `'${name}' does not belong: a package holds plugin.yaml and the file that entry names`,
      ),
    ),
  );
  const artifact = files.get(entry);
  const isNamed = !wrong.some(({ path }) => path[0] === "entry");
  if (isNamed && !artifact) wrong.push({ path: ["entry"], message: `'${entry}' is not in the package` });
  else if (artifact?.length === 0) wrong.push({ path: ["entry"], message: `'${entry}' is empty` });
  return wrong.length > 0 || !artifact || parsed.manifest === undefined
    ? { violations: wrong }
    : { opened: { manifest: parsed.manifest, artifact } };
}
