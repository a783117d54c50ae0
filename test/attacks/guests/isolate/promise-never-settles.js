// biome-ignore-all lint: hostile on purpose
/** Waits for a promise that nobody will settle. */

export default async function attack() {
  await new Promise(() => {});
}
