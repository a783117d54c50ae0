// biome-ignore-all lint: hostile on purpose
/** Looks through everything it can reach for objects of the isolating library. */
import { reply } from "@gatehouse/sdk";

export default function attack(ctx, host) {
  const found = [];
  const seen = new Set();
  const todo = [globalThis, ctx, host];
  while (todo.length > 0 && seen.size < 20000) {
    const value = todo.pop();
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value))
      continue;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) {
      if (/^(Reference|ExternalCopy|Callback|Isolate|Dereference|ivm)$/.test(String(key)))
        found.push(String(key));
      try {
        todo.push(value[key]);
      } catch {}
    }
    todo.push(Object.getPrototypeOf(value));
    const name = Object.prototype.toString.call(value);
    if (/Reference|ExternalCopy|Callback|Isolate/.test(name)) found.push(name);
    for (const method of ["applySync", "getSync", "derefInto", "copyInto", "copySync"])
      if (method in value) found.push(method);
  }
  return reply(200, found);
}
