// biome-ignore-all lint: hostile on purpose
/** A text of many megabytes as a value, and bytes of which one is too many. */
import { reply } from "@gatehouse/sdk";

export default async function attack(_ctx, host) {
  const found = [];
  for (const make of [() => "x".repeat(2 ** 24), () => new Uint8Array(65_537)]) {
    try {
      await host.kv.set("k", make());
      found.push("kept");
    } catch {}
  }
  if ((await host.kv.get("k")) !== null) found.push("there");
  return reply(200, found);
}
