// biome-ignore-all lint: hostile on purpose
/** Loops inside a callback of a builtin. */

export default function attack() {
  [3, 1, 2].sort(() => {
    for (;;) {}
  });
}
