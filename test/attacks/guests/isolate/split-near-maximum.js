// biome-ignore-all lint: hostile on purpose
/** Aborts a process that runs it unprotected: a string near the greatest length, split. */

export default function attack() {
  "x".padEnd(2 ** 29 - 30).split("");
}
