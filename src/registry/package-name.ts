/**
 * What a plugin entity may write to name a package: `header-stamp@1.2.0` (that version), `header-stamp@^1.2` (the
 * highest in a range), `header-stamp@stable` (what a channel points to), each with `owner/` in front for a package of
 * another workspace.
 */
import Range from "semver/classes/range.js";
import type SemVer from "semver/classes/semver.js";
import { isVersion } from "./manifest.ts";

/** The channel of the highest release. It moves by itself, and by nothing else. */
export const LATEST = "latest";

export const CHANNEL = /^[a-z][a-z0-9-]{0,31}$/;

/** One comparator. Longer ranges mean nothing that a channel would not say better, and cost time to read. */
const RANGE =
  /^[\^~]?(?:0|[1-9]\d{0,15})(?:\.(?:x|\*|0|[1-9]\d{0,15})){0,2}(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;
const MAX_WANTED = 64;

export type Wanted =
  | { readonly kind: "version"; readonly version: string }
  | { readonly kind: "range"; readonly includes: (version: SemVer) => boolean }
  | { readonly kind: "channel"; readonly channel: string };

export interface PackageName {
  /** Name of the workspace that publishes it; null for the one that asks. */
  readonly owner: string | null;
  /** Of the plugin. */
  readonly name: string;
  /** As it was written after `@`. */
  readonly text: string;
  /** Null for what is neither version, range nor channel. */
  readonly wanted: Wanted | null;
}

export function parsePackageName(written: string): PackageName {
  const slash = written.indexOf("/");
  const own = written.slice(slash + 1);
  const at = own.indexOf("@");
  const text = at === -1 ? "" : own.slice(at + 1);
  return {
    owner: slash === -1 ? null : written.slice(0, slash),
    name: at === -1 ? own : own.slice(0, at),
    text,
    wanted: wantedOf(text),
  };
}

/** Whether what a name means may change while nobody writes it anew. */
export const mayMove = (written: string): boolean => parsePackageName(written).wanted?.kind !== "version";

function wantedOf(text: string): Wanted | null {
  if (text.length > MAX_WANTED) return null;
  if (isVersion(text)) return { kind: "version", version: text };
  if (CHANNEL.test(text)) return { kind: "channel", channel: text };
  if (!RANGE.test(text)) return null;
  try {
    const range = new Range(text);
    return { kind: "range", includes: (version) => range.test(version) };
  } catch {
    return null;
  }
}
