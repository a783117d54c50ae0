// biome-ignore-all lint: hostile on purpose
/** Plain endless recursion. */

export default function attack() {
  const down = () => down() + 1;
  down();
}
