/**
 * The Extism kernel for AssemblyScript guests: input, output, config, and what moves text and bytes across. Only what a
 * guest uses is compiled into it.
 */
// @ts-nocheck AssemblyScript, not TypeScript

@external("extism:host/env", "input_length") declare function input_length(): u64;
@external("extism:host/env", "input_load_u8") declare function input_load_u8(offset: u64): u32;
@external("extism:host/env", "input_load_u64") declare function input_load_u64(offset: u64): u64;
@external("extism:host/env", "alloc") declare function alloc(length: u64): u64;
@external("extism:host/env", "free") declare function free(address: u64): void;
@external("extism:host/env", "length") declare function length(address: u64): u64;
@external("extism:host/env", "load_u8") declare function load_u8(address: u64): u32;
@external("extism:host/env", "load_u64") declare function load_u64(address: u64): u64;
@external("extism:host/env", "store_u8") declare function store_u8(address: u64, value: u32): void;
@external("extism:host/env", "store_u64") declare function store_u64(address: u64, value: u64): void;
@external("extism:host/env", "output_set") declare function output_set(address: u64, length: u64): void;
@external("extism:host/env", "error_set") declare function error_set(address: u64): void;
@external("extism:host/env", "config_get") declare function config_get(key: u64): u64;

/** The call's input as text. Eight bytes cross at a time: each load is a call into the host. */
export function readInput(): string {
  const total = <i32>input_length();
  const whole = total & ~7;
  const text = changetype<string>(__new(<usize>total << 1, idof<string>()));
  let to = changetype<usize>(text);
  let i = 0;
  for (; i < whole; i += 8, to += 16) {
    const word = input_load_u64(i);
    if ((word & 0x8080808080808080) != 0) return decodeInput(total);
    store<u64>(to, widened(word & 0xffffffff));
    store<u64>(to, widened(word >> 32), 8);
  }
  for (; i < total; i++, to += 2) {
    const byte = input_load_u8(i);
    if (byte > 0x7f) return decodeInput(total);
    store<u16>(to, <u16>byte);
  }
  return text;
}

/** Four bytes as four characters of two bytes. */
@inline function widened(bytes: u64): u64 {
  const pairs = (bytes | (bytes << 16)) & 0x0000ffff0000ffff;
  return (pairs | (pairs << 8)) & 0x00ff00ff00ff00ff;
}

/** The same for input that is not all ASCII. */
function decodeInput(total: i32): string {
  const bytes = new Uint8Array(total);
  const whole = total & ~7;
  for (let i = 0; i < whole; i += 8) store<u64>(bytes.dataStart + i, input_load_u64(i));
  for (let i = whole; i < total; i++) store<u8>(bytes.dataStart + i, <u8>input_load_u8(i));
  return String.UTF8.decode(bytes.buffer);
}

/** Ends the call with this output. */
export function writeOutput(text: string): void {
  const block = storeText(text);
  output_set(block, length(block));
}

/** Says why the call failed; the export then returns something other than 0. */
export function writeError(text: string): void {
  error_set(storeText(text));
}

/** A value of the plugin's config: strings as they are, everything else as JSON; null if there is none. */
export function config(name: string): string | null {
  const key = storeText(name);
  const value = config_get(key);
  free(key);
  return value == 0 ? null : loadText(value);
}

export function storeText(text: string): u64 {
  const bytes = String.UTF8.encode(text);
  return storeFrom(changetype<usize>(bytes), bytes.byteLength);
}

export function storeBytes(bytes: Uint8Array): u64 {
  return storeFrom(bytes.dataStart, bytes.length);
}

function storeFrom(from: usize, total: i32): u64 {
  const block = alloc(total);
  const whole = total & ~7;
  for (let i = 0; i < whole; i += 8) store_u64(block + i, load<u64>(from + i));
  for (let i = whole; i < total; i++) store_u8(block + i, load<u8>(from + i));
  return block;
}

export function loadText(block: u64): string {
  return String.UTF8.decode(loadBytes(block).buffer);
}

export function loadBytes(block: u64): Uint8Array {
  const total = <i32>length(block);
  const bytes = new Uint8Array(total);
  const whole = total & ~7;
  for (let i = 0; i < whole; i += 8) store<u64>(bytes.dataStart + i, load_u64(block + i));
  for (let i = whole; i < total; i++) store<u8>(bytes.dataStart + i, <u8>load_u8(block + i));
  return bytes;
}
