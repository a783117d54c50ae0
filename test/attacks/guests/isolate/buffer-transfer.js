// biome-ignore-all lint: hostile on purpose
/** Buffers that grow by being moved. */
import { reply } from "@gatehouse/sdk";

export default async function attack() {
  const kept = [];
  for (const name of ["transfer", "transferToFixedLength"])
    for (let i = 0; i < 64; i++) {
      const buffer = new ArrayBuffer(8)[name](2 ** 26);
      new Uint8Array(buffer).fill(1);
      kept.push(buffer);
    }
  return reply(200, [kept.length]);
}
