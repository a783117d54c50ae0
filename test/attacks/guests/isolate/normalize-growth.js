// biome-ignore-all lint: hostile on purpose
/** Texts that ICU makes eighteen times longer, outside of the counted heap. */
import { reply } from "@gatehouse/sdk";

export default async function attack() {
  const text = "\uFDFA".repeat(2 ** 20);
  return reply(200, [text.normalize("NFKD").length]);
}
