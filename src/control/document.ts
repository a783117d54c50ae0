/** Documents on their way to the configuration in force: read in a thread of their own, judged in this one. */
import {
  type Judged,
  judgeDocument,
  type LoadOptions,
  type Refused,
  unreadable,
} from "../declarative/declarative.ts";
import type { ReadApart } from "../declarative/read-apart.ts";
import { politely } from "../gateway/polite.ts";
import type { Vaults } from "../secrets/vaults.ts";

/** What is wrong with a document, its references to vaults included; or what it comes to. */
export async function judgeApart(
  document: ReadApart,
  options: LoadOptions,
  vaults: Pick<Vaults, "resolve">,
): Promise<Judged | Refused> {
  if (!document.ok) return unreadable(document.faults, options);
  const judged = politely(() => judgeDocument(document.value, options));
  const faults = judged.ok ? await judged.unresolvedReferences(vaults) : judged.faults;
  if (judged.ok && faults.isEmpty) return judged;
  return { ok: false, errors: faults.placed(await document.places(faults.asked())) };
}
