// biome-ignore-all lint: hostile on purpose
/** A header value that would split the request. */

export default function attack(ctx) {
  ctx.request.headers.set("x-a", "1\r\nx-b: 2");
}
