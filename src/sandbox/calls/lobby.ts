/**
 * Where cordons' sockets arrive on a data thread: an abstract Unix socket with an unguessable name. Any
 * process of the machine may connect to it, so a connection is believed only if it opens with a token that
 * the supervisor has announced; each token admits once. Strangers have little time and few places, and when
 * the places are taken the oldest stranger makes room: a cordon speaks at once, long before it could be that.
 */
import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:net";
import { acceptLocal, type PlainWire } from "../../http1/plain-wire.ts";
import { TOKEN_CHARACTERS } from "../protocol/messages.ts";

const MAX_STRANGERS = 64;
const STRANGER_MS = 5000;

/** Called with the cordon's number, its paused wire, and what came after the token. */
export type Admit = (cordon: number, wire: PlainWire, rest: Buffer) => void;

interface Stranger {
  readonly wire: PlainWire;
  readonly rest: Buffer;
}

export class Lobby {
  readonly #admit: Admit;
  readonly #server: Server;
  readonly #expected = new Map<string, number>();
  /** Connections that said a token which nobody has announced yet: the announcement may be under way. */
  readonly #strangers = new Map<string, Stranger>();
  /** Connections that are not believed yet, oldest first, and when each has to be. */
  readonly #waiting = new Map<PlainWire, NodeJS.Timeout>();

  constructor(admit: Admit) {
    this.#admit = admit;
    this.#server = createServer();
  }

  /** Returns the socket's name, without the leading NUL. */
  async listen(): Promise<string> {
    const name = `gatehouse-${randomBytes(24).toString("hex")}`;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ path: `\0${name}` }, resolve);
    });
    acceptLocal(this.#server, (wire) => this.#greet(wire));
    this.#server.unref();
    return name;
  }

  expect(cordon: number, token: string): void {
    this.#expected.set(token, cordon);
    this.#match(token);
  }

  /** The cordon is dead: its token admits nobody any more. */
  forget(cordon: number): void {
    for (const [token, expected] of this.#expected) if (expected === cordon) this.#expected.delete(token);
  }

  close(): void {
    this.#server.close();
    for (const wire of this.#waiting.keys()) wire.destroy();
  }

  #greet(wire: PlainWire): void {
    if (this.#waiting.size >= MAX_STRANGERS) this.#showOut();
    this.#waiting.set(wire, setTimeout(() => wire.destroy(), STRANGER_MS).unref());
    let said = Buffer.alloc(0);
    let token = "";
    wire.own({
      onRead: (part) => {
        said = Buffer.concat([said, part]);
        if (said.length < TOKEN_CHARACTERS) return;
        wire.pause();
        token = said.toString("latin1", 0, TOKEN_CHARACTERS);
        if (this.#strangers.has(token)) return wire.destroy();
        this.#strangers.set(token, { wire, rest: said.subarray(TOKEN_CHARACTERS) });
        this.#match(token);
      },
      onDrain() {},
      onEnd() {},
      onBroken() {},
      onClosed: () => {
        this.#leave(wire);
        if (this.#strangers.get(token)?.wire === wire) this.#strangers.delete(token);
      },
    });
    wire.resume();
  }

  /** Stops counting it as a stranger. */
  #leave(wire: PlainWire): void {
    clearTimeout(this.#waiting.get(wire));
    this.#waiting.delete(wire);
  }

  /** Ends the oldest stranger. */
  #showOut(): void {
    for (const wire of this.#waiting.keys()) {
      this.#leave(wire);
      wire.destroy();
      return;
    }
  }

  #match(token: string): void {
    const cordon = this.#expected.get(token);
    const stranger = this.#strangers.get(token);
    if (cordon === undefined || stranger === undefined) return;
    this.#expected.delete(token);
    this.#strangers.delete(token);
    this.#leave(stranger.wire);
    this.#admit(cordon, stranger.wire, stranger.rest);
  }
}
