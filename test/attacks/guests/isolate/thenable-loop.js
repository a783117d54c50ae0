// biome-ignore-all lint: hostile on purpose
/** Returns a thenable whose then never returns. */

export default function attack() {
  return {
    then() {
      for (;;) {}
    },
  };
}
