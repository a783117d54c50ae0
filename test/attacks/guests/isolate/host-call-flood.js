// biome-ignore-all lint: hostile on purpose
/** A million log lines, errors swallowed. */
import { reply } from "@gatehouse/sdk";

export default function attack(_ctx, host) {
  for (let i = 0; i < 1e6; i++) {
    try {
      host.log("error", "x".repeat(2000));
    } catch {
      if (i > 1000) break;
    }
  }
  return reply(200, []);
}
