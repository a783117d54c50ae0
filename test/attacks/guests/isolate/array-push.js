// biome-ignore-all lint: hostile on purpose
/** Grows an array for ever. */

export default function attack() {
  const list = [];
  for (;;) list.push({ at: list.length });
}
