/**
 * What the gateway and the forge's child say to each other, over a pipe each way:
 * `u32 length of head, u32 length of body` (little endian), the head as JSON, the body as raw bytes.
 */

export interface Frame {
  head: unknown;
  body: Uint8Array;
}

const PREFIX = 8;
/** A report's lists hold 200 names of 100 characters; the index of the registry keeps it. */
const MAX_HEAD_BYTES = 512 * 1024;
const MAX_BODY_BYTES = 64 * 1024 * 1024;

export function encodeFrame(head: unknown, body: Uint8Array): Buffer {
  const json = Buffer.from(JSON.stringify(head));
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32LE(json.length, 0);
  prefix.writeUInt32LE(body.length, 4);
  return Buffer.concat([prefix, json, body]);
}

/** Splits a stream of bytes into frames. Throws when the other side does not keep to the format. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #length = 0;

  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    const frames: Frame[] = [];
    for (let frame = this.#take(); frame !== null; frame = this.#take()) frames.push(frame);
    return frames;
  }

  #take(): Frame | null {
    if (this.#length < PREFIX) return null;
    if ((this.#chunks[0] as Buffer).length < PREFIX) this.#chunks = [Buffer.concat(this.#chunks)];
    const first = this.#chunks[0] as Buffer;
    const headLength = first.readUInt32LE(0);
    const bodyLength = first.readUInt32LE(4);
    if (headLength > MAX_HEAD_BYTES || bodyLength > MAX_BODY_BYTES)
      throw new Error(`forge frame of ${headLength} + ${bodyLength} bytes is over the bound`);
    const end = PREFIX + headLength + bodyLength;
    if (this.#length < end) return null;
    const whole = Buffer.concat(this.#chunks);
    const rest = whole.subarray(end);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#length = rest.length;
    const head: unknown = JSON.parse(whole.toString("utf8", PREFIX, PREFIX + headLength));
    return { head, body: whole.subarray(PREFIX + headLength, end) };
  }
}
