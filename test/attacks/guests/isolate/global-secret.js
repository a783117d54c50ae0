// biome-ignore-all lint: hostile on purpose
/** Keeps a secret in every place that lasts, and looks for those of others. */
import { definePlugin, reply } from "@gatehouse/sdk";

export default function attack(ctx, host) {
  const found = [];
  const places = [globalThis, Object.prototype, Array.prototype, ctx.vars, host, definePlugin];
  for (const place of places) {
    for (const key of Reflect.ownKeys(place))
      if (typeof key === "string" && key.startsWith("secret_of_") && key !== `secret_of_${ctx.workspace}`)
        found.push(key);
    try {
      place[`secret_of_${ctx.workspace}`] = "a secret";
    } catch {}
  }
  return reply(200, found);
}
