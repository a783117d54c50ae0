// biome-ignore-all lint: hostile on purpose
/** Uses prepareStackTrace and callers to get at frames of the runtime. */
import { reply } from "@gatehouse/sdk";

export default function attack() {
  const found = [];
  try {
    Error.prepareStackTrace = (_error, sites) => sites;
  } catch {}
  const { stack } = new Error("x");
  if (typeof stack !== "string") {
    found.push("structured stack");
    for (const site of stack)
      if (site.getThis?.() !== undefined || site.getFunction?.() !== undefined) found.push("frame");
  }
  const sloppy = {};
  try {
    Error.captureStackTrace(sloppy, undefined);
    if (typeof sloppy.stack !== "string") found.push("captureStackTrace");
  } catch {}
  return reply(200, found);
}
