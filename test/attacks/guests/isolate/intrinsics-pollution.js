// biome-ignore-all lint: hostile on purpose
/** Tries to leave traps in prototypes and globals for the next call; says what it found from the last. */
import { reply } from "@gatehouse/sdk";

export default function attack(ctx, host) {
  const found = [];
  if ({}.trap !== undefined) found.push("Object.prototype");
  if ([].trap !== undefined) found.push("Array.prototype");
  if (JSON.trap !== undefined) found.push("JSON");
  const attempts = [
    () => (Object.prototype.trap = 1),
    () => Object.defineProperty(Array.prototype, "trap", { value: 1 }),
    () => (JSON.trap = 1),
    () => (JSON.stringify = () => "{}"),
    () => (globalThis.JSON = {}),
    () => (Map.prototype.get = () => "trap"),
    () => (Promise.prototype.then = () => "trap"),
    () => Object.setPrototypeOf(Object.prototype, { trap: 1 }),
    () => Object.setPrototypeOf(Array.prototype, { trap: 1 }),
    () => (Object.prototype.toString = () => "trap"),
    () => (Object.getPrototypeOf(ctx).authenticate = () => {}),
    () => ({}.__proto__.trap = 1),
    () => (host.constructor.prototype.log = () => {}),
  ];
  for (const attempt of attempts) {
    try {
      attempt();
    } catch {}
  }
  if ({}.trap !== undefined) found.push("now in Object.prototype");
  if (JSON.stringify({ a: 1 }) !== '{"a":1}') found.push("JSON.stringify");
  if (String({}) !== "[object Object]") found.push("toString");
  return reply(200, found);
}
