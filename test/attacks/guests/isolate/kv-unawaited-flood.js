// biome-ignore-all lint: hostile on purpose
/** A million writes that nobody waits for. */
import { reply } from "@gatehouse/sdk";

export default async function attack(_ctx, host) {
  for (let i = 0; i < 1e6; i++) void host.kv.set(`k${i}`, "v").catch(() => {});
  return reply(200, []);
}
