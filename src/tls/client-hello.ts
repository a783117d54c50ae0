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
/** Clients send one; some cut the first one up to get past middleboxes. */
export const MAX_HELLO_RECORDS = 16;

const NOTHING = Buffer.alloc(0);
const RECORD_HEAD_BYTES = 5;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;

const NAMELESS: ClientHello = { serverName: null };
const NAME = /^(?=.{1,253}$)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

/**
 * Takes a ClientHello as it comes. Each byte is looked at and copied a bounded number of times, whatever the pieces
 * in which a client sends it: a record is read once it is whole, and there are few of them.
 */
export class HelloReader {
  /** Why the connection goes no further; null as long as it may. */
  refusal: string | null = null;
  #bytes = NOTHING;
  #length = 0;
  /** Where the first record begins that is not whole yet. */
  #next = 0;
  /** What the records before it hold of the message. */
  readonly #parts: Buffer[] = [];
  #held = 0;
  /** Length of the message with its own head; -1 until that has come. */
  #wanted = -1;

  /** All that has come. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /**
   * Takes what came, which is copied.
   * @returns null as long as the end of the ClientHello has not come, or if it is refused
   */
  add(chunk: Buffer): ClientHello | null {
    this.#keep(chunk);
    const message = this.#message();
    if (message === "invalid") return NAMELESS;
    if (message !== "incomplete") return { serverName: serverName(new Reader(message)) };
    if (this.#length > MAX_HELLO_BYTES) this.refusal ??= `a ClientHello over ${MAX_HELLO_BYTES} bytes`;
    return null;
  }

  #keep(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(this.#length === 0 ? length : 2 * length);
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    chunk.copy(this.#bytes, this.#length);
    this.#length = length;
  }

  /** The body of the first handshake message, which may lie in several records. */
  #message(): Buffer | "incomplete" | "invalid" {
    const bytes = this.#bytes;
    const end = this.#length;
    for (;;) {
      const at = this.#next;
      if (at === end) return "incomplete";
      if (bytes[at] !== HANDSHAKE) return "invalid";
      if (end < at + RECORD_HEAD_BYTES) return "incomplete";
      const length = bytes.readUInt16BE(at + 3);
      if (bytes[at + 1] !== 3 || length === 0 || length > MAX_HELLO_BYTES) return "invalid";
      const next = at + RECORD_HEAD_BYTES + length;
      if (end < next) return "incomplete";
      this.#next = next;
      this.#held += length;
      if (this.#parts.push(bytes.subarray(at + RECORD_HEAD_BYTES, next)) > MAX_HELLO_RECORDS) {
        this.refusal = `a ClientHello in more than ${MAX_HELLO_RECORDS} records`;
        return "incomplete";
      }
      if (this.#held < 4 || this.#held < this.#wanted) continue;
      const message = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
      if (message[0] !== CLIENT_HELLO) return "invalid";
      this.#wanted = 4 + message.readUIntBE(1, 3);
      if (this.#wanted > MAX_HELLO_BYTES) return "invalid";
      if (this.#held >= this.#wanted) return message.subarray(4, this.#wanted);
    }
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
