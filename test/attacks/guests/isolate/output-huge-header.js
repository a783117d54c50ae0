// biome-ignore-all lint: hostile on purpose
/** A header value of a megabyte. */

export default function attack(ctx) {
  ctx.request.headers.set("x-a", "a".repeat(1_000_000));
}
