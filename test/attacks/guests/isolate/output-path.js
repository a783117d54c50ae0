// biome-ignore-all lint: hostile on purpose
/** A path that climbs out of the service's, encoded. */

export default function attack(ctx) {
  ctx.request.upstreamPath = "/a/..%2f..%2Fadmin";
}
