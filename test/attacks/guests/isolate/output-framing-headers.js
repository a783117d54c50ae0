// biome-ignore-all lint: hostile on purpose
/** Framing fields that would smuggle a request. */

export default function attack(ctx) {
  ctx.request.headers.set("transfer-encoding", "chunked");
  ctx.request.headers.set("content-length", "5");
}
