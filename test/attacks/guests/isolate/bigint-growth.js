// biome-ignore-all lint: hostile on purpose
/** Squares a BigInt: a single multiplication takes seconds. */

export default function attack() {
  let big = 3n;
  for (;;) big *= big;
}
