// biome-ignore-all lint: hostile on purpose
/** An error whose message has 256 million characters. */

export default function attack() {
  throw new Error("m".repeat(2 ** 28));
}
