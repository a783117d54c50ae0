// biome-ignore-all lint: hostile on purpose
/** Throws a symbol, which has no string. */

export default function attack() {
  throw Symbol("s");
}
