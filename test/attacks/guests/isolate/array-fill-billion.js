// biome-ignore-all lint: hostile on purpose
/** A builtin that no interrupt reaches. */

export default function attack() {
  Array(1e9).fill(0);
}
