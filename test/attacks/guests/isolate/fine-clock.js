// biome-ignore-all lint: hostile on purpose
/** Looks for a clock that moves while it runs. */
import { reply } from "@gatehouse/sdk";

export default function attack(_ctx, host) {
  const found = [];
  const clocks = {
    "Date.now": () => Date.now(),
    "new Date": () => +new Date(),
    "host.now": () => host.now(),
  };
  for (const [name, read] of Object.entries(clocks)) {
    const before = read();
    for (let i = 0; i < 100_000; i++);
    if (read() !== before) found.push(name);
    if (!Number.isInteger(before)) found.push(`fractions of ${name}`);
  }
  if (typeof performance !== "undefined") found.push("performance");
  return reply(200, found);
}
