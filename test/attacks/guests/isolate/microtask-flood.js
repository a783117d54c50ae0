// biome-ignore-all lint: hostile on purpose
/** A promise chain without end. */

export default async function attack() {
  const again = () => Promise.resolve().then(again);
  again();
  await new Promise(() => {});
}
