// biome-ignore-all lint: hostile on purpose
/** Looks for code generation and Node behind the constructor of everything it is given. */
import { definePlugin, reply } from "@gatehouse/sdk";

export default function attack(ctx, host) {
  const found = [];
  const values = [
    ctx,
    ctx.request,
    ctx.request.headers,
    ctx.vars,
    host,
    host.log,
    reply,
    definePlugin,
    globalThis,
    {},
  ];
  for (const value of values) {
    try {
      const made = value.constructor.constructor("return process")();
      if (made) found.push("process");
    } catch {}
    try {
      Reflect.getPrototypeOf(value).constructor.constructor("return 1")();
      found.push("code from text");
    } catch {}
  }
  try {
    (0, eval)("1");
    found.push("eval");
  } catch {}
  try {
    (async () => {}).constructor("return 1");
    found.push("AsyncFunction");
  } catch {}
  for (const name of ["process", "require", "module", "global", "Buffer", "gc", "fetch", "setTimeout"])
    if (name in globalThis) found.push(name);
  return reply(200, found);
}
