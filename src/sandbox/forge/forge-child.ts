/**
 * Entry of the forge's child process: takes one artifact after another from stdin, answers on fd 3, and ends
 * when stdin does. Bundled by room.ts, it runs behind the fence like a cordon. The parent holds the clock and the memory limit; nothing here is trusted to end by itself.
 */
import { createWriteStream } from "node:fs";
import type { Phase } from "@gatehouse/sdk";
import { seal } from "../cordon/seal.ts";
import { type ForgeKind, forgeArtifact } from "./forge.ts";
import { encodeFrame, FrameReader } from "./forge-frames.ts";
import type { ForgeLimits } from "./limits.ts";

export interface ForgeJob {
  kind: ForgeKind;
  phases: Phase[];
  limits: ForgeLimits;
}

const answers = createWriteStream("", { fd: 3 });
const frames = new FrameReader();
if (process.argv[2] === "sealed") seal();

for await (const chunk of process.stdin) {
  for (const { head, body } of frames.push(chunk as Buffer)) {
    const { kind, phases, limits } = head as ForgeJob;
    const forged = await forgeArtifact(body, kind, phases, limits);
    const answer = forged.ok
      ? encodeFrame({ ok: true, report: forged.report }, forged.emitted)
      : encodeFrame(forged, new Uint8Array(0));
    answers.write(answer);
  }
}
