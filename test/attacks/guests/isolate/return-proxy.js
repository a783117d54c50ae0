// biome-ignore-all lint: hostile on purpose
/** Returns a Proxy in place of a reply. */

export default function attack() {
  return new Proxy(
    {},
    {
      get() {
        throw new TypeError("touched");
      },
    },
  );
}
