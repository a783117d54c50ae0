// biome-ignore-all lint: hostile on purpose
/** A status out of range. */
import { reply } from "@gatehouse/sdk";

export default function attack() {
  return { kind: "reply", status: 1e9, headers: [], body: "" };
}
