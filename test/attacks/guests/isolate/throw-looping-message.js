// biome-ignore-all lint: hostile on purpose
/** Throws an object whose message never comes. */

export default function attack() {
  throw {
    get message() {
      for (;;) {}
    },
  };
}
