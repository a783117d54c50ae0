// biome-ignore-all lint: hostile on purpose
/** Returns a reply whose status never comes. */
import { reply } from "@gatehouse/sdk";

export default function attack() {
  return {
    kind: "reply",
    headers: [],
    body: "",
    get status() {
      for (;;) {}
    },
  };
}
