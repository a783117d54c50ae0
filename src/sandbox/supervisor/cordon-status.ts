/** What `GET /status` tells of a cordon. */

import type { EngineKind } from "../protocol/engine.ts";
import type { CordonProcess } from "./cordon-process.ts";

export interface CordonStatus {
  readonly id: number;
  readonly pid: number | null;
  readonly engine: EngineKind;
  /** Null while it is a spare. */
  readonly workspace: string | null;
  /** The only plugin that it runs, if that one is kept apart. */
  readonly plugin: string | null;
  readonly rssBytes: number;
  /** Those of them that it shares with nobody. */
  readonly ownBytes: number;
  readonly cpuMs: number;
  readonly calls: number;
}

/** @param calls how many it has begun. */
export function statusOf(cordon: CordonProcess, calls: number): CordonStatus {
  return {
    id: cordon.id,
    pid: cordon.pid,
    engine: cordon.engine,
    workspace: cordon.lane?.workspace ?? null,
    plugin: cordon.lane?.plugin ?? null,
    rssBytes: cordon.measure(),
    ownBytes: cordon.ownBytes,
    cpuMs: cordon.cpuMs() ?? 0,
    calls,
  };
}
