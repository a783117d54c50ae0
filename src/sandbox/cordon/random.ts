/**
 * Random bytes from the kernel itself, by way of `node:ffi`: loading `node:crypto` takes 1.6 MiB of a cordon's
 * memory and 6 ms of its start.
 */
import { createRequire } from "node:module";

const STOCK_BYTES = 4096;
const ATTEMPTS = 10;

/** Fills the stock. Null until one is needed and nothing was taken. */
let refill: (() => void) | null = null;
/** Never replaced: the kernel writes to its address. Too large to lie where V8 moves things. */
const stock = Buffer.alloc(STOCK_BYTES);

/** To be called while foreign functions can still be had. */
export function takeRandomFromKernel(): void {
  const ffi = createRequire(process.argv[1] as string)("node:ffi") as typeof import("node:ffi");
  const { functions } = ffi.dlopen(null, {
    getrandom: { arguments: ["pointer", "uint64", "uint32"], return: "int64" },
  });
  const address = ffi.getRawPointer(stock);
  refill = () => {
    // A signal may leave it with less; then it is asked again.
    for (let attempt = 0; attempt < ATTEMPTS; attempt++)
      if (functions.getrandom(address, BigInt(STOCK_BYTES), 0) === BigInt(STOCK_BYTES)) return;
    throw new Error("the kernel gives no random bytes");
  };
}

/** So many random bytes as text of one byte a character. Where nothing was taken, Node's own source is loaded. */
export function randomText(length: number): string {
  refill ??= fromNode();
  let text = "";
  while (text.length < length) {
    refill();
    text += stock.toString("latin1", 0, Math.min(STOCK_BYTES, length - text.length));
  }
  return text;
}

function fromNode(): () => void {
  const crypto = createRequire(process.argv[1] as string)("node:crypto") as typeof import("node:crypto");
  return () => void crypto.randomFillSync(stock);
}
