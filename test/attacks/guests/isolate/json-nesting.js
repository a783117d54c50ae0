// biome-ignore-all lint: hostile on purpose
/** Five million brackets for the parser. */

export default function attack() {
  JSON.parse("[".repeat(5e6));
}
