// biome-ignore-all lint: hostile on purpose
/** A value of a gigabyte. */
import { reply } from "@gatehouse/sdk";

export default async function attack(_ctx, host) {
  await host.kv.set("k", new Uint8Array(2 ** 30));
  return reply(200, ["kept"]);
}
