// biome-ignore-all lint: hostile on purpose
/** A resizable buffer is not counted against the isolate's limit: there must be none. */
import { reply } from "@gatehouse/sdk";

export default function attack() {
  const buffer = new ArrayBuffer(8, { maxByteLength: 2 ** 32 });
  const found = [];
  if (buffer.resizable) found.push("resizable");
  if (typeof buffer.resize === "function") found.push("resize");
  const Other = Object.getPrototypeOf(new Uint8Array(1).buffer).constructor;
  if (new Other(8, { maxByteLength: 64 }).resizable) found.push("constructor");
  if (typeof WebAssembly !== "undefined") found.push("WebAssembly");
  if (typeof SharedArrayBuffer !== "undefined") found.push("SharedArrayBuffer");
  return reply(200, found);
}
