/** An uploaded plugin package as the data threads need to know it. */
import type { Manifest } from "../registry/manifest.ts";

export interface InstalledPackage {
  /** Digest of the package as it was uploaded, its manifest included. */
  readonly id: string;
  readonly manifest: Manifest;
  /** Digest of the code that runs: what the forge emitted. */
  readonly digest: string;
  /** That code, in shared memory: posting it to every thread copies nothing. */
  readonly code: Uint8Array;
}

/**
 * What an instance is made of besides its configuration. The code alone does not tell: two packages with the
 * same code may differ in what they are granted, in their limits and in their phases.
 */
export function identityOf(installed: InstalledPackage | undefined): string {
  return installed === undefined ? "native" : `${installed.id} ${installed.digest}`;
}
