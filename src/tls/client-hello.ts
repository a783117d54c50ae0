/**
 * Reads the name that a client asks for (SNI, RFC 6066 section 3) out of its ClientHello (RFC 8446 section 4.1.2),
 * before OpenSSL sees the connection: the whole context of that name serves the handshake then, with its own
 * certificates of either kind and its own sessions.
 *
 * What is read here chooses a certificate and nothing else. Bytes that make no sense choose the default one, and
 * OpenSSL refuses them with the alert that they deserve.
 */

export interface ClientHello {
  /** Lower-case, without a trailing dot; null if the client names nobody, or nobody that could be. */
  readonly serverName: string | null;
}

/** More than any client sends (1.8 KB with post-quantum key shares), less than what would hurt to hold. */
export const MAX_HELLO_BYTES = 16_384;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;

const NAMELESS: ClientHello = { serverName: null };
const NAME = /^(?=.{1,253}$)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

/**
 * @param bytes all that was read of the connection so far
 * @returns null as long as the end of the ClientHello has not come
 */
export function readClientHello(bytes: Buffer): ClientHello | null {
  const message = handshakeMessage(bytes);
  if (message === "incomplete") return null;
  if (message === "invalid") return NAMELESS;
  return { serverName: serverName(new Reader(message)) };
}

/** The body of the first handshake message, which may lie in several records. */
function handshakeMessage(bytes: Buffer): Buffer | "incomplete" | "invalid" {
  const parts: Buffer[] = [];
  let held = 0;
  let wanted = -1;
  for (let at = 0; ; ) {
    if (at === bytes.length) return "incomplete";
    if (bytes[at] !== HANDSHAKE) return "invalid";
    if (bytes.length < at + 5) return "incomplete";
    const length = bytes.readUInt16BE(at + 3);
    if (bytes[at + 1] !== 3 || length === 0 || length > MAX_HELLO_BYTES) return "invalid";
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    held += part.length;
    if (wanted < 0 && held >= 4) {
      const head = parts.length === 1 ? part : Buffer.concat(parts);
      if (head[0] !== CLIENT_HELLO) return "invalid";
      wanted = 4 + head.readUIntBE(1, 3);
      if (wanted > MAX_HELLO_BYTES) return "invalid";
    }
    if (wanted >= 0 && held >= wanted)
      return (parts.length === 1 ? part : Buffer.concat(parts)).subarray(4, wanted);
    if (part.length < length) return "incomplete";
    at += 5 + length;
  }
}

/** Takes fields in order; past the end everything is empty, and `sound` tells. */
class Reader {
  sound = true;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get more(): boolean {
    return this.sound && this.#at < this.#bytes.length;
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) this.sound = false;
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  number(bytes: 1 | 2): number {
    const taken = this.take(bytes);
    return this.sound ? taken.readUIntBE(0, bytes) : 0;
  }

  /** A field after its length, which is written in so many bytes. */
  vector(lengthBytes: 1 | 2): Buffer {
    return this.take(this.number(lengthBytes));
  }
}

function serverName(hello: Reader): string | null {
  hello.take(2 + 32); // version, random
  hello.vector(1); // session id
  hello.vector(2); // cipher suites
  hello.vector(1); // compression methods
  const extensions = new Reader(hello.vector(2));
  while (hello.sound && extensions.more) {
    const type = extensions.number(2);
    const content = extensions.vector(2);
    if (type !== SERVER_NAME || !extensions.sound) continue;
    const names = new Reader(new Reader(content).vector(2));
    while (names.more) {
      const kind = names.number(1);
      const name = names.vector(2).toString("latin1").toLowerCase();
      if (kind !== HOST_NAME || !names.sound) continue;
      const plain = name.endsWith(".") ? name.slice(0, -1) : name;
      return NAME.test(plain) ? plain : null;
    }
    return null;
  }
  return null;
}
