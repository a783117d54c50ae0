/** A published package as the registry keeps it: what never changes of it, and the little that may. */
import { isObject } from "@gatehouse/sdk";
import { MOST_LIMITS } from "../sandbox/limits.ts";
import type { Row } from "../stores/store.ts";
import { checkManifest, type Manifest, manifestToJson } from "./manifest.ts";

export const PACKAGE_KIND = "packages";

/** That an author stands for a package: their key's name, and the signature over the package's id. */
export interface Signature {
  readonly key: string;
  /** Base64. */
  readonly signature: string;
  /** Seconds since the epoch. */
  readonly at: number;
}

/** A version that is not to be chosen any more. */
export interface Yanked {
  /** Seconds since the epoch. */
  readonly at: number;
  readonly by: string | null;
  readonly reason: string;
}

export interface StoredPackage {
  /** `sha256:` of the uploaded `.tgz`. */
  readonly id: string;
  readonly workspace: string;
  /** Id of that workspace; empty where it was not known when the package was published. */
  readonly workspaceId: string;
  readonly manifest: Manifest;
  /** Digest of the bytes that run. */
  readonly emitted: string;
  /** What the forge said about them. */
  readonly report: object;
  /** What both take: the `.tgz` and the bytes that run. */
  readonly bytes: number;
  /** Seconds since the epoch. */
  readonly createdAt: number;
  readonly signatures: readonly Signature[];
  /** Null for one that may be chosen. */
  readonly yanked: Yanked | null;
}

/** `name@version`. */
export function nameOf({ manifest }: Pick<StoredPackage, "manifest">): string {
  return `${manifest.name}@${manifest.version}`;
}

/** Unique among all packages: the id of its row. */
export function keyOf(stored: Pick<StoredPackage, "workspace" | "manifest">): string {
  return `${stored.workspace}/${nameOf(stored)}`;
}

export function rowOfPackage(stored: StoredPackage): Row {
  const { id, workspace, workspaceId, manifest, emitted, report, bytes, createdAt, signatures, yanked } =
    stored;
  const body = {
    id,
    workspace,
    emitted,
    report,
    bytes,
    created_at: createdAt,
    manifest: manifestToJson(manifest),
    ...(signatures.length === 0 ? {} : { signatures }),
    ...(yanked === null ? {} : { yanked }),
  };
  return { kind: PACKAGE_KIND, id: keyOf(stored), workspace: workspaceId, body };
}

/** A row may have been written by another version, or by a hand: says what is wrong with one that is no package. */
export function packageOfRow({ id: key, workspace: workspaceId, body }: Row): StoredPackage | string {
  const { id, workspace, emitted, report, bytes, created_at: createdAt } = body;
  const { manifest, violations } = checkManifest(body.manifest, MOST_LIMITS);
  if (violations) return `manifest: ${violations[0]?.path.join(".")}: ${violations[0]?.message}`;
  if (!isDigest(id) || !isDigest(emitted)) return "it has no digests";
  if (typeof workspace !== "string" || !isCount(bytes) || !isCount(createdAt) || !isObject(report))
    return "it is not complete";
  const signatures = body.signatures ?? [];
  const yanked = body.yanked ?? null;
  if (!Array.isArray(signatures) || !signatures.every(isSignature)) return "its signatures are none";
  if (yanked !== null && !isYanked(yanked)) return "it is not said why it was yanked";
  const stored = {
    id,
    workspace,
    workspaceId,
    manifest,
    emitted,
    report,
    bytes,
    createdAt,
    signatures,
    yanked,
  };
  return keyOf(stored) === key ? stored : `it says that it is ${keyOf(stored)}`;
}

export function isDigest(value: unknown): value is string {
  return typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);
}

function isSignature(value: unknown): value is Signature {
  return (
    isObject(value) &&
    typeof value.key === "string" &&
    typeof value.signature === "string" &&
    isCount(value.at)
  );
}

function isYanked(value: unknown): value is Yanked {
  return (
    isObject(value) &&
    isCount(value.at) &&
    typeof value.reason === "string" &&
    (value.by === null || typeof value.by === "string")
  );
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
