// biome-ignore-all lint: hostile on purpose
/** Many buffers that live outside of the heap. */

export default function attack() {
  const kept = [];
  for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
}
