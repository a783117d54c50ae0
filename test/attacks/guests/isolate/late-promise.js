// biome-ignore-all lint: hostile on purpose
/** Starts work that goes on after its answer was given. */
import { reply } from "@gatehouse/sdk";

export default function attack(ctx) {
  const spin = async () => {
    for (let i = 0; i < 1000; i++) await null;
    ctx.request.headers.set("x-late", "yes");
    return spin();
  };
  new Promise((resolve) => resolve()).then(() => new Promise(() => {})).then(spin);
  return reply(200, []);
}
