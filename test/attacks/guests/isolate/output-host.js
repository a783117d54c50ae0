// biome-ignore-all lint: hostile on purpose
/** A second Host. */

export default function attack(ctx, host) {
  ctx.request.headers.add("host", "admin.internal");
}
