// biome-ignore-all lint: hostile on purpose
/** A million keys, errors swallowed. */
import { reply } from "@gatehouse/sdk";

export default async function attack(_ctx, host) {
  for (let i = 0; i < 1e6; i++) {
    try {
      await host.kv.set(`k${i}`, "v");
    } catch {
      if (i > 1000) break;
    }
  }
  return reply(200, []);
}
