/** WebAssembly modules byte by byte, for what no assembler writes. */

const HEAD = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

export function leb(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest >= 128) {
    out.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  return [...out, rest];
}

export function section(id: number, content: Uint8Array | readonly number[]): Buffer {
  return Buffer.concat([Buffer.from([id, ...leb(content.length)]), Uint8Array.from(content)]);
}

export function module(...sections: Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from(HEAD), ...sections]);
}

/** One type, `() -> i32`, and `access` as the first function. */
const TYPES = section(1, [1, 0x60, 0, 1, 0x7f]);
const EXPORTS = section(7, [1, 6, ...Buffer.from("access"), 0, 0]);

/** A module whose functions all have this body, `access` being the first of them. */
export function repeated(count: number, body: Uint8Array): Buffer {
  const entry = Buffer.concat([Buffer.from(leb(body.length)), body]);
  const functions = Buffer.concat([Buffer.from(leb(count)), Buffer.alloc(count)]);
  const bodies = Buffer.concat([Buffer.from(leb(count)), ...new Array<Buffer>(count).fill(entry)]);
  return module(TYPES, section(3, functions), EXPORTS, section(10, bodies));
}

/** The body of a function without locals. */
export function body(...parts: (Uint8Array | readonly number[])[]): Buffer {
  const end = [0x41, 0, 0x0b]; // i32.const 0
  return Buffer.concat([Buffer.from([0]), ...parts.map((part) => Uint8Array.from(part)), Buffer.from(end)]);
}
