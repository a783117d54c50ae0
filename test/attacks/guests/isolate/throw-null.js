// biome-ignore-all lint: hostile on purpose
/** Throws null. */

export default function attack() {
  throw null;
}
