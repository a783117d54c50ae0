// biome-ignore-all lint: hostile on purpose
/** Ten thousand headers. */

export default function attack(ctx) {
  for (let i = 0; i < 10000; i++) ctx.request.headers.add(`x-${i}`, "v");
}
