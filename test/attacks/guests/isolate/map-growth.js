// biome-ignore-all lint: hostile on purpose
/** Grows a Map and a Set for ever. */

export default function attack() {
  const map = new Map();
  const set = new Set();
  for (let i = 0; ; i++) {
    map.set(i, {});
    set.add(`${i}`);
  }
}
