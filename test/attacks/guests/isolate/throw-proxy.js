// biome-ignore-all lint: hostile on purpose
/** Throws a Proxy that throws at every touch. */

export default function attack() {
  throw new Proxy(
    {},
    {
      get() {
        throw new Error("touched");
      },
      getPrototypeOf() {
        throw new Error("touched");
      },
    },
  );
}
