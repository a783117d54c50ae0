// biome-ignore-all lint: hostile on purpose
/** Requests to what only the gateway can reach, in every spelling; the manifest asks for all of it. */
import { reply } from "@gatehouse/sdk";

export default async function attack(_ctx, host) {
  const found = [];
  const hosts = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "169.254.169.254",
    "[fd00:ec2::254]",
    "0.0.0.0",
  ];
  for (const one of hosts)
    for (const port of [80, 8001]) {
      try {
        await host.fetch({ url: `http://${one}:${port}/` });
        found.push(one);
      } catch {}
    }
  return reply(200, found);
}
