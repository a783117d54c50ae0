/** An uploaded plugin package as the data threads need to know it. */
import type { Manifest } from "../registry/manifest.ts";

export interface InstalledPackage {
  readonly manifest: Manifest;
  /** Digest of the code that runs: what the forge emitted. */
  readonly digest: string;
  /** That code, in shared memory: posting it to every thread copies nothing. */
  readonly code: Uint8Array;
}
