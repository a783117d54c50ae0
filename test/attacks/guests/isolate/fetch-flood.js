// biome-ignore-all lint: hostile on purpose
/** A thousand requests at the same time. */
import { reply } from "@gatehouse/sdk";

export default async function attack(_ctx, host) {
  await Promise.all(
    Array.from({ length: 1000 }, () => host.fetch({ url: "http://127.0.0.1/" }).catch(() => {})),
  );
  return reply(200, []);
}
