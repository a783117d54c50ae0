// biome-ignore-all lint: hostile on purpose
/** Makes closures and classes for ever. */

export default function attack() {
  const kept = [];
  for (;;)
    kept.push(
      class {
        method() {
          return kept;
        }
      },
    );
}
