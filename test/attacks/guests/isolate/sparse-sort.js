// biome-ignore-all lint: hostile on purpose
/** Sorting an array of 2^32 - 2 holes: seconds inside a builtin. */

export default function attack() {
  const list = [];
  list.length = 2 ** 32 - 2;
  list[2 ** 31] = 1;
  list.sort();
}
