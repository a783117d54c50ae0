// biome-ignore-all lint: hostile on purpose
/** A reply of 20 MB. */
import { reply } from "@gatehouse/sdk";

export default function attack() {
  return reply(200, "b".repeat(20e6));
}
