// biome-ignore-all lint: hostile on purpose
/** Draws on the gateway's randomness without end. */

export default function attack(_ctx, host) {
  for (let i = 0; i < 1e4; i++) host.uuid();
}
