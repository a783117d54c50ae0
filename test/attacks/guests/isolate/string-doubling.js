// biome-ignore-all lint: hostile on purpose
/** Doubles a string until something gives. */

export default function attack() {
  let text = "xxxxxxxx";
  const all = [];
  for (;;) {
    text = (text + text).replace(/^x/, "y");
    all.push(text);
  }
}
