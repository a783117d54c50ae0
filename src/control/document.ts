/**
 * Documents on their way to the configuration in force: read in a thread of their own, and judged in this one little by
 * little, so that nobody waits for the whole of it.
 */
import { setImmediate as rest } from "node:timers/promises";
import {
  type Judged,
  type JudgedValues,
  judgeInSteps,
  type LoadOptions,
  type Refused,
  unreadable,
} from "../declarative/declarative.ts";
import type { ReadApart } from "../declarative/read-apart.ts";
import { politely } from "../gateway/polite.ts";
import type { Vaults } from "../secrets/vaults.ts";

/** How long this thread does nothing else. */
const SLICE_MS = 20;

async function inSlices(steps: Generator<undefined, JudgedValues>): Promise<JudgedValues> {
  for (;;) {
    const judged = politely(() => {
      const ends = performance.now() + SLICE_MS;
      for (;;) {
        const { done, value } = steps.next();
        if (done) return value;
        if (performance.now() > ends) return null;
      }
    });
    if (judged !== null) return judged;
    await rest();
  }
}

/** What is wrong with a document, its references to vaults included; or what it comes to. */
export async function judgeApart(
  document: ReadApart,
  options: LoadOptions,
  vaults: Pick<Vaults, "resolve">,
): Promise<Judged | Refused> {
  if (!document.ok) return unreadable(document.faults, options);
  const judged = await inSlices(judgeInSteps(document.value, options));
  const faults = judged.ok ? await judged.unresolvedReferences(vaults) : judged.faults;
  if (judged.ok && faults.isEmpty) return judged;
  return { ok: false, errors: faults.placed(await document.places(faults.asked())) };
}
