// biome-ignore-all lint: hostile on purpose
/** Imports modules of Node while it runs. */
import { reply } from "@gatehouse/sdk";

export default async function attack() {
  const found = [];
  for (const name of ["fs", "node:fs", "isolated-vm", "./cordon.js"]) {
    try {
      await import(name);
      found.push(name);
    } catch {}
  }
  return reply(200, found);
}
