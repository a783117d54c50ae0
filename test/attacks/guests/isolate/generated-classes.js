// biome-ignore-all lint: hostile on purpose
/** Classes made without end, each with a prototype of its own. */

export default function attack() {
  const kept = [];
  for (;;) {
    const made = class {
      static a = {};
      b() {}
      get c() {
        return 1;
      }
    };
    made.prototype[`m${kept.length}`] = () => made;
    kept.push(made);
  }
}
