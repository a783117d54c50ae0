// biome-ignore-all lint: hostile on purpose
/** Never returns. */

export default function attack() {
  for (;;) {}
}
