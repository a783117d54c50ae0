/** Makes headers of version 2 of the PROXY protocol, sound or not. */
const SIGNATURE = Buffer.from("0d0a0d0a000d0a515549540a", "hex");

/** `versionAndCommand` is 0x21 for a proxied connection, 0x20 for LOCAL; `rest` holds addresses and extensions. */
export function binaryHeader(versionAndCommand: number, familyAndTransport: number, rest: Buffer): Buffer {
  const fixed = Buffer.from([versionAndCommand, familyAndTransport, rest.length >> 8, rest.length & 255]);
  return Buffer.concat([SIGNATURE, fixed, rest]);
}
