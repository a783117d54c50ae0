// biome-ignore-all lint: hostile on purpose
/** A cycle that JSON cannot write, thrown as it is. */

export default function attack() {
  const cycle = { toString: () => `${cycle}` };
  cycle.self = cycle;
  JSON.stringify(cycle);
}
