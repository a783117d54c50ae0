// biome-ignore-all lint: hostile on purpose
/** A regular expression of 30,000 named groups, compiled over and over. */

export default function attack() {
  for (let round = 0; ; round++) {
    const source = Array.from({ length: 30_000 }, (_, i) => `(?<g${round}_${i}>a?)`).join("");
    "a".repeat(1000).match(new RegExp(source));
  }
}
