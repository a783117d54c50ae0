// biome-ignore-all lint: hostile on purpose
/** Walks the stack of its callers for an object of the host. */
import { reply } from "@gatehouse/sdk";

export default function attack() {
  const found = [];
  const sloppy = function () {
    try {
      if (sloppy.caller !== null) found.push("caller");
    } catch {}
    try {
      if (arguments.callee.caller !== undefined) found.push("callee.caller");
    } catch {}
  };
  sloppy();
  return reply(200, found);
}
