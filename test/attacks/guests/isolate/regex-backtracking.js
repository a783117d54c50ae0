// biome-ignore-all lint: hostile on purpose
/** Exponential backtracking: the engine falls back to one that takes linear time. */
import { reply } from "@gatehouse/sdk";

export default function attack() {
  /^(a+)+$/.test(`${"a".repeat(40)}b`);
  return reply(200, []);
}
