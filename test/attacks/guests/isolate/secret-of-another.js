// biome-ignore-all lint: hostile on purpose
/** A secret of another workspace, by paths and by names that no grant has. */
import { reply } from "@gatehouse/sdk";

export default async function attack(_ctx, host) {
  const found = [];
  for (const name of ["../neighbour/TOKEN", "..", "/etc/passwd", "TOKEN\0", "TOKEN/../../neighbour/TOKEN"]) {
    try {
      const secret = await host.secret(name);
      if (secret !== null) found.push(name);
    } catch {}
  }
  return reply(200, found);
}
